"""Matrices of pairs that are computed in blocks of rows, so that no second one is held."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["in_blocks"]

Block = Callable[[slice, slice], NDArray[np.float64]]
"""A function of row and column numbers, which returns that part of the matrix."""


def in_blocks(
    block: Block,
    rows: int,
    columns: int | None = None,
    numbers: int = 2**18,
    *,
    condensed: bool = False,
    dtype: type[np.floating[Any]] = np.float64,
) -> NDArray[Any]:
    """Compute a matrix `(rows, columns)` from blocks of rows, in as many threads as torch uses.

    Args:
        block: Returns the part of the matrix of some rows and columns.
        rows: Number of rows.
        columns: Number of columns; if left out, the matrix is square and symmetric, and only its
            upper half is computed.
        numbers: Numbers of a block, few enough to stay in the cache.
        condensed: Return the entries above the diagonal of a symmetric matrix, row after row,
            `(rows (rows - 1) / 2,)`, as `scipy.spatial.distance.squareform` reads them.
        dtype: Type of the result; a block is computed in float64.

    Raises:
        ValueError: If a matrix that is not symmetric is to be condensed.

    Example:
        >>> x = np.array([1.0, 2.0, 4.0])
        >>> in_blocks(lambda i, j: np.abs(x[i, None] - x[j]), 3).tolist()
        [[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]
    """
    width = rows if columns is None else columns
    if condensed and columns is not None:
        raise ValueError(
            "Distances between two tables are a matrix; only those of one table among themselves "
            "can be condensed. Leave the second table or `condensed` out."
        )
    out = np.empty(rows * (rows - 1) // 2 if condensed else (rows, width), dtype=dtype)
    step = max(1, numbers // max(1, width))

    def compute(start: int) -> None:
        here = slice(start, min(start + step, rows))
        if columns is not None:
            out[here] = block(here, slice(0, columns))
            return
        part = block(here, slice(start, rows))
        if condensed:
            for i in range(start, here.stop):
                first = i * rows - i * (i + 1) // 2  # of the entries (i, i + 1), (i, i + 2), ...
                out[first : first + rows - i - 1] = part[i - start, i - start + 1 :]
            return
        out[here, start:] = part
        out[here.stop :, here] = part[:, here.stop - start :].T

    starts = range(0, rows, step)
    threads = torch.get_num_threads()
    if threads == 1 or len(starts) == 1:
        for start in starts:
            compute(start)
    else:
        # SciPy and NumPy release the GIL, and no two blocks share an entry
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(compute, starts))
    return out
