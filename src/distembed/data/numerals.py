"""Numerals of text files: which words are numbers, and which columns become numbers without loss.

A column of metadata becomes numbers only if no written value is lost by it:

1. every value is a decimal numeral, without a leading zero (`007`), a plus sign, an underscore
   (`1_1`) or an exponent without a sign (`1E2`, a well), or is blank, `NA` or `nan`;
2. every number is exactly what is written: 19 digits with a blank among them are not, in float64;
3. two different texts are two different numbers (`1.1` and `1.10` are not);
4. decimals have no zero at their end (`1.10`) but a single one (`1.0`), or all values have equally
   many decimals (`0.50`, `1.25`).

All other columns stay text. Labels are never read as numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from decimal import Decimal

import numpy as np

__all__ = ["MISSING", "is_number", "loss_as_numbers", "narrowed"]

MISSING = frozenset({"", "NA", "nan", "NaN"})
"""Words by which data frames and R write a missing number."""
_WHOLE = re.compile(r"-?[1-9][0-9]*|0")
_NUMERAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-][0-9]+)?|-?inf")
_LIKE_A_NUMBER = re.compile(r"\s*[+-]?(?:[0-9_]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*|-?inf")
_INT64, _FLOAT64 = 2**63 - 1, 2**53
"""The largest whole numbers up to which both types are exact."""


def is_number(text: str) -> bool:
    """Return whether a word is a number for the parser of features, perhaps nan or infinite.

    Example:
        >>> [is_number(t) for t in ("1E2", " 7", "nan", "1_1", "0x1A")]
        [True, True, True, False, False]
    """
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text and text.isascii()


def narrowed(column: np.ndarray) -> np.ndarray:
    """Convert strings to int64 or float64 if nothing is lost by it, and return them otherwise.

    Missing values are NaN, and make numbers float64.

    Example:
        >>> narrowed(np.array(["0.50", "1.25", ""])), narrowed(np.array(["1.1", "1.10"]))
        (array([0.5 , 1.25,  nan]), array(['1.1', '1.10'], dtype='<U4'))
    """
    texts = column.tolist()
    values = set(texts)
    if loss_as_numbers(values) is not None:
        return column
    if all(map(_WHOLE.fullmatch, values)):
        return np.array([int(v) for v in texts], np.int64)
    number = {v: float("nan") if v in MISSING else float(v) for v in values}
    return np.fromiter((number[v] for v in texts), np.float64, len(texts))


def loss_as_numbers(values: Collection[str]) -> str | None:
    """Return why a column of these distinct values stays text; None if it becomes numbers.

    The reason is blank where the values are words, which nobody takes for numbers.

    Example:
        >>> loss_as_numbers({"1.1", "1.10"}), loss_as_numbers({"a"}), loss_as_numbers({"1", "2"})
        ("'1.1' and '1.10' are one number", '', None)
    """
    numerals = sorted(set(values) - MISSING)
    if not numerals or not all(map(_LIKE_A_NUMBER.fullmatch, numerals)):
        return ""
    largest = _INT64 if all(map(_WHOLE.fullmatch, values)) else _FLOAT64
    text_of: dict[float | int, str] = {}
    for text in numerals:
        if not _NUMERAL.fullmatch(text):
            return f"{text!r} is not how its number is written"
        whole = _WHOLE.fullmatch(text) is not None
        number = int(text) if whole else float(text)
        if abs(number) > largest if whole else Decimal(repr(number)) != Decimal(text):
            return f"{text!r} has more digits than its number keeps"
        same = text_of.setdefault(number, text)
        if same != text:
            return f"{same!r} and {text!r} are one number"
    return _uneven(numerals)


def _uneven(numerals: Sequence[str]) -> str | None:
    """Return a reason if decimals end with a zero, and values have unequally many of them."""
    decimals = {t: t.lower().partition("e")[0].partition(".")[2] for t in numerals}
    padded = [t for t, d in decimals.items() if d.endswith("0") and d != "0"]
    if padded and len({len(d) for d in decimals.values()}) > 1:
        return f"{padded[0]!r} ends with a zero, and other values have fewer or more decimals"
    return None
