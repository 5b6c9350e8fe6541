r"""Colours of points by a column of metadata, and the selection of that column.

A column is informative if neighbours in the embedding share its value. The skill of a categorical
column is the agreement of each set with its k nearest neighbours beyond chance (Cohen's kappa),
$(a - \sum_c p_c^2) / (1 - \sum_c p_c^2)$. The skill of a numeric column is the fraction of the
variance of its ranks that the mean of the neighbours explains. Both are 1 for a perfect map, and 0
in expectation for an embedding that is independent of the column.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from distembed.report.dates import date_text, dates_as_text, days_of, is_dates
from distembed.report.style import OKABE_ITO, PETROFF, REAL, SEQUENTIAL

__all__ = [
    "Colouring",
    "Column",
    "Kind",
    "Level",
    "choose_column",
    "colouring",
    "hex_rgb",
    "kind_of",
    "labels_of",
    "quantities",
    "skill",
    "texts_of",
]

Kind = Literal["ordered", "categorical", "continuous"]

_MISSING, _OTHER = "missing", "other"
_DIGITS = r"([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)"
_NUMBER = re.compile(rf"[<>≤≥]?=?\s*{_DIGITS}")
_QUANTITY = re.compile(
    rf"[<>≤≥]?=?\s*{_DIGITS}(?:\s*(?:-|–|to)\s*{_DIGITS})?\s*(?P<unit>[^\d\s].*)?"
)


@dataclass(frozen=True)
class Column:
    """A column of metadata, and the reason for its selection.

    Attributes:
        name: Its title.
        values: `(S,)`.
        why: The reason.
        among: Number of columns among which it was selected by the embeddings; 1 if it was
            requested, 0 if it is no metadata.
        names: Whether the values are names without an order, even where they are numerals.
    """

    name: str
    values: np.ndarray
    why: str
    among: int = 1
    names: bool = False

    @property
    def kind(self) -> Kind:
        """What the values are."""
        return "categorical" if self.names else kind_of(self.values)

    def write(self, value: float) -> str:
        """Write a number of `quantities` as a value of the column."""
        return date_text(value) if is_dates(np.asarray(self.values)) else f"{value:.3g}"


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
    labels = set(_labels(column)) - {_MISSING}
    if is_dates(column):
        if len(labels) > len(PETROFF):
            return "continuous"
    elif column.dtype.kind in "fiu":
        if _is_numeric(column):
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
    text = _labels(column)
    if kind_of(column) == "continuous":
        return np.array([_order(t)[1] if t != _MISSING else np.nan for t in text])
    levels = sorted(set(text) - {_MISSING}, key=_order)
    return np.array([levels.index(t) if t != _MISSING else np.nan for t in text], dtype=float)


def labels_of(values: np.ndarray | Sequence[Any]) -> tuple[np.ndarray, list[str]]:
    """Return the level of each value, `(S,)` with -1 for a missing one, and the levels in order.

    Example:
        >>> codes, levels = labels_of(["b", "a", "", "b"])
        >>> codes.tolist(), levels
        ([1, 0, -1, 1], ['a', 'b'])
    """
    text = _labels(np.asarray(values))
    levels = sorted(set(text) - {_MISSING}, key=_order)
    place = {label: i for i, label in enumerate(levels)} | {_MISSING: -1}
    return np.array([place[t] for t in text], dtype=int), levels


def texts_of(values: np.ndarray | Sequence[Any]) -> list[str]:
    """Write every value of a column with four digits, and a missing one as `missing`.

    Example:
        >>> texts_of(np.array(["2020-03-01", "NaT"], "datetime64[ns]")), texts_of([0.123456])
        (['2020-03-01', 'missing'], ['0.1235'])
    """
    column = np.asarray(values)
    if is_dates(column):
        return _labels(column)
    return [
        "missing" if v is None or v != v else f"{v:.4g}" if isinstance(v, float) else str(v)
        for v in column.tolist()
    ]


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
    text = _labels(column)
    frequent = [label for label, _ in Counter(t for t in text if t != _MISSING).most_common()]
    if len(frequent) > len(PETROFF):
        categories = {*frequent[: len(PETROFF) - 1], _MISSING}
        text = [t if t in categories else _OTHER for t in text]
    count = Counter(text)
    labels = sorted(count, key=_order)
    palette: Sequence[str] = (
        OKABE_ITO if len(set(labels) - {_OTHER, _MISSING}) <= len(OKABE_ITO) else PETROFF
    )
    if kind == "ordered":
        palette = _ramp(len(set(labels) - {_MISSING}))
    shades = [REAL if t in (_OTHER, _MISSING) else palette[i] for i, t in enumerate(labels)]
    levels = tuple(Level(t, c, count[t]) for t, c in zip(labels, shades, strict=True))
    codes = np.array([labels.index(t) for t in text], dtype=int)
    rgb = np.array([hex_rgb(c) for c in shades]).reshape(-1, 3)
    return Colouring(name, rgb[codes], levels, codes, kind=kind)


def choose_column(
    z: np.ndarray, meta: Mapping[str, np.ndarray], sizes: np.ndarray, name: str | None = None
) -> Column:
    """Return the named column, or the one with the largest `skill`.

    Mixtures, whose `weight_*` columns sum to one, are coloured by their largest component. If no
    column has a skill above 0.05, the column is the number of atoms.

    Args:
        z: Embeddings, `(S, L)`.
        meta: Columns `(S,)`.
        sizes: Number of atoms, `(S,)`.
        name: A column of `meta`, or "size".

    Raises:
        ValueError: If there is no such column.
    """
    if name == "size" and "size" not in meta:
        return Column("number of atoms", np.asarray(sizes, dtype=float), "as requested", 0)
    if name is not None:
        if name not in meta:
            raise ValueError(
                f"There is no metadata column {name!r} to colour by; there are: "
                f"{', '.join([*meta, 'size'])}."
            )
        return Column(name, np.asarray(meta[name]), "as requested")
    largest = _largest_component(meta)
    if largest is not None:
        return Column("largest component", largest, "the sets are mixtures", names=True)
    skills = {name: skill(z, np.asarray(values)) for name, values in meta.items()}
    best = max(skills, key=skills.__getitem__, default=None)
    if best is not None and skills[best] > 0.05:
        why = f"the column that neighbours predict best, with skill {skills[best]:.2f} of 1"
        return Column(best, np.asarray(meta[best]), why, len(skills))
    why = "no metadata column varies with the embedding" if skills else "the sets have no metadata"
    return Column("number of atoms", np.asarray(sizes, dtype=float), why, 0)


def skill(z: np.ndarray, values: np.ndarray) -> float:
    """Measure how well the nearest neighbours predict a column, as at the top of the module.

    Args:
        z: Embeddings, `(S, L)`.
        values: `(S,)`; missing values are ignored.

    Returns:
        At most 1; 0 for chance agreement, and for a column that is constant or almost unique.
    """
    text = np.array(_labels(values))
    if is_dates(values):
        values = days_of(values)
    numeric = _is_numeric(values)
    rows = np.flatnonzero(np.isfinite(values) if numeric else text != _MISSING)
    rows = rows[:: max(1, len(rows) // 2000)]
    levels, codes = np.unique(text[rows], return_inverse=True)
    if len(levels) < 2 or len(rows) < 6 or not (numeric or len(rows) >= 3 * len(levels)):
        return 0.0
    points = np.asarray(z, dtype=float)[rows]
    square = (points**2).sum(1)
    distance = square[:, None] + square - 2 * points @ points.T
    np.fill_diagonal(distance, np.inf)
    k = min(len(rows) - 1, max(3, min(10, len(rows) // 20)))
    near = np.argpartition(distance, k - 1, axis=1)[:, :k]
    if numeric:
        rank = np.argsort(np.argsort(values[rows], kind="stable")).astype(float)
        return float(1 - ((rank - rank[near].mean(1)) ** 2).mean() / rank.var())
    chance = float(((np.bincount(codes) / len(codes)) ** 2).sum())
    return float(((codes[near] == codes[:, None]).mean() - chance) / (1 - chance))


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
    levels = (Level(_MISSING, REAL, missing),) if missing else ()
    codes = np.where(finite, -1, 0)
    return Colouring(name, colors, levels, codes, (low, high), "continuous", dates)


def _ramp(count: int) -> tuple[str, ...]:
    """Return `count` colours from low to high."""
    at = np.linspace(0, 1, len(SEQUENTIAL))
    stops = np.array([hex_rgb(c) for c in SEQUENTIAL])
    place = np.linspace(0, 1, max(count, 1))
    rgb = np.stack([np.interp(place, at, stops[:, c]) for c in range(3)], axis=1)
    return tuple("#{:02x}{:02x}{:02x}".format(*row) for row in np.round(255 * rgb).astype(int))


def _is_numeric(values: np.ndarray) -> bool:
    """Return whether numbers are a scale: few distinct ones, that recur, are levels."""
    if values.dtype.kind not in "fiu":
        return False
    finite = values[np.isfinite(values)]
    distinct = len(np.unique(finite))
    fractions = bool((finite != np.round(finite)).any())
    return distinct > 10 or (fractions and 2 * distinct > len(finite))


def _labels(column: np.ndarray) -> list[str]:
    """Write the values of a column as levels, a missing one as `missing`."""
    values = dates_as_text(column) if is_dates(column) else column
    return [_label(value) for value in values.tolist()]


def _label(value: Any) -> str:
    if value is None or value != value or value == "":
        return _MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)


def _order(label: str) -> tuple[int, float, int, str]:
    """Sort by the number that a label begins with, then text, then `other`, then `missing`.

    So <30, 30-60 and >60 stand in this order, and 2 nM before 10 nM.
    """
    if label in (_OTHER, _MISSING):
        return (1 + (label == _MISSING), 0.0, 0, label)
    start = _NUMBER.match(label)
    if start is None:
        return (0, np.inf, 0, label)
    side = {"<": -1, "≤": -1, ">": 1, "≥": 1}.get(label[:1], 0)
    return (0, float(start[1]), side, label)


def _largest_component(meta: Mapping[str, np.ndarray]) -> np.ndarray | None:
    names = [n for n in meta if n.startswith("weight_") and np.asarray(meta[n]).dtype.kind == "f"]
    if len(names) < 2:
        return None
    weights = np.stack([np.asarray(meta[n], dtype=float) for n in names], axis=1)
    if not np.allclose(weights.sum(1), 1, atol=1e-4):
        return None
    parts = np.array([n.removeprefix("weight_") for n in names])
    largest: np.ndarray = parts[weights.argmax(1)]
    return largest
