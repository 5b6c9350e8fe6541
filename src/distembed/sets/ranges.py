"""Arrays that concatenate ranges of a longer one, without a number for every entry.

A set whose atoms are neighbours in a table is a range of rows: 16 bytes a set, where a list of
rows takes 8 bytes an atom in every process.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.data.observations import map_location, open_map
from distembed.sets.draw import ranks

__all__ = ["Ranges", "as_ranges", "rows_of"]


class Ranges:
    """The concatenation of `base[start[s] : start[s] + size[s]]` over s, `(N,)`.

    It is read as an array is: by positions, or whole with `np.asarray`.

    Args:
        start: Where each range starts, `(S,)` int64.
        offsets: Where each range starts and ends in the concatenation, `(S + 1,)` int64.
        base: The longer array; the numbers 0, 1, ... where left out.

    Example:
        >>> rows = Ranges(np.array([10, 3]), np.array([0, 2, 5]))
        >>> len(rows), rows[np.array([1, 2, 4])].tolist(), np.asarray(rows).tolist()
        (5, [11, 3, 5], [10, 11, 3, 4, 5])
    """

    def __init__(
        self, start: np.ndarray, offsets: np.ndarray, base: np.ndarray | None = None
    ) -> None:
        self.start, self.offsets, self.base = start, offsets, base

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def __getitem__(self, where: Any) -> Any:
        """Return the entries at a position, at an array of them, or at a slice."""
        if isinstance(where, slice):
            where = np.arange(len(self))[where]
        s = np.searchsorted(self.offsets, where, side="right") - 1
        place = self.start[s] + (where - self.offsets[s])
        return place if self.base is None else self.base[place]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all entries."""
        sizes = np.diff(self.offsets)
        place = np.repeat(self.start, sizes) + ranks(sizes)
        return np.asarray(place if self.base is None else self.base[place], dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a memory map as the location of its file, which a worker opens anew."""
        location = None if self.base is None else map_location(self.base)
        if location is None:
            return Ranges, (self.start, self.offsets, self.base)
        return _reopened, (self.start, self.offsets, location)

    def select(self, chosen: np.ndarray) -> Ranges:
        """Return some of the ranges, in the given order.

        Args:
            chosen: Their numbers, `(C,)`.
        """
        sizes = np.diff(self.offsets)[chosen]
        return Ranges(self.start[chosen], np.concatenate([[0], sizes.cumsum()]), self.base)

    def overlap(self, other: Ranges) -> NDArray[np.bool_]:
        """Return which of the ranges of `other` share a row with a range of this one, `(S,)`.

        Example:
            >>> a = Ranges(np.array([0, 8]), np.array([0, 4, 6]))
            >>> a.overlap(Ranges(np.array([3, 4, 9]), np.array([0, 1, 5, 6]))).tolist()
            [True, False, True]
        """
        order = np.argsort(self.start)
        start = self.start[order]
        # ranges may be nested: the furthest end of all that start before decides
        end = np.maximum.accumulate(start + np.diff(self.offsets)[order])
        last = np.searchsorted(start, other.start + np.diff(other.offsets), side="left") - 1
        shares: NDArray[np.bool_] = (last >= 0) & (end[last.clip(0)] > other.start)
        return shares


def as_ranges(rows: np.ndarray, offsets: np.ndarray) -> np.ndarray | Ranges:
    """Return rows as ranges, if the rows of every set are consecutive, and unchanged if not.

    Example:
        >>> as_ranges(np.array([4, 5, 0, 1]), np.array([0, 2, 4])).start.tolist()
        [4, 0]
        >>> as_ranges(np.array([4, 6]), np.array([0, 2])).tolist()
        [4, 6]
    """
    inside = np.ones(len(rows), bool)
    inside[offsets[1:] - 1] = False  # the step from a set to the next one may be any
    consecutive = (np.diff(rows) == 1)[inside[:-1]].all()
    return Ranges(rows[offsets[:-1]], offsets) if consecutive else rows


def rows_of(rows: np.ndarray | Ranges, offsets: np.ndarray, chosen: np.ndarray) -> Any:
    """Return the rows, or other values an atom, of some of the sets."""
    if isinstance(rows, Ranges):
        return rows.select(chosen)
    sizes = np.diff(offsets)[chosen]
    return rows[np.repeat(offsets[chosen], sizes) + ranks(sizes)]


def _reopened(start: np.ndarray, offsets: np.ndarray, location: tuple[Any, ...]) -> Ranges:
    return Ranges(start, offsets, open_map(location))
