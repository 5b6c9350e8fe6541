r"""Attribution of the difference between two embeddings to the atoms of both sets.

`distembed.inference.contributions.attribute_change` distributes $|z_b - z_a|^2$ over the atoms of
both sets, to first order along the path of mixtures. Shares are relative to that sum: those of
both sets together add up to one, and an atom with a negative share makes the two sets more alike.
"""

from __future__ import annotations

from collections.abc import Sequence
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

__all__ = ["Change", "Side", "change_between", "change_between_groups", "mixture"]


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
    if len(embeddings) < 2:
        return None
    rows = set_rows(embeddings, between)
    names = [str(embeddings.ids[i]) for i in rows]
    sizes = [int(test.sizes[i]) for i in rows]
    return _change(model, [_read(model, test, i, m) for i in rows], names, sizes)


def change_between_groups(
    model: GDE,
    sets: Collection,
    groups: tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]],
    m: int = 512,
) -> Change | None:
    """Attribute the squared distance of two groups of sets to atoms.

    A group is the mixture of its sets with equal shares, of which at most m atoms are read: as
    many of each set, and at least one, so that of more than m sets every k-th is read.

    Args:
        model: The model.
        sets: All sets.
        groups: The name of either group, and the rows of its sets.
        m: Largest number of atoms of a group.

    Returns:
        The change, as of `change_between`.
    """
    batches, names, sizes = [], [], []
    for name, rows in groups:
        chosen = rows[:: -(-len(rows) // m)]
        per_set = max(1, m // len(chosen))
        parts = [_read(model, sets, int(i), per_set) for i in chosen]
        batches.append(mixture(parts))
        names.append(f"{name} ({len(rows)} sets)")
        sizes.append(int(np.asarray(sets.sizes)[rows].sum()))
    return _change(model, batches, names, sizes)


def mixture(sets: Sequence[SetBatch]) -> SetBatch:
    """Return one set, the mixture of batches of one set each with equal shares.

    Example:
        >>> from distembed.batch import SetBatch
        >>> two = [SetBatch.from_list([[[0.0]]]), SetBatch.from_list([[[1.0], [2.0]]])]
        >>> mixture(two).w.tolist()
        [0.5, 0.25, 0.25]
    """
    from distembed.batch import SetBatch

    batch = SetBatch.concat(list(sets))
    weights = batch.w / batch.mass[batch.owner] / len(sets)
    return SetBatch(batch.x, weights, batch.offsets[[0, -1]])


def _change(
    model: GDE, batches: Sequence[SetBatch], names: Sequence[str], sizes: Sequence[int]
) -> Change | None:
    first, second = batches
    try:
        result = attribute_change(model.embedder, first, second)
    except ValueError:  # a median is not differentiable in the weights
        return None
    squared = float(result.change[0])
    if not squared > 0:
        return None
    one, other = (
        Side(name, batch.x.numpy(), share[0] / squared, size)
        for name, batch, share, size in zip(
            names, batches, (result.a, result.b), sizes, strict=True
        )
    )
    return Change((one, other), abs(float(result.gap[0])) / squared)


def _read(model: GDE, test: Collection, index: int, m: int) -> SetBatch:
    """Read at most m atoms of a set, features in the order of the model."""
    batch = test.batch([index], m, stream("report", "contributions", index))
    columns = match_columns(model.features, test.features)
    return batch if columns is None else batch.replace(x=batch.x[:, columns])
