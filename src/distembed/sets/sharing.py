"""Sets that share atoms: windows, kernels and mixtures may read the same row of a table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distembed.protocols import Collection
from distembed.sets.collection import Sets
from distembed.sets.ranges import Ranges

__all__ = ["sharing_sets"]


def sharing_sets(sets: Collection) -> NDArray[np.bool_]:
    """Return which sets share an atom with another one, `(S,)`: both read the same row.

    A collection that is not `Sets` is taken to share none.

    Example:
        >>> import distembed as de
        >>> from distembed.data.observations import Observations
        >>> x = Observations(np.arange(6.0)[:, None])
        >>> names = np.array(["a", "b", "c"])
        >>> sharing_sets(Sets(x, np.array([0, 1, 1, 2, 3, 3]), np.array([0, 2, 4, 6]), names))
        array([ True,  True, False])
    """
    if not isinstance(sets, Sets):
        return np.zeros(len(sets), dtype=bool)
    if isinstance(sets.rows, Ranges) and sets.rows.base is None:
        start, size = sets.rows.start, np.diff(sets.rows.offsets)
        order = np.argsort(start, kind="stable")
        first, last = start[order], (start + size)[order]
        furthest = np.maximum.accumulate(last)
        shared = np.zeros(len(sets), dtype=bool)
        # a range overlaps one that starts before it, or the next one
        shared[order[1:]] |= furthest[:-1] > first[1:]
        shared[order[:-1]] |= last[:-1] > first[1:]
        return shared
    rows, owner = np.asarray(sets.rows), np.repeat(np.arange(len(sets)), np.diff(sets.offsets))
    pairs = np.unique(np.stack([rows, owner], 1), axis=0)
    repeated = np.flatnonzero(pairs[1:, 0] == pairs[:-1, 0])
    shared = np.zeros(len(sets), dtype=bool)
    shared[pairs[repeated, 1]] = shared[pairs[repeated + 1, 1]] = True
    return shared
