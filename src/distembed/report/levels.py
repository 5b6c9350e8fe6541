"""What the values of a column are: continuous, ordered levels, or names; and their order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from distembed.report.dates import dates_as_text, days_of, is_dates
from distembed.report.style import PETROFF

__all__ = [
    "MISSING",
    "OTHER",
    "Kind",
    "is_numeric",
    "kind_of",
    "labels_of",
    "level_order",
    "level_texts",
    "quantities",
    "texts_of",
]

Kind = Literal["ordered", "categorical", "continuous"]

MISSING, OTHER = "missing", "other"
"""Levels of values that are missing, and of rare ones that share a colour; they come last."""

_DIGITS = r"([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)"
_NUMBER = re.compile(rf"[<>≤≥]?=?\s*{_DIGITS}")
_QUANTITY = re.compile(
    rf"[<>≤≥]?=?\s*{_DIGITS}(?:\s*(?:-|–|to)\s*{_DIGITS})?\s*(?P<unit>[^\d\s].*)?"
)


def kind_of(values: np.ndarray | Sequence[Any]) -> Kind:
    """Return whether a column is continuous, of ordered levels, or of categories without order.

    Numbers are continuous if there are more than ten distinct ones, or fractions of which most
    occur once, and else ordered; dates likewise. Text is ordered if every value is a quantity with
    one unit, as 0.1 uM, 1 uM and 10 uM, or <30, 30-60 and >60. Two levels have no order.

    Example:
        >>> kind_of(["10 nM", "2 nM", "0.5 nM"]), kind_of(["b", "a", "c"])
        ('ordered', 'categorical')
    """
    column = np.asarray(values)
    labels = set(level_texts(column)) - {MISSING}
    if is_dates(column):
        if len(labels) > len(PETROFF):
            return "continuous"
    elif column.dtype.kind in "fiu":
        if is_numeric(column):
            return "continuous"
    else:
        parts = [_QUANTITY.fullmatch(label) for label in labels]
        if not all(parts) or len({p["unit"] for p in parts if p and p["unit"]}) > 1:
            return "categorical"
        if len(labels) > len(PETROFF):
            return "continuous"
    return "ordered" if len(labels) > 2 else "categorical"


def quantities(values: np.ndarray | Sequence[Any]) -> np.ndarray:
    """Return a column as numbers `(S,)`: those that text begins with, NaN where there is none.

    Of ordered levels they are the ranks of the levels, 0, 1, ..., and of dates on a scale their
    days since 1970.

    Example:
        >>> quantities(["10 nM", "2 nM", "0.5 nM", ""]).tolist()
        [2.0, 1.0, 0.0, nan]
    """
    column = np.asarray(values)
    if column.dtype.kind in "fiu" and kind_of(column) == "continuous":
        return column.astype(float)
    if is_dates(column) and kind_of(column) == "continuous":
        return days_of(column)
    text = level_texts(column)
    if kind_of(column) == "continuous":
        return np.array([level_order(t)[1] if t != MISSING else np.nan for t in text])
    levels = sorted(set(text) - {MISSING}, key=level_order)
    return np.array([levels.index(t) if t != MISSING else np.nan for t in text], dtype=float)


def labels_of(values: np.ndarray | Sequence[Any]) -> tuple[np.ndarray, list[str]]:
    """Return the level of each value, `(S,)` with -1 for a missing one, and the levels in order.

    Example:
        >>> codes, levels = labels_of(["b", "a", "", "b"])
        >>> codes.tolist(), levels
        ([1, 0, -1, 1], ['a', 'b'])
    """
    text = level_texts(np.asarray(values))
    levels = sorted(set(text) - {MISSING}, key=level_order)
    place = {label: i for i, label in enumerate(levels)} | {MISSING: -1}
    return np.array([place[t] for t in text], dtype=int), levels


def texts_of(values: np.ndarray | Sequence[Any]) -> list[str]:
    """Write every value of a column with four digits, and a missing one as `missing`.

    Example:
        >>> texts_of(np.array(["2020-03-01", "NaT"], "datetime64[ns]")), texts_of([0.123456])
        (['2020-03-01', 'missing'], ['0.1235'])
    """
    column = np.asarray(values)
    if is_dates(column):
        return level_texts(column)
    return [
        "missing" if v is None or v != v else f"{v:.4g}" if isinstance(v, float) else str(v)
        for v in column.tolist()
    ]


def is_numeric(values: np.ndarray) -> bool:
    """Return whether numbers are a scale: few distinct ones, that recur, are levels."""
    if values.dtype.kind not in "fiu":
        return False
    finite = values[np.isfinite(values)]
    distinct = len(np.unique(finite))
    fractions = bool((finite != np.round(finite)).any())
    return distinct > 10 or (fractions and 2 * distinct > len(finite))


def level_texts(column: np.ndarray) -> list[str]:
    """Write the values of a column as levels, a missing one as `missing`."""
    values = dates_as_text(column) if is_dates(column) else column
    return [_label(value) for value in values.tolist()]


def level_order(label: str) -> tuple[int, float, int, str]:
    """Sort by the number that a label begins with, then text, then `other`, then `missing`.

    So <30, 30-60 and >60 stand in this order, and 2 nM before 10 nM.
    """
    if label in (OTHER, MISSING):
        return (1 + (label == MISSING), 0.0, 0, label)
    start = _NUMBER.match(label)
    if start is None:
        return (0, np.inf, 0, label)
    side = {"<": -1, "≤": -1, ">": 1, "≥": 1}.get(label[:1], 0)
    return (0, float(start[1]), side, label)


def _label(value: Any) -> str:
    if value is None or value != value or value == "":
        return MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)
