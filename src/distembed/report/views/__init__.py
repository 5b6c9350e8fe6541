"""Views: how the atoms of a set are drawn, one class a kind of atoms.

`view_of` looks the class up by the kind. A kind without a view has no figures of atoms; the map,
the distances and the scores of a report do not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from distembed.registry import Family, Member, applicable, lookup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

    from distembed.model.gde import GDE
    from distembed.report.contributions import Change
    from distembed.report.figures import Figure
    from distembed.report.samples import Pair, Path

__all__ = ["VIEWS", "Budget", "View", "view_of"]

VIEWS: Family = {
    "vectors": Member(
        "distembed.report.views.vectors:VectorView",
        "scatter plots and histograms",
        atoms=("vectors", "counts"),
    ),
    "images": Member(
        "distembed.report.views.images:ImageView", "mosaics of images", atoms=("images",)
    ),
    "sequences": Member(
        "distembed.report.views.sequences:SequenceView",
        "logos, k-mer spectra and lengths of sequences",
        atoms=("tokens",),
    ),
}


@dataclass(frozen=True)
class Budget:
    """Number of sets and atoms that are drawn.

    Attributes:
        sets: Sets whose atoms are shown.
        atoms: Atoms of each, real and generated.
        steps: Points on the path between two embeddings.
        path_atoms: Atoms at each.
        coupled: Atoms at either end of which some are drawn on their way along an optimal
            coupling; 0 for none.
    """

    sets: int
    atoms: int
    steps: int
    path_atoms: int
    coupled: int = 0


class View(Protocol):
    """Figures of atoms of one kind. Built from a model and the pairs that are shown together.

    Attributes:
        page: What a report page shows.
        overview: What an overview picture shows.
    """

    page: ClassVar[Budget]
    overview: ClassVar[Budget]

    def __init__(self, model: GDE, pairs: Sequence[Pair]) -> None: ...

    def pairs(self, pairs: Sequence[Pair]) -> Figure:
        """Draw real atoms of each set beside generated ones."""

    def path(self, path: Path) -> Figure | None:
        """Draw the samples along a path; None if the kind has no such figure."""

    def contributions(self, change: Change) -> Figure:
        """Draw atoms of two sets with their contributions to the distance."""

    def draw_pair(self, axes: tuple[Axes, Axes], pair: Pair) -> None:
        """Draw real and generated atoms of one set into two axes."""

    def draw_path(self, ax: Axes, path: Path) -> None:
        """Draw the samples along a path into axes."""

    def draw_contributions(self, axes: tuple[Axes, Axes], change: Change) -> None:
        """Draw atoms of two sets with their contributions to the distance into two axes."""

    def paint_pairs(self, part: SubFigure, pairs: Sequence[Pair]) -> None:
        """Draw the pairs into a panel of the overview picture."""

    def paint_path(self, part: SubFigure, path: Path) -> None:
        """Draw the path into a panel of the overview picture."""


def view_of(kind: str) -> type[View] | None:
    """Return the class of views of a kind of atoms; None if it has none.

    Example:
        >>> view_of("counts").__name__, view_of("graphs")
        ('VectorView', None)
    """
    names = applicable(VIEWS, kind)
    if not names:
        return None
    view: Any = lookup(VIEWS, names[0], "view")
    views: type[View] = view
    return views
