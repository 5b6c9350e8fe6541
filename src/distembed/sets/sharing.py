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

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.protocols import Collection
from distembed.sets.collection import Sets
from distembed.sets.ranges import Ranges

__all__ = ["SharedNoise", "left_noise", "shared_noise", "sharing_blocks", "sharing_sets"]


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


@dataclass(frozen=True, eq=False)
class SharedNoise:
    """The share k of every pair of sets, computed where it is asked for.

    It is held as weights of the shared atoms, whose number grows with that of the atoms, and not
    with the square of that of the sets.

    Attributes:
        w: Weights of the atoms that several sets read, sparse `(S, U)`.
        squares: Sum of the squared weights of all atoms of each set, `(S,)`.

    Example:
        >>> from scipy.sparse import csr_array
        >>> chain = csr_array([[0.5, 0.0], [0.5, 0.5], [0.0, 0.5]])
        >>> shared = SharedNoise(chain, np.full(3, 0.5))
        >>> shared.block(slice(0, 1), slice(0, 3)).tolist()
        [[0.0, 0.5, 0.0]]
        >>> shared.between(np.array([0, 0]), np.array([1, 2])).tolist()
        [0.5, 0.0]
    """

    w: Any
    squares: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.squares)

    def select(self, index: NDArray[Any]) -> SharedNoise:
        """Return that of some sets, given by numbers or by a mask."""
        return SharedNoise(self.w[index], self.squares[index])

    def block(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Return k of all pairs of two ranges of sets; that of a set with itself is zero."""
        product = (self.w[rows] @ self.w[columns].T).toarray()
        k = _share(product, self.squares[rows][:, None], self.squares[columns])
        every = np.arange(len(self))
        k[every[rows][:, None] == every[columns]] = 0
        return k

    def between(
        self, first: NDArray[np.int64], second: NDArray[np.int64], numbers: int = 2**22
    ) -> NDArray[np.float64]:
        """Return k of pairs of sets, `(P,)`.

        Args:
            first: Numbers of the first sets, `(P,)`.
            second: Numbers of the second sets, `(P,)`.
            numbers: Weights that are in memory at once, about.
        """
        product = np.empty(len(first))
        step = max(1, numbers * len(self) // max(1, self.w.nnz))
        for start in range(0, len(first), step):
            part = slice(start, start + step)
            product[part] = (self.w[first[part]] * self.w[second[part]]).sum(1)
        k = _share(product, self.squares[first], self.squares[second])
        return np.where(first == second, 0.0, k)

    def toarray(self) -> NDArray[np.float64]:
        """Return k of all pairs, `(S, S)`, dense."""
        return self.block(slice(None), slice(None))

    @property
    def sharing(self) -> NDArray[np.bool_]:
        """Which sets share an atom with another one, `(S,)`."""
        return self.partners > 0

    @property
    def partners(self) -> NDArray[np.int64]:
        """Number of times that an atom of each set is in another set, `(S,)`."""
        read = self.w != 0
        others = np.maximum(read.sum(0) - 1, 0)
        return np.asarray(read @ others).astype(np.int64)

    def across(self, groups: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which sets share an atom with a set of another group, `(S,)`."""
        read = self.w.tocoo()
        owner, atom = read.coords
        low = np.full(self.w.shape[1], np.iinfo(np.int64).max)
        high = np.full(self.w.shape[1], np.iinfo(np.int64).min)
        np.minimum.at(low, atom, groups[owner])
        np.maximum.at(high, atom, groups[owner])
        mixed = np.zeros(len(self), dtype=bool)
        mixed[owner[low[atom] < high[atom]]] = True
        return mixed

    def blocks(self, together: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Return the number of the block of each set, `(S,)`: blocks have no atom in common.

        Args:
            together: Number of a group of each set, `(S,)`, whose sets are in one block too.
        """
        from scipy.sparse import block_array, csr_array, hstack
        from scipy.sparse.csgraph import connected_components

        links = self.w
        if together is not None:
            code = np.unique(together, return_inverse=True)[1]
            ones = (np.ones(len(self)), (np.arange(len(self)), code))
            links = hstack([links, csr_array(ones)])
        # sets and atoms are the nodes
        graph = block_array([[None, links], [links.T, None]])
        label = connected_components(graph, directed=False)[1][: len(self)]
        return np.unique(label, return_inverse=True)[1].astype(np.int64)

    def apart(self) -> NDArray[np.int64]:
        """Return numbers of sets of which no two share an atom, to which none can be added.

        Sets whose atoms are in the fewest others are taken first.
        """
        taken, used = [], np.zeros(self.w.shape[1], dtype=bool)
        for s in np.argsort(self.partners, kind="stable").tolist():
            atoms = self.w.indices[self.w.indptr[s] : self.w.indptr[s + 1]]
            if not used[atoms].any():
                taken.append(s)
                used[atoms] = True
        return np.sort(np.array(taken, np.int64))


def _share(
    product: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    # equal sets have 1 but for rounding, and nothing of their variance is left
    share: NDArray[np.float64] = np.minimum(2 * product / (first + second), 1.0)
    return share


def shared_noise(sets: Collection) -> SharedNoise | None:
    """Return the shares k of the variance of differences that shared atoms take away.

    Args:
        sets: S sets.

    Returns:
        None where no two sets share an atom, as for a collection that is not `Sets`.

    Example:
        >>> from distembed.data.observations import Observations
        >>> x, names = Observations(np.arange(6.0)[:, None]), np.array(["a", "b", "c"])
        >>> sets = Sets(x, np.array([0, 1, 1, 2, 3, 3]), np.array([0, 2, 4, 6]), names)
        >>> shared_noise(sets).toarray().tolist()
        [[0.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    from scipy.sparse import csr_array

    if not isinstance(sets, Sets) or not sharing_sets(sets).any():
        return None
    rows, sizes = np.asarray(sets.rows), sets.sizes
    w = np.repeat(1 / sizes, sizes) if sets.w is None else np.asarray(sets.w, np.float64)
    distinct, column = np.unique(rows, return_inverse=True)
    # a copy, because duplicates are summed in place
    shape = (len(sets), len(distinct))
    weights = csr_array((w, column, sets.offsets), shape=shape, copy=True)
    weights.sum_duplicates()  # the weights of a row that a set reads twice add up
    squares = np.asarray(weights.power(2).sum(1)).ravel()
    several = np.bincount(weights.indices, minlength=len(distinct)) > 1
    return SharedNoise(weights[:, several], squares)


def left_noise(
    shared: SharedNoise | None,
    first: slice | NDArray[np.int64],
    second: slice | NDArray[np.int64],
) -> Any:
    """Return the share of the variance of differences that shared atoms leave.

    Args:
        shared: What the sets share, such as that of `Embeddings`; or None.
        first: Numbers of the first sets, `(P,)`; or a slice, for a block of all pairs.
        second: Those of the second sets, likewise.

    Returns:
        `(P,)`, or the block; 1 where no atoms are shared.
    """
    if shared is None:
        return 1.0
    if isinstance(first, slice) and isinstance(second, slice):
        return 1 - shared.block(first, second)
    return 1 - shared.between(np.asarray(first), np.asarray(second))


def sharing_blocks(sets: Collection) -> NDArray[np.int64]:
    """Return the number of the block of each set, `(S,)`: no atom is in sets of two blocks.

    Example:
        >>> from distembed.data.observations import Observations
        >>> x, names = Observations(np.arange(6.0)[:, None]), np.array(["a", "b", "c"])
        >>> sets = Sets(x, np.array([0, 1, 1, 2, 3, 3]), np.array([0, 2, 4, 6]), names)
        >>> sharing_blocks(sets).tolist()
        [0, 0, 1]
    """
    shared = shared_noise(sets)
    return np.arange(len(sets)) if shared is None else shared.blocks()
