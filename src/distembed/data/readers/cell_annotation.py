"""Join cells with a table that has one row a cell, by barcodes, and by the samples of both.

Barcodes repeat from sample to sample. Where the table has columns that label the files too, such
as `sample` for the pattern `{sample}.h5`, a row is of the cell whose barcode and labels are equal.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.labels import as_text
from distembed.data.readers.annotation import annotation_columns, key_column
from distembed.data.readers.base import Request, type_of
from distembed.data.readers.columns import open_table

__all__ = ["BARCODE", "annotated_cells"]

logger = logging.getLogger(__name__)

BARCODE = "barcode"
"""Column of the barcodes of cells."""

Columns = dict[str, np.ndarray]


def annotated_cells(
    name: str,
    columns: Mapping[str, np.ndarray],
    tied: Sequence[str],
    source: Any,
    key: str | None,
    request: Request,
) -> tuple[Columns, Columns, np.ndarray]:
    """Add the columns of a table with one row a cell; leave out the cells that it does not name.

    Args:
        name: Name of the file, or the pattern, of the cells.
        columns: Columns of the cells, `barcode` among them, each `(R,)`.
        tied: Those of the file of a cell, which are compared where the table has them.
        source: The table.
        key: Column of the table with the barcodes; the one that has most of them where None.
        request: Names the columns of labels, and of weights.

    Returns:
        All columns, those of labels as text, each `(K,)`, and the rows of the cells that are kept,
        `(K,)`.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If no cell has a row, a cell has several, or a row is of several cells.
    """
    where, table = Path(type_of(source)).name, open_table(source)
    what = "A barcode is compared as text, with the digits after it"
    barcodes = columns[BARCODE].tolist()
    key, keys = key_column(name, barcodes, where, table, key, what)
    shared = [n for n in tied if n in table.names and n != key]
    sides = [as_text(v).tolist() for v in table.load(shared, "exact")]
    of_rows = list(zip(keys, *sides, strict=True))
    of_cells = list(zip(barcodes, *(columns[n].tolist() for n in shared), strict=True))
    cells = set(of_cells)
    row: dict[tuple[str, ...], int] = {}
    for i, k in enumerate(of_rows):
        if k in cells and row.setdefault(k, i) != i:
            raise ValueError(
                f"{where} has several rows for the cell {', '.join(map(repr, k))}; one is needed. "
                "If they are of several samples, give the table a column of the same name as that "
                f"of the cells, such as {tied[-1]!r}."
            )
    if again := [c for c in _repeated_cells(of_cells) if c in row]:
        raise ValueError(
            f"Several files have the barcode {again[0][0]!r}, and {where} does not say which of "
            f"them its row is of. Give it the column {tied[-1]!r} with the value of each file, "
            f"such as {columns[tied[-1]][0]!r}."
        )
    kept = np.array([i for i, c in enumerate(of_cells) if c in row], np.int64)
    if not len(kept):
        raise ValueError(
            f"No cell of {name} has a row in {where} with the same "
            f"{' and '.join([key, *shared])}. The first cell is "
            f"{', '.join(map(repr, of_cells[0]))}, and the first row "
            f"{', '.join(map(repr, of_rows[0]))}."
        )
    if len(kept) < len(of_cells):
        logger.warning(
            "%d of %d cells of %s have no row in %s, and are left out",
            len(of_cells) - len(kept), len(of_cells), name, where,
        )  # fmt: skip
    if others := len(of_rows) - len(row):
        logger.info("%d rows of %s have no cell in %s", others, where, name)
    index = np.array([row[of_cells[i]] for i in kept], np.int64)
    own = {n: column[kept] for n, column in columns.items()}
    added, exact = annotation_columns(table, own, request, index)
    return {**own, **added}, exact, kept


def _repeated_cells(cells: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the cells that occur before."""
    before: set[tuple[str, ...]] = set()
    again = []
    for cell in cells:
        if cell in before:
            again.append(cell)
        before.add(cell)
    return again
