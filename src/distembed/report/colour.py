"""Colours of points by the values of a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distembed.report.dates import date_text, is_dates
from distembed.report.levels import (
    MISSING,
    OTHER,
    Kind,
    kind_of,
    level_order,
    level_texts,
    quantities,
)
from distembed.report.style import OKABE_ITO, PETROFF, REAL, SEQUENTIAL

__all__ = ["Colouring", "Level", "colouring", "hex_rgb"]


@dataclass(frozen=True)
class Level:
    """One entry of a legend."""

    label: str
    color: str
    count: int


@dataclass(frozen=True)
class Colouring:
    """Colours of S points, and their legend.

    Attributes:
        name: The column.
        colors: `(S, 3)` in [0, 1].
        levels: The categories, missing values last; of numbers only missing values.
        codes: Index into `levels` of each point, `(S,)`, and -1 for a number.
        range: Smallest and largest value of the scale, for numbers; of dates in days since 1970.
        kind: `continuous` for numbers, `ordered` for levels in order, else `categorical`.
        dates: Whether the numbers of the scale are dates.
    """

    name: str
    colors: np.ndarray
    levels: tuple[Level, ...]
    codes: np.ndarray
    range: tuple[float, float] | None = None
    kind: Kind = "categorical"
    dates: bool = False

    @property
    def ends(self) -> tuple[str, str]:
        """Both ends of the scale as text; empty where there is none."""
        low, high = self.range or (np.nan, np.nan)
        return (self.text(low), self.text(high)) if self.range else ("", "")

    def text(self, value: float) -> str:
        """Write a value of the scale."""
        return date_text(value) if self.dates else f"{value:.3g}"


def colouring(
    name: str, values: np.ndarray | Sequence[Any], kind: Kind | None = None
) -> Colouring:
    """Assign a colour to every value: from a palette for categories, a scale for what has order.

    Of more than ten categories the rarest share one grey. The scale of numbers ends at their 2nd
    and 98th percentile, so that an extreme value does not reduce the contrast of the others.

    Args:
        name: Title of the legend.
        values: `(S,)`.
        kind: What the values are; as `kind_of` says if left out.

    Example:
        >>> [level.label for level in colouring("site", ["b", "a", "b", ""]).levels]
        ['a', 'b', 'missing']
    """
    column, kind = np.asarray(values), kind or kind_of(values)
    if kind == "continuous":
        return _numbers(name, quantities(column), is_dates(column))
    text = level_texts(column)
    frequent = [label for label, _ in Counter(t for t in text if t != MISSING).most_common()]
    if len(frequent) > len(PETROFF):
        categories = {*frequent[: len(PETROFF) - 1], MISSING}
        text = [t if t in categories else OTHER for t in text]
    count = Counter(text)
    labels = sorted(count, key=level_order)
    palette: Sequence[str] = (
        OKABE_ITO if len(set(labels) - {OTHER, MISSING}) <= len(OKABE_ITO) else PETROFF
    )
    if kind == "ordered":
        palette = _ramp(len(set(labels) - {MISSING}))
    shades = [REAL if t in (OTHER, MISSING) else palette[i] for i, t in enumerate(labels)]
    levels = tuple(Level(t, c, count[t]) for t, c in zip(labels, shades, strict=True))
    codes = np.array([labels.index(t) for t in text], dtype=int)
    rgb = np.array([hex_rgb(c) for c in shades]).reshape(-1, 3)
    return Colouring(name, rgb[codes], levels, codes, kind=kind)


def hex_rgb(color: str) -> tuple[float, float, float]:
    """Return red, green and blue in [0, 1] of "#rrggbb"."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def _numbers(name: str, values: np.ndarray, dates: bool = False) -> Colouring:
    finite = np.isfinite(values)
    low, high = np.percentile(values[finite], [2, 98]).tolist() if finite.any() else (0.0, 1.0)
    place = np.clip((np.where(finite, values, low) - low) / ((high - low) or 1.0), 0, 1)
    stops = np.array([hex_rgb(c) for c in SEQUENTIAL])
    at = np.linspace(0, 1, len(stops))
    colors = np.stack([np.interp(place, at, stops[:, c]) for c in range(3)], axis=1)
    colors[~finite] = hex_rgb(REAL)
    missing = int((~finite).sum())
    levels = (Level(MISSING, REAL, missing),) if missing else ()
    codes = np.where(finite, -1, 0)
    return Colouring(name, colors, levels, codes, (low, high), "continuous", dates)


def _ramp(count: int) -> tuple[str, ...]:
    """Return `count` colours from low to high."""
    at = np.linspace(0, 1, len(SEQUENTIAL))
    stops = np.array([hex_rgb(c) for c in SEQUENTIAL])
    place = np.linspace(0, 1, max(count, 1))
    rgb = np.stack([np.interp(place, at, stops[:, c]) for c in range(3)], axis=1)
    return tuple("#{:02x}{:02x}{:02x}".format(*row) for row in np.round(255 * rgb).astype(int))
