"""Content that the report page and the overview picture have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from distembed.report.colour import Colouring, colouring
from distembed.report.column import Column, choose_column
from distembed.report.plane import Plane, pca_plane, spread_along
from distembed.report.samples import Between, Pair, Path, interpolate, large_sets, read_pairs
from distembed.report.views import View, view_of

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.protocols import Collection

__all__ = ["Atoms", "Map", "read_atoms", "read_map"]


@dataclass(frozen=True)
class Map:
    """The sets on the plane of their principal components.

    Attributes:
        plane: Their coordinates.
        column: The metadata that colours them.
        colours: Their colours.
    """

    plane: Plane
    column: Column
    colours: Colouring


@dataclass(frozen=True)
class Atoms:
    """Atoms of held-out sets, and how to draw them.

    Attributes:
        view: Draws them.
        pairs: Real and generated atoms of the sets that are shown.
        path: Samples between two embeddings; None of a single set.
    """

    view: View
    pairs: list[Pair]
    path: Path | None


def read_map(embeddings: Embeddings, color: str | None) -> Map:
    """Project embeddings on their principal components, and colour them.

    Raises:
        ValueError: If there is no metadata column `color`.
    """
    column = choose_column(embeddings.z, embeddings.meta, embeddings.sizes, color)
    return Map(pca_plane(embeddings.z), column, colouring(column.name, column.values, column.kind))


def read_atoms(
    model: GDE,
    test: Collection,
    embeddings: Embeddings,
    plane: Plane,
    between: Between | None,
    place: Literal["page", "overview"],
) -> Atoms | None:
    """Read atoms of large sets that are spread along a plane, and draw generated ones for them.

    Sets of at least the median size are shown: real atoms of smaller ones show little.

    Args:
        model: The model.
        test: The sets.
        embeddings: Embeddings of these sets.
        plane: Their coordinates.
        between: Ends of the path.
        place: Where they are shown, which decides how many are read.

    Returns:
        The atoms; None if their kind has no view.

    Raises:
        ValueError: If `between` does not name two ends.
    """
    view = view_of(test.atoms.name)
    if view is None:
        return None
    budget = view.page if place == "page" else view.overview
    large = large_sets(embeddings, budget.sets)
    rows = large[spread_along(plane.points[large], budget.sets)]
    pairs = read_pairs(model, test, embeddings, rows, budget.atoms)
    path = None
    if len(embeddings) > 1 or isinstance(between, Mapping):
        path = interpolate(
            model, test, embeddings, between,
            steps=budget.steps, n=budget.path_atoms, coupled=budget.coupled,
        )  # fmt: skip
    return Atoms(view(model, pairs), pairs, path)
