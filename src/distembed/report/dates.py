"""Dates as the values of a column: numbers of days for a scale, and text for people.

NumPy gives times of nanoseconds as integers to whoever asks for Python's values, so dates are
turned to text here before that.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["date_text", "dates_as_text", "days_of", "is_dates"]

Unit = Literal["D", "m", "s"]
"""Smallest part of a time that is written."""

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
    days: NDArray[np.float64] = (values.astype("datetime64[us]") - np.datetime64(0, "us")) / _DAY
    return days


def date_text(days: float, unit: Unit = "D") -> str:
    """Return the date of a number of days since 1970, to the day, minute or second.

    Example:
        >>> date_text(1.5), date_text(1.5, "m")
        ('1970-01-02', '1970-01-02 12:00')
    """
    moment = np.datetime64(round(days * 86400), "s")
    return str(moment.astype(f"datetime64[{unit}]")).replace("T", " ")


def dates_as_text(values: NDArray[Any]) -> NDArray[np.str_]:
    """Return dates as text that sorts as they do, empty for a missing one.

    All have the time of day if one of them is not midnight.

    Example:
        >>> dates_as_text(np.array(["2020-03-01", "NaT"], "datetime64[ns]")).tolist()
        ['2020-03-01', '']
    """
    days = days_of(values)
    seconds = np.round(days[np.isfinite(days)] * 86400)
    unit: Unit = "D"
    if (seconds % 86400).any():
        unit = "s" if (seconds % 60).any() else "m"
    return np.array(["" if d != d else date_text(d, unit) for d in days.tolist()], dtype=str)
