"""Read a matrix of counts in the format of Matrix Market: features x barcodes, an entry a line.

A cell is a column of it. Files are written column after column, so that cells are read in parts by
following the lines; the parts are parsed by SciPy, as the whole file is.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.file_rows import FileRows, NotByRows
from distembed.data.readers.atoms import as_atoms
from distembed.data.readers.bounds import refuse_inflated
from distembed.data.readers.packed import lines_of

__all__ = ["ExchangeRows", "read_exchange"]

_DAMAGED = (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError, AttributeError,
            EOFError, zlib.error, OverflowError)  # fmt: skip


_Entries = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Cell, feature and value of each entry, `(n,)`."""


@dataclass(frozen=True)
class _Head:
    """What the first lines of a file state.

    Attributes:
        field: Type of its numbers, "integer" or "real".
        features: Number of rows.
        cells: Number of columns.
        entries: Number of lines with an entry.
    """

    field: str
    features: int
    cells: int
    entries: int


def read_exchange(path: Path) -> Any:
    """Read a matrix of features by barcodes as barcodes by features, CSR.

    Raises:
        ValueError: If it has another layout, or is damaged.
    """
    from scipy.io import mmread

    _head(path)
    try:
        with _opened(path) as file:
            x = mmread(file)
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    return as_atoms(f"The matrix of {path.name}", x.T.tocsr()).x


class ExchangeRows(FileRows):
    """The cells of a file, which are read in their order; an earlier one starts it again.

    Args:
        path: The file.
        files: It, and those that belong to it.
        block: Bytes of text that are parsed at once.

    Raises:
        ValueError: If it has another layout.
    """

    def __init__(self, path: Path, files: Sequence[Path], block: int = 2**22) -> None:
        self._path, self._block, self._head = path, block, _head(path)
        dtype = np.int64 if self._head.field == "integer" else np.float64
        super().__init__((self._head.cells, self._head.features), dtype, files)
        self._reading: Iterator[_Entries] | None = None
        self._next = 0
        self._ahead: _Entries = (np.zeros(0, np.int64),) * 3

    def between(self, low: int, high: int) -> Any:
        """Read cells as CSR.

        Raises:
            NotByRows: If the entries are not in the order of cells.
            ValueError: If the file is damaged.
        """
        from scipy.sparse import coo_matrix

        if self._reading is None or low < self._next:
            self._reading, self._ahead = self._blocks(), (np.zeros(0, np.int64),) * 3
        parts, cell = [self._ahead], self._ahead[0]
        while not len(cell) or cell[-1] < high:
            part = next(self._reading, None)
            if part is None:
                break
            cell = part[0]
            first = np.searchsorted(cell, low)  # of cells that are not asked for
            parts.append((part[0][first:], part[1][first:], part[2][first:]))
        cell, feature, value = (np.concatenate(one) for one in zip(*parts, strict=True))
        first, last = np.searchsorted(cell, [low, high])
        self._next, self._ahead = high, (cell[last:], feature[last:], value[last:])
        places = (cell[first:last] - low, feature[first:last])
        x = coo_matrix((value[first:last], places), shape=(high - low, self.shape[1])).tocsr()
        return as_atoms(f"The matrix of {self._path.name}", x.astype(self.dtype)).x

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields without the file that is being read."""
        return {**self.__dict__, "_reading": None}

    def _blocks(self) -> Iterator[_Entries]:
        """Parse the file block by block."""
        from scipy.io import mmread

        before, entries, head = -1, 0, self._head
        for text in self._texts():
            lines = text.count(b"\n") + 1
            banner = f"%%MatrixMarket matrix coordinate {head.field} general"
            size = f"{head.features} {head.cells} {lines}"
            try:
                x = mmread(io.BytesIO(f"{banner}\n{size}\n".encode() + text))
            except _DAMAGED as error:
                raise _damaged(self._path, error) from error
            cell = x.col.astype(np.int64)
            entries += len(cell)
            if cell[0] < before or (np.diff(cell) < 0).any():
                raise NotByRows(
                    f"The entries of {self._path} are not in the order of barcodes, so that "
                    "cells cannot be read alone. To read it in parts, sort its lines by their "
                    "second number, below the line of sizes.",
                    24 * head.entries,
                )
            before = int(cell[-1])
            yield cell, x.row.astype(np.int64), x.data
        if entries != head.entries:
            stated = f"it states {head.entries} entries, and has {entries}"
            raise _damaged(self._path, stated)

    def _texts(self) -> Iterator[bytes]:
        """Read the text below the line of sizes, whole lines at a time, without the last end."""
        try:
            with _opened(self._path) as file:
                line = file.readline()
                while line.startswith(b"%") or not line.strip():
                    line = file.readline()
                rest = b""
                while block := file.read(self._block):
                    whole, _, rest = (rest + block).rpartition(b"\n")
                    if whole.strip():
                        yield whole.strip()
                if rest.strip():
                    yield rest.strip()
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(self._path, error) from error


def _head(path: Path) -> _Head:
    """Read the first lines.

    Raises:
        ValueError: If they have another form, or state more than the file can hold.
    """
    with lines_of(path) as lines:
        banner = next(lines, (1, ""))[1].lower().split()
        size = next((line for _, line in lines if not line.startswith("%")), "").split()
    if banner[:3] != ["%%matrixmarket", "matrix", "coordinate"] or (
        len(banner) != 5 or banner[3] not in ("integer", "real") or banner[4] != "general"
    ):
        raise ValueError(
            f"{path.name} starts with {' '.join(banner)[:60]!r}, and a matrix of counts with "
            "'%%MatrixMarket matrix coordinate integer general'."
        )
    if len(size) != 3 or not all(n.isascii() and n.isdigit() for n in size):
        raise ValueError(f"{path.name} is damaged: it does not state its size in three numbers.")
    features, cells, entries = map(int, size)
    claimed = 24 * entries + 8 * cells
    refuse_inflated(path, claimed, "the matrix that it states", "Copy it again.")
    return _Head(banner[3], features, cells, entries)


def _opened(path: Path) -> Any:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _damaged(path: Path, why: object) -> ValueError:
    return ValueError(f"{path.name} is damaged or cut off: {why}. Copy it again.")
