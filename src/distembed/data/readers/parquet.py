"""Columns of a Parquet file, read with pyarrow one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.labels import plain_column
from distembed.data.readers.bounds import refuse_inflated
from distembed.data.readers.tabular import As, PartsAs, refuse_long
from distembed.registry import need

__all__ = ["ParquetTable"]

_TEXT = ("string", "large_string", "string_view")


class ParquetTable:
    """A Parquet file.

    Args:
        path: The file.

    Raises:
        ImportError: If pyarrow is not installed.
        ValueError: If the file is damaged, or claims more rows than it can hold.
    """

    def __init__(self, path: Path) -> None:
        parquet, self._arrow = need("pyarrow.parquet", "parquet"), need("pyarrow", "parquet")
        try:
            file = parquet.ParquetFile(path)
        except (self._arrow.ArrowInvalid, OSError) as error:
            raise ValueError(f"{path.name} is damaged or is not Parquet: {error}") from error
        with file:
            self._schema, self._path = file.schema_arrow, path
            cells = file.metadata.num_rows * file.metadata.num_columns
        advice = "Write the file again from its source."
        refuse_inflated(path, 8 * cells, f"{cells} values, as it states,", advice)
        self.names: list[str] = list(self._schema.names)

    @cached_property
    def numeric(self) -> set[str]:
        """Names of the columns of numbers."""
        kinds = self._arrow.types
        tests = (kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_decimal)
        return {f.name for f in self._schema if any(test(f.type) for test in tests)}

    @cached_property
    def others(self) -> dict[str, str]:
        """Columns that are not numeric, with the reason where they resemble numbers."""
        return {f.name: self._reason(f.type) for f in self._schema if f.name not in self.numeric}

    def load(self, columns: Sequence[str], as_: As) -> list[np.ndarray]:
        """Read columns.

        Raises:
            ValueError: If one holds values of another type, or the file is damaged.
        """
        parquet = need("pyarrow.parquet", "parquet")
        if not columns:
            return []
        try:
            table = parquet.read_table(self._path, columns=list(columns), partitioning=None)
        except (self._arrow.ArrowInvalid, OSError) as error:
            raise ValueError(f"{self._path.name} is damaged: {error}") from error
        return [self._column(name, table[name], as_) for name in columns]

    def parts(self, columns: Sequence[str], as_: PartsAs, rows: int) -> Iterator[list[np.ndarray]]:
        """Read columns, some rows at a time.

        Raises:
            ValueError: As `load`.
        """
        parquet = need("pyarrow.parquet", "parquet")
        try:
            with parquet.ParquetFile(self._path) as file:
                for batch in file.iter_batches(rows, columns=list(columns)):
                    table = self._arrow.Table.from_batches([batch])
                    yield [self._column(name, table[name], as_) for name in columns]
        except (self._arrow.ArrowInvalid, OSError) as error:
            raise ValueError(f"{self._path.name} is damaged: {error}") from error

    def settled(self, name: str, exact: np.ndarray) -> np.ndarray:
        """Convert exact values of a column to those of metadata."""
        if self._arrow.types.is_decimal(self._schema.field(name).type):
            return np.array([v or np.nan for v in exact.tolist()], np.float64)
        return plain_column(exact)

    def _column(self, name: str, column: Any, as_: As) -> np.ndarray:
        kinds, kind = self._arrow.types, column.type
        if kinds.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if as_ == "numbers":  # a missing one is NaN, which is refused if its row is in a set
            numbers: np.ndarray = column.to_numpy()
            return numbers if numbers.dtype.kind != "O" else numbers.astype(np.float64)
        text = str(kind) in _TEXT
        if as_ == "strings" and not text:
            raise ValueError(
                f"Column {name!r} holds {kind} values; sequences are strings. Name a column of "
                "strings, or several columns of tokens."
            )
        if kinds.is_decimal(kind):
            column = column.cast(self._arrow.string() if as_ == "exact" else self._arrow.float64())
        elif kinds.is_integer(kind) and column.null_count:  # NumPy would make floats of them
            values = np.empty(len(column), object)
            values[:] = column.to_pylist()
            return values if as_ == "exact" else plain_column(values)
        array: np.ndarray = column.to_numpy()
        if text:
            refuse_long(name, np.array([v or "" for v in array.tolist()], object))
        return plain_column(array) if as_ != "exact" or text else array

    def _reason(self, kind: Any) -> str:
        """Return why a column that is not numeric resembles one, or a blank."""
        kinds = self._arrow.types
        if kinds.is_dictionary(kind):
            kind = kind.value_type
        if str(kind) in _TEXT:
            return ""
        if kinds.is_temporal(kind):
            return f"{kind} values: give numbers, such as days since a reference"
        if kinds.is_nested(kind):
            return f"{kind} values: give one column for each number"
        return f"{kind} values"
