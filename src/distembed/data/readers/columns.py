"""Open a table by its columns: a text or Parquet file, a data frame, or a dict of arrays.

Columns are read only when they are loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.labels import as_text
from distembed.data.readers.dialect import SUFFIXES, suffix
from distembed.data.readers.files import files_of, is_pattern
from distembed.data.readers.frames import FrameTable
from distembed.data.readers.hugging_face import dataset_table, is_dataset, refuse_lazy
from distembed.data.readers.joined import JoinedTable
from distembed.data.readers.parquet import ParquetTable
from distembed.data.readers.tabular import Table
from distembed.data.readers.text import header_of, open_text

__all__ = ["TABLES", "column_names", "open_table", "read_columns"]

TABLES = (*SUFFIXES, ".parquet")
"""Suffixes of files that hold a table."""


def open_table(source: Any) -> Table:
    """Open a table.

    Args:
        source: Path of a `.csv`, `.tsv`, `.txt` (perhaps `.gz`) or `.parquet` file, a data frame,
            a Hugging Face dataset, a structured array, or a dict of arrays; or a pattern of paths,
            whose rows are joined and labelled (`distembed.data.readers.files`).

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If a Parquet file is given and pyarrow is not installed.
        TypeError: If the source is no table.
        ValueError: If the table is damaged, or two columns have one name.
    """
    table: Table
    refuse_lazy(source)
    if is_pattern(source):
        files = files_of(source)
        labels = {n: [file.labels[n] for file in files] for n in files[0].labels}
        table = JoinedTable({str(f.path): open_table(f.path) for f in files}, labels)
    elif isinstance(source, str | Path):
        path = _file(source)
        table = ParquetTable(path) if suffix(path) == ".parquet" else open_text(path)
    elif is_dataset(source):
        table = dataset_table(source)
    elif isinstance(source, Mapping):
        table = FrameTable(source, source.__getitem__)
    elif hasattr(source, "columns") and hasattr(source, "__getitem__"):
        table = FrameTable(source.columns, source.__getitem__)
    elif isinstance(source, np.ndarray) and source.dtype.names:
        table = FrameTable(source.dtype.names, source.__getitem__)
    else:
        raise TypeError(
            f"A {type(source).__name__} is no table; give a path, a data frame, or a dict of "
            "arrays."
        )
    if len(set(table.names)) < len(table.names):
        twice = next(n for n in table.names if table.names.count(n) > 1)
        raise ValueError(f"Two columns are named {twice!r}; names must be unique.")
    return table


def column_names(source: Any) -> list[str]:
    """Return the names of all columns, of a text file from its first lines alone.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: As `open_table`.
    """
    if isinstance(source, str | Path) and suffix(source) in SUFFIXES and not is_pattern(source):
        return header_of(_file(source))
    return open_table(source).names


def read_columns(source: Any, labels: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Read every column with its own type, such as a table of metadata.

    Args:
        source: As of `open_table`.
        labels: Columns that are read as text, exactly as they are; those that are not there are
            left out.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: As `open_table`.
    """
    table = open_table(source)
    others = [name for name in table.names if name not in labels]
    values = dict(zip(others, table.load(others, "values"), strict=True))
    own = [name for name in table.names if name in labels]
    values |= {n: as_text(v) for n, v in zip(own, table.load(own, "exact"), strict=True)}
    return {name: values[name] for name in table.names}


def _file(source: str | Path) -> Path:
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if suffix(path) not in TABLES:
        raise ValueError(f"{path.name} is no table; expected {', '.join(TABLES)}.")
    return path
