r"""Which atoms own the change from one set to another, as a report shows it.

`distembed.inference.contributions.explained` shares $|z_b - z_a|^2$ out over the atoms of both
sets, to first order along the path of mixtures. Shares here are of that sum, so that those of
both sets add up to one; an atom with a negative share makes the two sets alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.data.features import match_columns
from distembed.inference.contributions import explained
from distembed.report.samples import Between, project, set_places
from distembed.report.style import DIVERGING
from distembed.rng import stream

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from distembed.batch import SetBatch
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.protocols import Collection
    from distembed.report.samples import View

__all__ = ["ATOMS", "Change", "Side", "change_between", "draw_shares", "located"]

ATOMS = 256
"""At most so many atoms of a set are asked."""


@dataclass(frozen=True)
class Side:
    """One of the two sets.

    Attributes:
        id: Its name.
        atoms: Some of its atoms, `(n, *event)` in the user's units.
        share: What each of them owns of the change, `(n,)`.
        size: How many atoms it has.
    """

    id: str
    atoms: np.ndarray
    share: np.ndarray
    size: int


@dataclass(frozen=True)
class Change:
    """The change from one set to another.

    Attributes:
        sides: The two sets.
        gap: What the shares lack to the change, as a share of it.
    """

    sides: tuple[Side, Side]
    gap: float

    @property
    def limit(self) -> float:
        """The share that gets the full colour: few atoms own more of the change."""
        share = np.concatenate([side.share for side in self.sides])
        return float(np.quantile(np.abs(share), 0.98)) or 1.0


def change_between(
    model: GDE, test: Collection, embeddings: Embeddings, between: Between | None
) -> Change | None:
    """Share out the change between two sets over their atoms.

    Args:
        model: The model.
        test: The sets.
        embeddings: Of these sets.
        between: Ids of the two sets; those that are farthest apart where left out, or where
            vectors are given.

    Returns:
        The change; None where z has no derivative by the weights, or the sets have one vector.

    Raises:
        ValueError: If an id is not among the sets.
    """
    places = set_places(embeddings, between)
    first, second = batches = [_some_atoms(model, test, i) for i in places]
    try:
        found = explained(model.embedder, first, second)
    except ValueError:  # medians move in jumps
        return None
    change = float(found.change[0])
    if not change > 0:
        return None
    one, other = (
        Side(str(embeddings.ids[i]), batch.x.numpy(), own[0] / change, int(test.sizes[i]))
        for i, batch, own in zip(places, batches, (found.a, found.b), strict=True)
    )
    return Change((one, other), abs(float(found.gap[0])) / change)


def located(model: GDE, view: View, side: Side) -> np.ndarray:
    """Place the atoms of a set in a view, `(n, 2)`; single numbers beside their shares."""
    if side.atoms[0].size == 1:
        return np.column_stack([side.atoms.reshape(-1), 100 * side.share])
    return project(model, view, side.atoms)


def draw_shares(
    axes: Any, points: tuple[np.ndarray, np.ndarray], change: Change, names: tuple[str, str]
) -> tuple[Axes, Axes]:
    """Draw the atoms of the two sets on the same scales, coloured by what they own.

    Args:
        axes: Left and right.
        points: Atoms of either set, `(n, 2)`.
        change: Their shares.
        names: What the two coordinates are.
    """
    from matplotlib.colors import LinearSegmentedColormap

    left, right = axes
    low, high = np.percentile(np.concatenate(points), [0.5, 99.5], axis=0)
    pad = 0.08 * np.maximum(high - low, 1e-9)
    colours = LinearSegmentedColormap.from_list("shares", DIVERGING)
    for ax, x, side in zip((left, right), points, change.sides, strict=True):
        t = np.clip(side.share / change.limit, -1, 1)
        top = np.argsort(np.abs(t), kind="stable")  # those that own most lie above
        rgba = colours((1 + t) / 2)
        rgba[:, 3] = 0.7 + 0.3 * np.abs(t)
        ax.scatter(x[top, 0], x[top, 1], s=18, c=rgba[top], linewidths=0)
        ax.set_title(side.id if len(side.id) <= 24 else side.id[:23] + "…", loc="left")
        ax.set(xlim=(low[0] - pad[0], high[0] + pad[0]), ylim=(low[1] - pad[1], high[1] + pad[1]))
        ax.set_xlabel(names[0] if len(names[0]) <= 24 else names[0][:23] + "…")
        ax.locator_params(nbins=4)
    left.set_ylabel(names[1] if len(names[1]) <= 24 else names[1][:23] + "…")
    right.tick_params(labelleft=False)
    return left, right


def _some_atoms(model: GDE, test: Collection, index: int) -> SetBatch:
    """Read at most 256 atoms of a set, features in the order of the model."""
    batch = test.batch([index], ATOMS, stream("report", "contributions", index))
    columns = match_columns(model.features, test.features)
    return batch if columns is None else batch.replace(x=batch.x[:, columns])
