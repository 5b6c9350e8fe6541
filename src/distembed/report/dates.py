"""Dates as the values of a column: numbers of days for a scale, and text for people.

NumPy gives times of nanoseconds as integers to whoever asks for Python's values, so dates are
turned to text here before that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["date_text", "dates_as_text", "days_of", "has_clock", "is_dates"]

_DAY = np.timedelta64(1, "D")


def is_dates(values: NDArray[Any]) -> bool:
    """Return whether an array is of dates or times."""
    return values.dtype.kind == "M"


def days_of(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return dates as days since 1970, NaN for a missing one.

    Example:
        >>> days_of(np.array(["1970-01-02T12", "NaT"], "datetime64[ns]")).tolist()
        [1.5, nan]
    """
    exact = np.asarray(values).astype("datetime64[us]")
    days = (exact - np.datetime64(0, "us")) / _DAY
    return np.where(np.isnat(exact), np.nan, days)


def date_text(days: float, clock: bool = False) -> str:
    """Return the date of a number of days since 1970, with its time of day on request.

    Example:
        >>> date_text(1.5), date_text(1.5, clock=True)
        ('1970-01-02', '1970-01-02 12:00')
    """
    moment = np.datetime64(round(days * 86400), "s")
    return str(moment.astype("datetime64[m]" if clock else "datetime64[D]")).replace("T", " ")


def dates_as_text(values: NDArray[Any]) -> NDArray[np.str_]:
    """Return dates as text that sorts as they do, empty for a missing one.

    The time of day is left out if it is midnight everywhere.

    Example:
        >>> dates_as_text(np.array(["2020-03-01", "NaT"], "datetime64[ns]")).tolist()
        ['2020-03-01', '']
    """
    days = days_of(values)
    clock = has_clock(days)
    return np.array(["" if d != d else date_text(d, clock) for d in days.tolist()], dtype=str)


def has_clock(days: NDArray[np.float64]) -> bool:
    """Return whether some day of finite ones is not whole."""
    finite = days[np.isfinite(days)]
    return bool((finite != np.round(finite)).any())
