"""Read the columns of a CSV or TSV file, with NumPy alone.

A column is numeric if more than half of its first thousand values are numbers. Any other value of
it is an error that names the line: a column of numbers with single words is a damaged one, and
reading it as text would drop a feature silently.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["read_text", "text_header"]


def text_header(path: Path, head: int = 1000) -> tuple[list[str], set[str]]:
    """Return the names of the columns, and which of them hold numbers.

    Args:
        path: The file.
        head: Rows by which a column is recognised as numeric.

    Raises:
        ValueError: If there is no row under the header, or one of another length.
    """
    first: list[list[str]] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, delimiter=_delimiter(path))
        names = next(lines, [])
        for row in filter(None, lines):
            if len(row) != len(names):
                raise ValueError(_other_length(path, lines.line_num, len(row), len(names)))
            if len(first) < head:
                first.append(row)
    if not first:
        raise ValueError(f"{path.name} has no row under its header; there is nothing to read.")
    columns = zip(*first, strict=True)
    return names, {name for name, c in zip(names, columns, strict=True) if _mostly(c)}


def _other_length(path: Path, line: int, fields: int, names: int) -> str:
    if fields == names + 1:
        why = (
            "if R wrote its row names, the header lacks a name for them: add one, or write with "
            "row.names = FALSE"
        )
    else:
        why = "every line needs them all"
    return f"Line {line} of {path.name} has {fields} fields under a header of {names}; {why}."


def read_text(path: Path, columns: Sequence[str], as_: str = "values") -> list[np.ndarray]:
    """Read columns of a table that `text_header` has accepted.

    Args:
        path: The file.
        columns: Names of the columns.
        as_: `numbers` for float64, `strings`, or `values` for numbers where all values of a column
            are numbers and strings elsewhere.

    Raises:
        ValueError: If a value is not a number where one is expected; the message names the line.
    """
    if not columns:
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        names = next(csv.reader(file, delimiter=_delimiter(path)))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Input line", UserWarning)  # of a blank line
            table = np.loadtxt(
                path,
                dtype=float if as_ == "numbers" else str,
                delimiter=_delimiter(path),
                skiprows=1,
                usecols=[names.index(c) for c in columns],
                ndmin=2,
                encoding="utf-8-sig",
                comments=None,
                quotechar='"',
            )
    except ValueError as error:
        raise ValueError(_first_fault(path, columns) or str(error)) from error
    return [_narrowed(column) if as_ == "values" else column for column in table.T]


def _first_fault(path: Path, columns: Sequence[str]) -> str:
    """Write a message for the first value that is not a number."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, delimiter=_delimiter(path))
        names = next(lines)
        for row in filter(None, lines):
            for name, value in zip(names, row, strict=True):
                if name in columns and not _number(value):
                    what = f"holds {value!r}" if value else "is blank"
                    return (
                        f"Column {name!r} of {path.name} {what} in line {lines.line_num}; the "
                        "column is read as numbers, because it is a feature. Correct or drop that "
                        "line, or leave the column out of `columns`."
                    )
    return ""


def _narrowed(column: np.ndarray) -> np.ndarray:
    """Convert strings to integers or floats if all of them are numbers.

    A code such as 007 stays a string; a blank among floats is NaN.
    """
    values = np.char.strip(column)
    blank = values == ""
    try:
        numbers = np.where(blank, "nan", values).astype(float)
    except ValueError:
        return column
    if blank.all() or any(len(v) > 1 and v[0] == "0" and v.isdigit() for v in values.tolist()):
        return column
    whole = np.char.isdigit(np.char.lstrip(values, "-")) & (np.abs(numbers) < 2**53)
    return numbers.astype(np.int64) if whole.all() else numbers


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _mostly(values: Sequence[str]) -> bool:
    filled = [v for v in values if v]
    return 2 * sum(map(_number, filled)) > len(filled)


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix == ".tsv" else ","
