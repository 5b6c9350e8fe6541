"""Read rows of a matrix in HDF5 or Zarr, sparse or dense, without reading the others.

The file is opened for each reading, so that rows may be handed to another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.file_rows import FileRows
from distembed.data.readers.atoms import as_atoms
from distembed.registry import need

__all__ = ["DAMAGED", "DenseRows", "SparseRows", "files_at", "opened"]

DAMAGED = (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError, AttributeError)
"""Errors of h5py and zarr of damaged files."""


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open an HDF5 file, or a folder of Zarr, for reading."""
    if path.is_dir():
        yield need("zarr", "anndata").open_group(path, mode="r")
        return
    with need("h5py", "anndata").File(path, "r") as file:
        yield file


def files_at(path: Path) -> list[Path]:
    """Return the files of a path: itself, or all files of a folder."""
    return sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]


class SparseRows(FileRows):
    """Rows of a matrix whose `data` and `indices` are stored by rows, with `indptr` in memory.

    Args:
        path: The file, or the folder.
        group: Name of the group in it.
        shape: Rows and columns.
        subject: The matrix, as the subject of a message ("X").

    Raises:
        ValueError: If the pointers do not fit the shape or the values.
    """

    def __init__(self, path: Path, group: str, shape: tuple[int, int], subject: str) -> None:
        with opened(path) as file:
            item = file[group]
            indptr = np.asarray(item["indptr"][:]).astype(np.int64)
            stored = [item[name].shape for name in ("data", "indices")]
            dtype = item["data"].dtype
        if min(shape) < 0 or indptr.shape != (shape[0] + 1,):
            raise ValueError(f"the shape is {shape}, and there are {indptr.size} pointers")
        if indptr[0] != 0 or (np.diff(indptr) < 0).any() or stored != [(indptr[-1],)] * 2:
            raise ValueError(
                f"the pointers of rows are not 0, ..., {stored[0][0]} in increasing order"
            )
        super().__init__(shape, dtype, files_at(path))
        self._path, self._group, self._subject, self._indptr = path, group, subject, indptr

    def between(self, low: int, high: int) -> Any:
        """Read rows as CSR, after a check of their indices.

        Raises:
            ValueError: If the file is damaged.
        """
        from scipy.sparse import csr_matrix

        start, end = (int(n) for n in self._indptr[[low, high]])
        try:
            with opened(self._path) as file:
                item = file[self._group]
                data, indices = (item[name][start:end] for name in ("data", "indices"))
            pointers = self._indptr[low : high + 1] - start
            x = csr_matrix((data, indices, pointers), shape=(high - low, self.shape[1]))
            return as_atoms(self._subject, x).x
        except DAMAGED as error:
            raise ValueError(f"{self._path.name} is damaged: {error}") from error


class DenseRows(FileRows):
    """Rows of an array in a file.

    Args:
        path: The file, or the folder.
        group: Name of the array in it.
        subject: The array, as the subject of a message ("X").
    """

    def __init__(self, path: Path, group: str, subject: str) -> None:
        with opened(path) as file:
            shape, dtype = tuple(map(int, file[group].shape)), file[group].dtype
        super().__init__(shape, dtype, files_at(path))
        self._path, self._group, self._subject = path, group, subject

    def between(self, low: int, high: int) -> Any:
        """Read rows.

        Raises:
            ValueError: If the file is damaged, or does not hold numbers.
        """
        try:
            with opened(self._path) as file:
                x = np.asarray(file[self._group][low:high])
        except DAMAGED as error:
            raise ValueError(f"{self._path.name} is damaged: {error}") from error
        return as_atoms(self._subject, x).x
