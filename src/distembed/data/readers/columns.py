"""Open a table by its columns: a text or Parquet file, a data frame, or a dict of arrays.

Columns are read only when they are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from distembed.data.observations import plain_column
from distembed.data.readers.text import read_text, text_header
from distembed.registry import need

__all__ = ["Table", "column_names", "open_table", "read_columns"]

As = Literal["numbers", "strings", "values"]
"""Type of loaded columns: numbers, strings, or as they are in the source."""


@dataclass(frozen=True)
class Table:
    """A table that is not read yet.

    Attributes:
        names: Names of the columns.
        numeric: Those that hold numbers.
        load: Function that reads columns of given names as a type.
    """

    names: list[str]
    numeric: set[str]
    load: Callable[[list[str], As], list[np.ndarray]]


def open_table(source: Any) -> Table:
    """Open a table.

    Args:
        source: Path of a `.csv`, `.tsv` or `.parquet` file, a data frame, or a dict of arrays.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If a Parquet file is given and pyarrow is not installed.
        TypeError: If the source is no table.
        ValueError: If the table is damaged, or two columns have one name.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        if path.suffix in (".csv", ".tsv"):
            table = _text(path)
        elif path.suffix == ".parquet":
            table = _parquet(path)
        else:
            raise ValueError(f"{path.name} is no table; expected .csv, .tsv or .parquet.")
    elif isinstance(source, Mapping):
        table = _in_memory(list(source), lambda n: np.asarray(source[n]))
    elif hasattr(source, "columns") and hasattr(source, "__getitem__"):
        # pandas, polars and others: a column is an array by the protocol of NumPy
        table = _in_memory(list(source.columns), lambda n: np.asarray(source[n]))
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
    """Return the names of all columns, without reading them.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: As `open_table`.
    """
    return open_table(source).names


def read_columns(source: Any) -> dict[str, np.ndarray]:
    """Read every column with its own type, such as a table of metadata.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: As `open_table`.
    """
    table = open_table(source)
    return dict(zip(table.names, table.load(table.names, "values"), strict=True))


def _text(path: Path) -> Table:
    names, numeric = text_header(path)
    return Table(names, numeric, lambda columns, as_: read_text(path, columns, as_))


def _in_memory(names: list[Any], get: Callable[[Any], np.ndarray]) -> Table:
    arrays = {str(name): get(name) for name in names}
    numeric = {name for name, values in arrays.items() if _holds_numbers(values)}

    def load(columns: list[str], as_: As) -> list[np.ndarray]:
        if as_ == "numbers":
            return [_as_numbers(name, arrays[name]) for name in columns]
        return [_typed(name, plain_column(arrays[name]), as_) for name in columns]

    return Table(list(arrays), numeric, load)


def _holds_numbers(values: np.ndarray) -> bool:
    """Return whether a column holds numbers, perhaps with other values among them."""
    if values.dtype.kind == "O":
        return any(isinstance(v, int | float) and v == v for v in values.tolist())
    return values.dtype.kind in "biuf"


def _as_numbers(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "O":
        return values
    for row, value in enumerate(values.tolist()):
        if not isinstance(value, int | float):
            raise ValueError(
                f"Column {name!r} holds {value!r} in row {row}, among numbers; features are "
                "numbers. Correct or drop that row, or leave the column out of `columns`."
            )
    return values.astype(float)


def _typed(name: str, values: np.ndarray, as_: As) -> np.ndarray:
    if as_ == "strings" and values.dtype.kind != "U":
        raise ValueError(
            f"Column {name!r} holds {values.dtype} values; sequences are strings. Name a column "
            "of strings, or several columns of tokens."
        )
    return values


def _parquet(path: Path) -> Table:
    parquet, arrow = need("pyarrow.parquet", "parquet"), need("pyarrow", "parquet")
    try:
        schema = parquet.read_schema(path)
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{path.name} is damaged or is not Parquet: {error}") from error
    kinds = arrow.types
    numeric = {
        field.name
        for field in schema
        if kinds.is_integer(field.type)
        or kinds.is_floating(field.type)
        or kinds.is_boolean(field.type)
    }

    def load(columns: list[str], as_: As) -> list[np.ndarray]:
        table = parquet.read_table(path, columns=columns)
        return [_typed(name, plain_column(_arrow_column(table[name])), as_) for name in columns]

    return Table(list(schema.names), numeric, load)


def _arrow_column(column: Any) -> np.ndarray:
    kind = column.type
    if hasattr(kind, "value_type") and hasattr(kind, "index_type"):
        column = column.cast(kind.value_type)
    values: np.ndarray = column.to_numpy()
    return values
