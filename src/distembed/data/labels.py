"""Labels of sets: the text of a column, without loss of a digit.

| A label is | its text is |
|---|---|
| text, in a file or in memory | the text itself |
| an integer, also beside missing values | its digits |
| a whole float, as pandas makes of integers with a gap | the digits of the integer |
| another float | its shortest text |
| missing (None, NaN, NA, NaT) | blank, which is refused by row |

A float of 2^53 or more has lost digits before it came here, and is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = ["as_column", "as_text", "check_labels", "numbered_rows", "plain_column"]

logger = logging.getLogger(__name__)

_MISSING = {"None", "nan", "NaN", "<NA>", "NaT"}
_WORDS = {"nan", "na", "n/a", "#n/a", "none", "null", "nil", "<na>", "nat", "missing"}
_EXACT = 2**53


def as_column(values: Any) -> np.ndarray:
    """Return a column of a data frame as an array that holds every value exactly.

    Missing values beside integers make an array of objects, because float64 would lose digits.

    Args:
        values: A sequence, an array, a tensor, or a column of pandas, polars or another library.

    Example:
        >>> as_column([1, None]).tolist()
        [1, None]
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
        objects = np.asarray(values, object)
        objects[np.ma.getmaskarray(values)] = None
        return objects
    dtype = getattr(values, "dtype", None)
    if dtype is None or isinstance(dtype, np.dtype):
        return np.asarray(values)
    missing = values.isna().any() if hasattr(values, "isna") else values.null_count()
    if not missing:
        return np.asarray(values)
    if str(dtype).lower() in ("float32", "float64"):
        # a missing number beside floats is NaN, and nothing is lost
        numbers = [np.nan if _missing(v) else v for v in values]
        return np.array(numbers, np.dtype(str(dtype).lower()))
    objects = np.empty(len(values), object)
    objects[:] = list(values)
    return objects


def plain_column(values: np.ndarray) -> np.ndarray:
    """Convert a column of objects to numbers, if all are numbers or missing, or else to strings.

    A missing number is NaN, where float64 holds the others exactly; missing text is blank.
    Durations are numbers of days.

    Example:
        >>> plain_column(np.array([36, "NaT"], "timedelta64[h]")).tolist()
        [1.5, nan]
    """
    if values.dtype.kind == "m" and np.datetime_data(values.dtype)[0] not in ("Y", "M"):
        return np.asarray(values / np.timedelta64(1, "D"))
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8")
    if values.dtype.kind != "O":
        return values
    items = values.tolist()
    numbers = [v for v in items if not _missing(v)]
    if numbers and all(isinstance(v, Real) and not isinstance(v, bool) for v in numbers):
        largest = max(abs(v) for v in numbers)
        if len(numbers) == len(items) and all(isinstance(v, Integral) for v in items):
            if largest < 2**63:
                return np.array(items, np.int64)
        elif largest <= _EXACT or not any(isinstance(v, Integral) for v in numbers):
            return np.array([np.nan if _missing(v) else v for v in items], np.float64)
    return np.array([_text(v) for v in items], str)


def as_text(column: np.ndarray) -> np.ndarray:
    """Write labels as strings by the rules of this module.

    Example:
        >>> as_text(np.array([1.0, 2.5, np.nan])).tolist()
        ['1', '2.5', '']
    """
    kind = column.dtype.kind
    if kind == "O":
        return np.array([_text(v) for v in column.tolist()], str)
    if kind == "S":
        return np.char.decode(column, "utf-8")
    if kind == "m":
        # a string type of NumPy would cut the unit off
        units = np.array([str(v) for v in column], str)
        return np.where(np.isnat(column), "", units)
    if kind == "M":
        return np.where(np.isnat(column), "", column.astype(str))
    if kind != "f":
        return column.astype(str)
    whole = np.isfinite(column) & (column == np.round(column)) & (np.abs(column) < _EXACT)
    text = np.where(whole, np.where(whole, column, 0).astype(np.int64).astype(str), column)
    return np.where(np.isnan(column), "", text.astype(str))


def numbered_rows(texts: Sequence[np.ndarray]) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Return the distinct rows of columns of labels, and the number of each row.

    Args:
        texts: The columns, each `(R,)`.

    Returns:
        The rows in the order in which they appear, and numbers `(R,)`.

    Example:
        >>> numbered_rows([np.array(["b", "a", "b"])])
        ([('b',), ('a',)], array([0, 1, 0]))
    """
    rows: list[Any] = [text.tolist() for text in texts]
    values = rows[0] if len(rows) == 1 else list(zip(*rows, strict=True))
    distinct = list(dict.fromkeys(values))
    number = {value: i for i, value in enumerate(distinct)}
    code = np.fromiter(map(number.__getitem__, values), np.int64, len(values))
    return [(v,) for v in distinct] if len(rows) == 1 else distinct, code


def check_labels(name: str, column: np.ndarray, text: np.ndarray, first: int = 0) -> None:
    """Check the labels of rows, and log those that may stand for a missing label.

    Args:
        name: Name of the column.
        column: The labels as they are in the source, `(R,)`.
        text: Their text, `(R,)`.
        first: Number of the first row.

    Raises:
        ValueError: If a row has no label, or a label has lost digits.
    """
    blank = text == ""
    if blank.any():
        raise ValueError(
            f"Row {first + np.argmax(blank)} has no label in column {name!r}; every atom belongs "
            "to a set. Drop such rows first."
        )
    if column.dtype.kind in "fO":
        for row, value in enumerate(column.tolist(), first):
            if isinstance(value, float | np.floating) and abs(float(value)) >= _EXACT:
                raise ValueError(
                    f"The label in row {row} of column {name!r} is the float {value!r}; floats of "
                    "2^53 or more have lost digits, so that two labels may have become one. Read "
                    f"the column as text, such as pandas.read_csv(..., dtype={{{name!r}: str}})."
                )
    for word in sorted(set(text.tolist())):
        if word.strip().lower() in _WORDS:
            rows = np.flatnonzero(text == word)
            logger.warning(
                "%d rows, the first being row %d, have the label %r in column %r, and form a set "
                "of this name; if it stands for a missing label, drop these rows first",
                len(rows), first + rows[0], word, name,
            )  # fmt: skip


def _missing(value: Any) -> bool:
    return value is None or not isinstance(value, str | bytes) and str(value) in _MISSING


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode()
    if _missing(value):
        return ""
    floating = isinstance(value, float | np.floating)
    if floating and float(value).is_integer() and abs(value) < _EXACT:
        return str(int(value))
    return str(value)
