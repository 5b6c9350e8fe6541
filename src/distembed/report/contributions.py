r"""Attribution of the difference between two embeddings to the atoms of both sets.

`distembed.inference.contributions.attribute_change` distributes $|z_b - z_a|^2$ over the atoms of
both sets, to first order along the path of mixtures. Shares are relative to that sum: those of
both sets together add up to one, and an atom with a negative share makes the two sets more alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distembed.data.features import match_columns
from distembed.inference.contributions import attribute_change
from distembed.report.samples import Between, set_rows
from distembed.rng import stream

if TYPE_CHECKING:
    from distembed.batch import SetBatch
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.protocols import Collection

__all__ = ["Change", "Side", "change_between"]


@dataclass(frozen=True)
class Side:
    """One of the two sets.

    Attributes:
        id: Its name.
        atoms: A sample of its atoms, `(n, *event)` in the user's units.
        share: Share of each atom in the squared distance, `(n,)`.
        size: Number of atoms of the set.
    """

    id: str
    atoms: np.ndarray
    share: np.ndarray
    size: int


@dataclass(frozen=True)
class Change:
    """The squared distance of two sets, distributed over their atoms.

    Attributes:
        sides: The two sets.
        gap: Error of the sum of the shares, relative to the squared distance.
    """

    sides: tuple[Side, Side]
    gap: float

    @property
    def limit(self) -> float:
        """The 98 % quantile of absolute shares, at which colours saturate."""
        share = np.concatenate([side.share for side in self.sides])
        return float(np.quantile(np.abs(share), 0.98)) or 1.0


def change_between(
    model: GDE, test: Collection, embeddings: Embeddings, between: Between | None, m: int = 256
) -> Change | None:
    """Attribute the squared distance of two sets to their atoms.

    Args:
        model: The model.
        test: The sets.
        embeddings: Embeddings of these sets.
        between: Ids of the two sets; those that are farthest apart if None or if vectors are
            given.
        m: Largest number of atoms of a set that are read.

    Returns:
        The change; None if z has no derivative with respect to the weights, or the two embeddings
        are equal.

    Raises:
        ValueError: If an id is not among the sets.
    """
    rows = set_rows(embeddings, between)
    first, second = batches = [_read(model, test, i, m) for i in rows]
    try:
        result = attribute_change(model.embedder, first, second)
    except ValueError:  # a median is not differentiable in the weights
        return None
    squared = float(result.change[0])
    if not squared > 0:
        return None
    one, other = (
        Side(str(embeddings.ids[i]), batch.x.numpy(), share[0] / squared, int(test.sizes[i]))
        for i, batch, share in zip(rows, batches, (result.a, result.b), strict=True)
    )
    return Change((one, other), abs(float(result.gap[0])) / squared)


def _read(model: GDE, test: Collection, index: int, m: int) -> SetBatch:
    """Read at most m atoms of a set, features in the order of the model."""
    batch = test.batch([index], m, stream("report", "contributions", index))
    columns = match_columns(model.features, test.features)
    return batch if columns is None else batch.replace(x=batch.x[:, columns])
