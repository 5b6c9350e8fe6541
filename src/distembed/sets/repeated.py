r"""Sets that read a row of their table more than once, such as mixtures with a small component.

A row that is read k times is one observation of k times the weight, and not k observations: with
the weights $w_i$ of a set over the distinct rows,

    Var(sum_i w_i psi_i) = sum_i w_i^2 Var(psi),      effective size 1 / sum_i w_i^2.

Encoders see the distribution, so that z is the same; error bars are of the distinct rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from distembed.protocols import Collection
from distembed.sets.collection import Sets
from distembed.sets.ranges import Ranges

__all__ = ["merge_repeated"]


def merge_repeated(sets: Collection) -> Collection:
    """Join the atoms of each set that are the same row of the table; their weights add up.

    Returns:
        The same distributions; the collection itself where no set reads a row twice, and where it
        is not `Sets`.

    Example:
        >>> from distembed.data.observations import Observations
        >>> x, names = Observations(np.arange(3.0)[:, None]), np.array(["a"])
        >>> sets = merge_repeated(Sets(x, np.array([2, 0, 2, 2]), np.array([0, 4]), names))
        >>> batch = sets.batch([0])
        >>> batch.x.tolist(), batch.w.tolist()
        ([[0.0], [2.0]], [0.25, 0.75])
    """
    if not isinstance(sets, Sets):
        return sets
    if isinstance(sets.rows, Ranges) and sets.rows.base is None:
        return sets
    rows = np.asarray(sets.rows)
    if len(rows) == 0 or np.bincount(rows, minlength=1).max() < 2:
        return sets
    owner = np.repeat(np.arange(len(sets)), sets.sizes)
    order = np.lexsort((rows, owner))
    row, own = rows[order], owner[order]
    first = np.append(True, (row[1:] != row[:-1]) | (own[1:] != own[:-1]))
    if first.all():
        return sets
    w = np.repeat(1 / sets.sizes, sets.sizes) if sets.w is None else np.asarray(sets.w[:])
    starts = np.flatnonzero(first)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(own[first], minlength=len(sets)))])
    summed = np.add.reduceat(w[order], starts)
    return replace(sets, rows=row[first], offsets=offsets, w=summed)
