"""Read rows of a memory map: of a file beyond memory, no more pages than the rows lie on.

By default the kernel reads 128 KB or more around every row, which fills its cache: the best where
the file fits there. Beyond, it is read again and again. Draws of 24 atoms of 200 bytes from each
of 64 sets, 20 times, from a file of 800 MB that was not in the cache: 799 MB read in 0.77 s; page
by page 119 MB in 3.6 s; and with all pages asked for at once, as here, 119 MB in 0.58 s.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np

from distembed.data.file_rows import FileRows

__all__ = ["memory_of_machine", "prefetch", "take"]


def take(x: np.ndarray | FileRows, rows: np.ndarray, share: float = 0.5) -> np.ndarray:
    """Return rows of an array `(R, *event)`, of a memory map, or of dense rows in files.

    Args:
        x: The array.
        rows: Numbers of rows, `(n,)`.
        share: Share of the memory of the machine beyond which a file is read page by page.

    Example:
        >>> take(np.array([[1.0], [2.0], [3.0]]), np.array([2, 0])).tolist()
        [[3.0], [1.0]]
    """
    if isinstance(x, FileRows):
        return np.asarray(x.take(rows))
    if isinstance(x, np.memmap) and x.nbytes > share * memory_of_machine():
        prefetch(x, rows)
    # take is four times as fast as indexing here, and reads no more of a map
    return np.asarray(x.take(rows, 0))


def memory_of_machine() -> float:
    """Return the bytes of memory of the machine; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def prefetch(x: np.memmap[Any, Any], rows: np.ndarray) -> int:
    """Ask for the pages that rows lie on, and for no others; return the bytes of the pages.

    Nothing is asked for where the map is a view, or the system takes no advice.
    """
    memory = getattr(x, "base", None)
    if not isinstance(memory, mmap.mmap) or not hasattr(mmap, "MADV_WILLNEED"):
        return 0
    if not len(rows):
        return 0
    page = mmap.PAGESIZE
    width = x.nbytes // len(x)
    start = x.offset % mmap.ALLOCATIONGRANULARITY + np.unique(rows) * width
    first, last = start // page, (start + width - 1) // page
    fresh = np.flatnonzero(first[1:] > last[:-1] + 1) + 1
    memory.madvise(mmap.MADV_RANDOM)
    asked = 0
    for low, high in zip(first[[0, *fresh]], last[[*(fresh - 1), -1]], strict=True):
        size = min(int(high + 1) * page, len(memory)) - int(low) * page
        memory.madvise(mmap.MADV_WILLNEED, int(low) * page, size)
        asked += size
    return asked
