"""Tables as text: what is in the columns of a CSV or TSV file, read with NumPy alone.

A column is numeric if most of its first thousand values are. A value of it that is not a number
is an error that names its line: numbers with a few words among them are a damaged table, and to
take them for text would drop a feature without a word.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["read_text", "text_header"]

_SNIFFED = 1000


def text_header(path: Path) -> tuple[list[str], set[str]]:
    """Return the names of the columns, and which of them hold numbers.

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
            if len(first) < _SNIFFED:
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


def read_text(path: Path, columns: Sequence[str], numbers: bool) -> list[np.ndarray]:
    """Read some columns as float64 if `numbers`, and else as strings, or as numbers if all are.

    The table is one that `text_header` has accepted.

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
                dtype=float if numbers else str,
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
    return [column if numbers else _narrowed(column) for column in table.T]


def _first_fault(path: Path, columns: Sequence[str]) -> str:
    """Say which value is not a number."""
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
    """Turn strings into integers or floats if every one is written like one.

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
