"""Read the columns of a text table (`distembed.data.readers.dialect`), with NumPy alone.

A column is numeric if more than half of the values in its first thousand rows are numbers. Any
other value of it is an error that names the line: a column of numbers with single words is a
damaged one, and reading it as text would drop a feature silently.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.numerals import MISSING, is_number, loss_as_numbers, narrowed
from distembed.data.readers.dialect import Dialect, comma_number, decimal_commas, dialect_of
from distembed.data.readers.tabular import As, refuse_long

__all__ = ["TextTable", "header_of", "open_text"]

logger = logging.getLogger(__name__)

_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([T ].*)?|\d\d?[/.]\d\d?[/.]\d{2,4}([T ].*)?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+")
_DIGITS = re.compile(r"[+-]?[0-9][0-9.,' ]*")


@dataclass(frozen=True)
class TextTable:
    """A text table whose lines have all been counted.

    Attributes:
        dialect: How it is written.
        names: Names of the columns.
        header: Number of lines of the header.
        first: Values of the first rows, by column.
    """

    dialect: Dialect
    names: list[str]
    header: int
    first: dict[str, tuple[str, ...]]
    _texts: dict[str, np.ndarray] = field(default_factory=dict)
    _narrowed: dict[str, np.ndarray] = field(default_factory=dict)
    _decimal: dict[str, bool] = field(default_factory=dict)

    @cached_property
    def numeric(self) -> set[str]:
        """Names of the columns of numbers."""
        return {name for name in self.names if self._share(name) > 0.5}

    @cached_property
    def others(self) -> dict[str, str]:
        """Columns that are not numeric, with the reason where they resemble numbers."""
        return {n: self._reason(n) for n in self.names if self._share(n) <= 0.5}

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
        return [self._values(name) if as_ == "values" else self._texts[name] for name in columns]

    def _numbers(self, columns: Sequence[str]) -> list[np.ndarray]:
        read: dict[str, np.ndarray] = {}
        for commas in (False, True):
            part = [name for name in columns if self._commas(name) == commas]
            if part:
                read.update(zip(part, self._read(part, float, commas).T, strict=True))
        return [read[name] for name in columns]

    def _read(self, columns: Sequence[str], dtype: type, commas: bool = False) -> np.ndarray:
        """Read columns, `(R, C)`; those with decimal commas have no decimal points."""
        options: dict[str, Any] = {
            "dtype": dtype,
            "delimiter": self.dialect.delimiter,
            "skiprows": self.header,
            "usecols": [self.names.index(c) for c in columns],
            "ndmin": 2,
            "encoding": self.dialect.encoding,
            "comments": None,
            "quotechar": '"',
        }
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Input line", UserWarning)  # of a blank line
                if not commas and not self.dialect.packed:  # NumPy reads a path fastest
                    return np.loadtxt(self.dialect.path, **options)
                with self.dialect.open() as file:
                    return np.loadtxt(map(_with_points, file) if commas else file, **options)
        except ValueError as error:
            raise ValueError(self._first_fault(columns) or str(error)) from error

    def _values(self, name: str) -> np.ndarray:
        """Return a column as numbers if nothing is lost by it, and log it if digits would be."""
        if name in self._narrowed:
            return self._narrowed[name]
        text = self._texts[name]
        values = narrowed(text)
        if values is text and self._commas(name):
            points = narrowed(np.array([_with_points(v) for v in text.tolist()]))
            values = points if points.dtype.kind in "if" else text
        if values is text and (loss := loss_as_numbers(set(text.tolist()))):
            logger.warning("column %r stays text: %s", name, loss)
        self._narrowed[name] = values
        return values

    def _first_fault(self, columns: Sequence[str]) -> str:
        """Write a message for the first value that is not a number."""
        path = self.dialect.path
        with self.dialect.open() as file:
            lines = self.dialect.rows(file)
            next(lines)
            for row in filter(None, lines):
                for name, value in zip(self.names, row, strict=True):
                    if name in columns and not self._number(name, value):
                        what = f"holds {value!r}" if value else "is blank"
                        return (
                            f"Column {name!r} of {path.name} {what} in line {lines.line_num}; the "
                            "column is read as numbers, because it is a feature. Correct or drop "
                            "that line, or leave the column out of `columns`."
                        )
        return ""

    def _commas(self, name: str) -> bool:
        """Return whether numbers of a column have decimal commas."""
        if name not in self._decimal:
            own = self.dialect.delimiter != "," and decimal_commas(self.first[name])
            self._decimal[name] = self.dialect.commas or own
        return self._decimal[name]

    def _number(self, name: str, value: str) -> bool:
        return is_number(_with_points(value) if self._commas(name) else value)

    def _share(self, name: str) -> float:
        """Return the share of numbers among the first values that are not blank."""
        filled = [v for v in self.first[name] if v]
        if not filled or self._thousands(name):
            return 0.0
        return sum(self._number(name, v) for v in filled) / len(filled)

    def _thousands(self, name: str) -> bool:
        """Return whether the points of a column may be of thousands, as beside decimal commas."""
        pointed = [v for v in self.first[name] if "." in v]
        possible = self.dialect.both and bool(pointed)
        return possible and all(map(_THOUSANDS.fullmatch, pointed))

    def _reason(self, name: str) -> str:
        filled = [v for v in self.first[name] if v not in MISSING]
        if not filled:
            return "no value in its first rows"
        example = repr(filled[0])
        if self._thousands(name):
            return (
                f"numbers such as {example}, whose points may be of decimals or of thousands, as "
                "other columns have decimal commas: write one decimal sign"
            )
        if all(comma_number(v) or is_number(v) for v in filled) and any(map(comma_number, filled)):
            if self.dialect.delimiter == ",":
                return f"decimal commas, such as {example}: write decimal points"
            return (
                f"numbers such as {example}, whose comma may be one of decimals or of thousands: "
                "write decimal points, and no separators of thousands"
            )
        if all(map(_DATE.fullmatch, filled)):
            return f"dates, such as {example}: give a number, such as days since a reference"
        if all(map(_DIGITS.fullmatch, filled)) and not all(map(is_number, filled)):
            return f"values such as {example}, which are no numbers as they are written"
        if share := self._share(name):
            word = next((v for v in self.first[name] if v and not is_number(v)), "")
            return (
                f"only {share:.0%} of its first values are numbers, and others are such as "
                f"{word!r}"
            )
        return ""


def _with_points(text: str) -> str:
    """Return decimal points for decimal commas; a point, as of thousands, makes no number."""
    return text.replace(".", "?").replace(",", ".")


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
    return TextTable(
        dialect, names, header, dict(zip(names, zip(*first, strict=True), strict=True))
    )


def _other_length(path: Path, line: int, fields: int, names: int) -> str:
    if fields == names + 1:
        why = (
            "if R wrote its row names, the header lacks a name for them: add one, or write with "
            "row.names = FALSE"
        )
    else:
        why = "every line needs them all"
    return f"Line {line} of {path.name} has {fields} fields under a header of {names}; {why}."
