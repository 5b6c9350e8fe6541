"""Write atoms to their place in the file of a store, in any order, without a map of the file.

A memory map would be simpler, but a full disk ends a process that writes to one; a write that
fails is an error. Space is reserved first where the system can.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from distembed.sets.precision import examined, refuse_lost

__all__ = ["AtomFiles", "PlacedArray", "require_space"]


def require_space(folder: Path, size: int) -> None:
    """Refuse to write more bytes than are free.

    Raises:
        OSError: If there are fewer.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(
            errno.ENOSPC,
            f"The store takes {size / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free. Make room, "
            "name a folder on another disk, or store fewer features (columns, genes, pca)",
            str(folder),
        )


class PlacedArray:
    """A new `.npy` file whose rows are written in any order.

    Args:
        path: The file.
        dtype: Type of the numbers.
        shape: Shape of the array; its rows are along the first axis.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.dtype, self._file = dtype, path.open("w+b")
        np.lib.format.write_array_header_1_0(
            self._file,
            {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape},
        )
        self._file.flush()
        self._start = self._file.tell()
        self._width = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        size = self._start + shape[0] * self._width
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file.fileno(), 0, size)
        else:
            self._file.truncate(size)

    def write(self, place: np.ndarray, values: np.ndarray) -> None:
        """Write rows `(n, ...)` at increasing places `(n,)`; those that are neighbours at once."""
        rows = np.ascontiguousarray(values, self.dtype)
        breaks = np.flatnonzero(np.diff(place) != 1) + 1
        for low, high in zip([0, *breaks], [*breaks, len(place)], strict=True):
            self._file.seek(self._start + int(place[low]) * self._width)
            self._file.write(rows[low:high].data)

    def __enter__(self) -> PlacedArray:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; what was written is on the disk if there was no error."""
        if kind is None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()


class AtomFiles:
    """The files of atoms and of weights, which the first atoms give their shape.

    Args:
        folder: Where they are written.
        offsets: Where each set starts and ends, `(S + 1,)`.
        weighted: Whether there are weights.
        stored: Function from the type of atoms to the one they are stored as.
    """

    def __init__(
        self,
        folder: Path,
        offsets: np.ndarray,
        weighted: bool,
        stored: Callable[[np.dtype[Any]], np.dtype[Any]],
    ) -> None:
        self._folder, self._offsets = folder, offsets
        self._weighted, self._stored = weighted, stored
        self._x: PlacedArray | None = None
        self._w: PlacedArray | None = None
        self._exact: np.ndarray | None = None
        self._examined = self._ends = offsets[:0]
        self._files = ExitStack()

    def write(self, place: np.ndarray, x: np.ndarray, w: np.ndarray | None) -> None:
        """Write atoms `(n, *event)` and their weights, which sum to one in a set, to places."""
        if self._x is None:
            self._open(x)
        if self._x is not None:
            self._x.write(place, x)
        if self._w is not None and w is not None:
            self._w.write(place, w)
        if self._exact is not None:
            at = np.searchsorted(self._examined, place).clip(max=len(self._examined) - 1)
            hit = self._examined[at] == place
            self._exact[at[hit]] = x[hit]

    def check_rounding(self, features: Sequence[str] | None) -> None:
        """Refuse a feature that is lost in float32, by the atoms that `precision` examines.

        Raises:
            ValueError: If there is one.
        """
        if self._exact is not None:
            refuse_lost(self._exact, self._ends, features)

    def _open(self, x: np.ndarray) -> None:
        shape = (int(self._offsets[-1]), *x.shape[1:])
        dtype = self._stored(x.dtype)
        weights = 8 * shape[0] if self._weighted else 0
        require_space(self._folder, int(np.prod(shape)) * dtype.itemsize + weights)
        self._x = self._files.enter_context(PlacedArray(self._folder / "x.npy", dtype, shape))
        if self._weighted:
            path, double = self._folder / "w.npy", np.dtype(np.float64)
            self._w = self._files.enter_context(PlacedArray(path, double, shape[:1]))
        self._examined, self._ends = examined(self._offsets, int(np.prod(shape[1:])))
        # of any type: atoms of a later file may have another one
        self._exact = np.zeros((len(self._examined), *shape[1:]))

    def __enter__(self) -> AtomFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        self._files.__exit__(kind, error, trace)
