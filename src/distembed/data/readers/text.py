"""Read the columns of a text table (`distembed.data.readers.dialect`), with NumPy alone.

A value of a numeric column that is no number is an error that names the line: a column of numbers
with single words is a damaged one, and reading it as text would drop a feature silently.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.numerals import loss_as_numbers, narrowed
from distembed.data.readers.dialect import Dialect, dialect_of
from distembed.data.readers.kinds import ColumnKinds, with_points
from distembed.data.readers.tabular import As, PartsAs, refuse_long

__all__ = ["TextTable", "header_of", "open_text"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextTable:
    """A text table whose lines have all been counted.

    Attributes:
        dialect: How it is written.
        names: Names of the columns.
        header: Number of lines of the header.
        kinds: What the columns hold.
    """

    dialect: Dialect
    names: list[str]
    header: int
    kinds: ColumnKinds
    _texts: dict[str, np.ndarray] = field(default_factory=dict)
    _narrowed: dict[str, np.ndarray] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)

    @property
    def numeric(self) -> set[str]:
        """Names of the columns of numbers."""
        return self.kinds.numeric

    @property
    def others(self) -> dict[str, str]:
        """Columns that are not numeric, with the reason where they resemble numbers."""
        return self.kinds.others

    def load(self, columns: Sequence[str], as_: As) -> list[np.ndarray]:
        """Read columns.

        Raises:
            ValueError: If a value is not a number where one is expected; the message names the
                line.
        """
        if as_ == "numbers":
            return self._numbers(columns)
        absent = [name for name in columns if name not in self._texts]
        if absent:
            for name, words in zip(absent, self._read(absent, object).T, strict=True):
                refuse_long(name, words)
                self._texts[name] = words.astype(str)
        if as_ not in ("values", "candidates"):
            return [self._texts[name] for name in columns]
        values = [self._values(name) for name in columns]
        for name in columns if as_ == "values" else ():
            self._say_loss(name)
        return values

    def parts(self, columns: Sequence[str], as_: PartsAs, rows: int) -> Iterator[list[np.ndarray]]:
        """Read columns, some rows at a time.

        Raises:
            ValueError: As `load`.
        """
        if as_ != "numbers":
            for words in self._read_parts(columns, object, rows):
                yield [column.astype(str) for column in words.T]
            return
        groups = {c: [n for n in columns if self.kinds.commas(n) == c] for c in (False, True)}
        reads = [self._read_parts(names, float, rows, c) for c, names in groups.items() if names]
        order = [*groups[False], *groups[True]]
        for blocks in zip(*reads, strict=True):
            read = dict(zip(order, np.concatenate(blocks, axis=1).T, strict=True))
            yield [read[name] for name in columns]

    def settled(self, name: str, exact: np.ndarray) -> np.ndarray:
        """Convert exact values of a column to those of metadata."""
        return self._narrow(name, exact)

    def _numbers(self, columns: Sequence[str]) -> list[np.ndarray]:
        read: dict[str, np.ndarray] = {}
        for commas in (False, True):
            part = [name for name in columns if self.kinds.commas(name) == commas]
            if part:
                read.update(zip(part, self._read(part, float, commas).T, strict=True))
        return [read[name] for name in columns]

    def _read(self, columns: Sequence[str], dtype: type, commas: bool = False) -> np.ndarray:
        """Read columns, `(R, C)`; those with decimal commas have no decimal points."""
        options = {**self._options(columns, dtype), "skiprows": self.header}
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Input line", UserWarning)  # of a blank line
                if not commas and not self.dialect.packed:  # NumPy reads a path fastest
                    return np.loadtxt(self.dialect.path, **options)
                with self.dialect.open() as file:
                    return np.loadtxt(map(with_points, file) if commas else file, **options)
        except ValueError as error:
            raise ValueError(self._first_fault(columns) or str(error)) from error

    def _read_parts(
        self, columns: Sequence[str], dtype: type, rows: int, commas: bool = False
    ) -> Iterator[np.ndarray]:
        """Read columns, `(n, C)` at a time."""
        options = {**self._options(columns, dtype), "max_rows": rows}
        with self.dialect.open() as file:
            header = self.dialect.rows(file)
            while header.line_num < self.header:
                next(header)
            lines = map(with_points, file) if commas else file
            while True:
                try:
                    with warnings.catch_warnings():  # of blank lines, and of the end
                        warnings.filterwarnings("ignore", "Input line|loadtxt: input", UserWarning)
                        part = np.loadtxt(lines, **options)
                except ValueError as error:
                    raise ValueError(self._first_fault(columns) or str(error)) from error
                if not part.size:
                    return
                yield part

    def _options(self, columns: Sequence[str], dtype: type) -> dict[str, Any]:
        return {
            "dtype": dtype,
            "delimiter": self.dialect.delimiter,
            "usecols": [self.names.index(c) for c in columns],
            "ndmin": 2,
            "encoding": self.dialect.encoding,
            "comments": None,
            "quotechar": '"',
        }

    def _values(self, name: str) -> np.ndarray:
        """Return a column as numbers if nothing is lost by it."""
        if name not in self._narrowed:
            self._narrowed[name] = self._narrow(name, self._texts[name])
        return self._narrowed[name]

    def _narrow(self, name: str, text: np.ndarray) -> np.ndarray:
        values = narrowed(text)
        if values is text and self.kinds.commas(name):
            points = narrowed(np.array([with_points(v) for v in text.tolist()]))
            values = points if points.dtype.kind in "if" else text
        return values

    def _say_loss(self, name: str) -> None:
        """Log once that a column of numerals stays text, and why."""
        text = self._texts[name]
        if self._narrowed[name] is text and name not in self._said:
            self._said.add(name)
            if loss := loss_as_numbers(set(text.tolist())):
                logger.warning("column %r stays text: %s", name, loss)

    def _first_fault(self, columns: Sequence[str]) -> str:
        """Write a message for the first value that is not a number."""
        path = self.dialect.path
        with self.dialect.open() as file:
            lines = self.dialect.rows(file)
            next(lines)
            for row in filter(None, lines):
                for name, value in zip(self.names, row, strict=True):
                    if name in columns and not self.kinds.number(name, value):
                        what = f"holds {value!r}" if value else "is blank"
                        masked = " Of a value that was not measured write nan, and read the file "
                        masked += "with missing='mask' (data.missing=mask on the command line)."
                        return (
                            f"Column {name!r} of {path.name} {what} in line {lines.line_num}; the "
                            "column is read as numbers. Correct or drop that line; or, if it is a "
                            f"feature, leave it out of `columns`.{'' if value else masked}"
                        )
        return ""


def header_of(path: Path) -> list[str]:
    """Return the names of the columns of a text table, from its first lines.

    Raises:
        ValueError: If the dialect cannot be recognised.
    """
    dialect = dialect_of(path)
    with dialect.open() as file:
        return list(next(dialect.rows(file), []))


def open_text(path: Path, head: int = 1000) -> TextTable:
    """Count the fields of every line, and keep the first rows.

    Args:
        path: The file.
        head: Rows by which a column is recognised as numeric.

    Raises:
        ValueError: If there is no row under the header, or one of another length.
    """
    dialect = dialect_of(path)
    first: list[list[str]] = []
    with dialect.open() as file:
        lines = dialect.rows(file)
        names: list[str] = next(lines, [])
        header = lines.line_num
        for row in filter(None, lines):
            if len(row) != len(names):
                raise ValueError(_other_length(path, lines.line_num, len(row), len(names)))
            if len(first) < head:
                first.append(row)
    if not first:
        raise ValueError(f"{path.name} has no row under its header; there is nothing to read.")
    columns = dict(zip(names, zip(*first, strict=True), strict=True))
    return TextTable(dialect, names, header, ColumnKinds(dialect, columns))


def _other_length(path: Path, line: int, fields: int, names: int) -> str:
    if fields == names + 1:
        why = (
            "if R wrote its row names, the header lacks a name for them: add one, or write with "
            "row.names = FALSE"
        )
    else:
        why = "every line needs them all"
    return f"Line {line} of {path.name} has {fields} fields under a header of {names}; {why}."
