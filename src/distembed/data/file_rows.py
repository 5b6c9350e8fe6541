"""Rows of an array that stay in their file until they are asked for.

What is read is an array `(n, *event)`, or CSR `(n, D)` where the file is sparse. Wrappers choose
rows and columns, stack files and join features, and read no more than is asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "BesideRows",
    "ChosenRows",
    "FileRows",
    "NotByRows",
    "StackedRows",
    "beside",
    "choose",
    "stacked",
]


class NotByRows(ValueError):
    """Says that a file does not store a matrix by its rows, so that some cannot be read alone.

    Args:
        message: Why, and the fix.
        size: Bytes of the matrix, where it is held in memory.
    """

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


class FileRows(ABC):
    """R rows in files, indexed as an array is: by a slice, by numbers, or by a mask.

    Args:
        shape: Their shape, `(R, *event)`.
        dtype: Type of their numbers.
        files: The files.
        gap: Most rows that are read and left out between two that are wanted, rather than ending
            one reading and starting another.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, files: Sequence[Path], gap: int = 16
    ) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.files, self._gap = list(files), gap

    @property
    def width(self) -> int:
        """Numbers that are read for a row, whether they are kept or not."""
        return int(np.prod(self.shape[1:]))

    @property
    def one_type(self) -> bool:
        """Whether all parts that are read have numbers of one type."""
        return True

    @abstractmethod
    def between(self, low: int, high: int) -> Any:
        """Read the rows `low, ..., high - 1`, at least one.

        Raises:
            ValueError: If the file is damaged.
        """

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> Any:
        """Read rows.

        Args:
            rows: A slice, a mask `(R,)`, or numbers `(n,)` in any order.
        """
        if isinstance(rows, slice):
            low, high, step = rows.indices(len(self))
            if step == 1 and high > low:
                return self.between(low, high)
            rows = np.arange(low, high, step)
        return self.take(np.flatnonzero(rows) if rows.dtype == bool else rows)

    def take(self, rows: np.ndarray) -> Any:
        """Read rows by their numbers `(n,)`, those that are near each other at once.

        Raises:
            IndexError: If there is no such row, or none is asked for.
        """
        if not len(rows) or rows.min() < 0 or rows.max() >= len(self):
            which = f"rows {rows.min()} to {rows.max()}" if len(rows) else "no row"
            raise IndexError(
                f"There are rows 0 to {len(self) - 1} in the file, and {which} is asked for."
            )
        order = np.argsort(rows, kind="stable")
        breaks = np.flatnonzero(np.diff(rows[order]) > self._gap) + 1
        parts = []
        for run in np.split(rows[order], breaks):
            block = self.between(int(run[0]), int(run[-1]) + 1)
            parts.append(block if (np.diff(run) == 1).all() else block[run - run[0]])
        x = stacked(parts)
        return x if (order[1:] > order[:-1]).all() else x[np.argsort(order)]

    def pieces(self, numbers: int = 2**22) -> Iterator[Any]:
        """Read all rows in their order, at most so many numbers at a time."""
        step = max(1, numbers // max(1, self.width))
        for low in range(0, len(self), step):
            yield self.between(low, min(low + step, len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all rows."""
        x = stacked(list(self.pieces()))
        return np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype)


class ChosenRows(FileRows):
    """Some rows of others, and some of their columns, in any order.

    Args:
        base: The rows.
        rows: Numbers of those that are chosen, `(n,)`; all where None.
        columns: Positions of the columns, `(D,)`; all where None.
    """

    def __init__(
        self, base: FileRows, rows: np.ndarray | None = None, columns: np.ndarray | None = None
    ) -> None:
        count = len(base) if rows is None else len(rows)
        event = base.shape[1:] if columns is None else (len(columns),)
        super().__init__((count, *event), base.dtype, base.files)
        self._base, self._rows, self._columns = base, rows, columns

    @property
    def width(self) -> int:
        """Numbers of a row of those that are chosen from."""
        return self._base.width

    @property
    def one_type(self) -> bool:
        """Whether those that are chosen from are."""
        return self._base.one_type

    def between(self, low: int, high: int) -> Any:
        """Read rows."""
        x = self._base[slice(low, high) if self._rows is None else self._rows[low:high]]
        return x if self._columns is None else x[:, self._columns]


class StackedRows(FileRows):
    """The rows of one file after those of another."""

    def __init__(self, parts: Sequence[FileRows]) -> None:
        self._ends = np.cumsum([len(part) for part in parts])
        dtype = np.result_type(*(part.dtype for part in parts))
        files = [file for part in parts for file in part.files]
        super().__init__((int(self._ends[-1]), *parts[0].shape[1:]), dtype, files)
        self._parts = list(parts)

    @property
    def width(self) -> int:
        """Most numbers of a row of a file."""
        return max(part.width for part in self._parts)

    @property
    def one_type(self) -> bool:
        """Whether those of all files are."""
        return len({part.dtype for part in self._parts}) == 1

    def between(self, low: int, high: int) -> Any:
        """Read rows of the files that have them."""
        read = []
        for part, end in zip(self._parts, self._ends.tolist(), strict=True):
            start = end - len(part)
            first, last = max(low, start), min(high, end)
            if first < last:
                read.append(part.between(first - start, last - start))
        return stacked(read)


class BesideRows(FileRows):
    """The columns of some rows beside those of others."""

    def __init__(self, parts: Sequence[FileRows]) -> None:
        width = sum(part.shape[1] for part in parts)
        dtype = np.result_type(*(part.dtype for part in parts))
        files = list(dict.fromkeys(file for part in parts for file in part.files))
        super().__init__((len(parts[0]), width), dtype, files)
        self._parts = list(parts)

    @property
    def width(self) -> int:
        """Numbers of a row of all parts."""
        return sum(part.width for part in self._parts)

    @property
    def one_type(self) -> bool:
        """Whether each part is."""
        return all(part.one_type for part in self._parts)

    def between(self, low: int, high: int) -> Any:
        """Read the same rows of each."""
        return beside([part.between(low, high) for part in self._parts])


def choose(x: Any, rows: np.ndarray | None = None, columns: np.ndarray | None = None) -> Any:
    """Choose rows and columns of an array or CSR, or of rows in a file, which are not read.

    Args:
        x: The rows, `(R, *event)`.
        rows: A mask `(R,)` or numbers; all where None.
        columns: Positions of columns; all where None.

    Example:
        >>> choose(np.arange(6).reshape(3, 2), np.array([2, 0]), np.array([1])).tolist()
        [[5], [1]]
    """
    if isinstance(x, FileRows):
        numbers = np.flatnonzero(rows) if rows is not None and rows.dtype == bool else rows
        return ChosenRows(x, numbers, columns)
    x = x if rows is None else x[rows]
    return x if columns is None else x[:, columns]


def stacked(parts: Sequence[Any]) -> Any:
    """Stack rows, which are all arrays, all CSR, or all in files.

    Example:
        >>> stacked([np.zeros((1, 2)), np.ones((1, 2))]).tolist()
        [[0.0, 0.0], [1.0, 1.0]]
    """
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], FileRows):
        return StackedRows(parts)
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    from scipy.sparse import vstack

    return vstack(parts, format="csr")


def beside(parts: Sequence[Any]) -> Any:
    """Join columns: CSR if all parts are, rows in files if these are, else an array.

    Example:
        >>> beside([np.zeros((2, 1)), np.ones((2, 1))]).tolist()
        [[0.0, 1.0], [0.0, 1.0]]
    """
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], FileRows):
        return BesideRows(parts)
    if all(hasattr(part, "tocsr") for part in parts):
        from scipy.sparse import hstack

        return hstack(parts, format="csr")
    return np.concatenate([p.toarray() if hasattr(p, "tocsr") else p for p in parts], axis=1)
