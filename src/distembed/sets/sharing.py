r"""Sets that share atoms: windows, kernels and mixtures may read the same row of a table.

Their errors are correlated. For a statistic z that is a mean of psi over independent atoms,
$z_a = \sum_i w_{ai} \psi_i$ with the weights of set a over all rows of the table,

    Var(z_a - z_b) = sum_i (w_ai - w_bi)^2 Var(psi) = (1 - k_ab) (V_a + V_b),
    k_ab = 2 sum_i w_ai w_bi / (sum_i w_ai^2 + sum_i w_bi^2),

so that a share k of the variance that two disjoint sets would have is taken away: none of disjoint
sets, and all of equal ones. For other embeddings this is the first order, where an atom has the
same influence in both sets, as in samples of one distribution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.protocols import Collection
from distembed.sets.collection import Sets
from distembed.sets.ranges import Ranges

__all__ = ["sharing_blocks", "sharing_sets", "shared_noise"]


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
    twice = np.bincount(rows, minlength=sets.observations.rows)[rows] > 1
    if not twice.any():
        return np.zeros(len(sets), dtype=bool)
    rows, owner = rows[twice], owner[twice]
    pairs = np.unique(np.stack([rows, owner], 1), axis=0)
    repeated = np.flatnonzero(pairs[1:, 0] == pairs[:-1, 0])
    shared = np.zeros(len(sets), dtype=bool)
    shared[pairs[repeated, 1]] = shared[pairs[repeated + 1, 1]] = True
    return shared


def shared_noise(sets: Collection) -> Any:
    """Return the share k of the variance of a difference that shared atoms take away.

    Args:
        sets: S sets.

    Returns:
        A symmetric CSR matrix `(S, S)` with a diagonal of zero; None where no two sets share an
        atom, as for a collection that is not `Sets`.

    Example:
        >>> from distembed.data.observations import Observations
        >>> x, names = Observations(np.arange(6.0)[:, None]), np.array(["a", "b", "c"])
        >>> sets = Sets(x, np.array([0, 1, 1, 2, 3, 3]), np.array([0, 2, 4, 6]), names)
        >>> shared_noise(sets).toarray().tolist()
        [[0.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    from scipy.sparse import csr_array

    chosen = np.flatnonzero(sharing_sets(sets))
    if not len(chosen) or not isinstance(sets, Sets):
        return None
    part = sets.select(chosen)
    rows, sizes = np.asarray(part.rows), part.sizes
    w = np.repeat(1 / sizes, sizes) if part.w is None else np.asarray(part.w)
    distinct, column = np.unique(rows, return_inverse=True)
    shape = (len(part), len(distinct))
    # the weights of a row that a set reads twice add up
    weights = csr_array((w, column, part.offsets), shape=shape)
    products = (weights @ weights.T).tocoo()
    squares = products.diagonal()
    a, b = products.coords
    off = a != b
    a, b = a[off], b[off]
    share = 2 * products.data[off] / (squares[a] + squares[b])
    return csr_array((share, (chosen[a], chosen[b])), shape=(len(sets), len(sets)))


def sharing_blocks(sets: Collection) -> NDArray[np.int64]:
    """Return the number of the block of each set, `(S,)`: no atom is in sets of two blocks.

    Example:
        >>> from distembed.data.observations import Observations
        >>> x, names = Observations(np.arange(6.0)[:, None]), np.array(["a", "b", "c"])
        >>> sets = Sets(x, np.array([0, 1, 1, 2, 3, 3]), np.array([0, 2, 4, 6]), names)
        >>> sharing_blocks(sets).tolist()
        [0, 0, 1]
    """
    from scipy.sparse.csgraph import connected_components

    shared = shared_noise(sets)
    if shared is None:
        return np.arange(len(sets))
    block: NDArray[np.int64] = connected_components(shared, directed=False)[1].astype(np.int64)
    return block
