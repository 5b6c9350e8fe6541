"""Construct sets of the atoms in windows along an ordered column, such as time or depth.

A window of a width is half open, [t, t + width), and the last one that ends at the largest value
includes it. Windows of a count hold as many consecutive atoms; atoms with one value are in the
order of their rows. Windows start at the least value of the table, or of each part that they may
not leave (`within`), and follow each other by a stride. Those of a stride below their width share
atoms, and so do expanding ones: a random split of them leaks, and `distembed.sets.split` refuses
it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.data.observations import Observations, refuse_unknown
from distembed.data.recognise import channels_first, recognise
from distembed.protocols import AtomSpace
from distembed.sets.collection import Sets
from distembed.sets.construct import checked_weights, large_enough, normalised
from distembed.sets.draw import ranks
from distembed.sets.recipe import recipe_of

__all__ = ["by_window"]

logger = logging.getLogger(__name__)

Width = float | np.timedelta64 | timedelta
Span = tuple[int, int, Any, Any]
"""First and last place of a window in the sorted table, and its two ends."""


def by_window(
    observations: Observations,
    along: str,
    *,
    width: Width | None = None,
    count: int | None = None,
    stride: Width | None = None,
    expanding: bool = False,
    within: str | None = None,
    weights: str | None = None,
    min_size: int = 2,
    atoms: AtomSpace | None = None,
) -> Sets:
    """Construct one set of the atoms in each window along a column.

    Args:
        observations: One row an atom.
        along: Column of numbers or dates that orders the atoms.
        width: Width of a window in units of the column; for dates a `timedelta64`, a `timedelta`
            or a number of days.
        count: Number of atoms of a window, in place of a width.
        stride: From the start of one window to that of the next, in the units of `width`, or a
            number of atoms; as long as the window where left out.
        expanding: Whether every window begins where the first one does.
        within: Column whose values no window crosses, such as the donor or the batch.
        weights: Column of sampling weights.
        min_size: Fewest atoms of a set; smaller ones are dropped, and their number logged.
        atoms: The kind of atoms; recognised where left out.

    Returns:
        Sets named by their window, with the metadata `ALONG_from`, `ALONG_to` and `within`.

    Raises:
        ValueError: If a column is unknown or has no order, not exactly one of `width` and `count`
            is given, a number is not positive, there are more than a million windows, or none
            has enough atoms.

    Example:
        >>> obs = Observations(np.arange(6.0)[:, None], {"day": np.arange(6)})
        >>> sets = by_window(obs, "day", width=3, stride=1)
        >>> sets.ids.tolist(), sets.sizes.tolist()
        (['0 to 3', '1 to 4', '2 to 5'], [3, 3, 4])
    """
    if atoms is None:
        atoms = recognise(observations)
        observations = channels_first(observations)
    columns = observations.columns
    refuse_unknown([along, *(c for c in (within, weights) if c)], columns, "column")
    if (width is None) == (count is None):
        raise ValueError("Give either the width of a window or its count of atoms, and not both.")
    t = _ordered(columns[along], along)
    group = np.zeros(len(t), np.int64)
    names = np.array([""])
    if within:
        names, group = np.unique(observations.labels(within, check=True), return_inverse=True)
    v = np.ones(len(t)) if weights is None else checked_weights(columns[weights], weights)
    order = np.lexsort((t, group))
    order = order[v[order] > 0]
    bounds = np.searchsorted(group[order], np.arange(len(names) + 1))
    spans, owner, short = list[Span](), list[int](), 0
    for g in range(len(names)):
        part = t[order[bounds[g] : bounds[g + 1]]]
        if len(part):
            if count is not None:
                windows = _of_count(part, count, stride, expanding)
            else:
                windows = _of_width(part, width, stride, expanding)
                short += bool(part[-1] - part[0] < _positive("width", width, t))
            new = [(int(bounds[g]) + a, int(bounds[g]) + b, *ends) for a, b, *ends in windows]
            spans, owner = [*spans, *new], [*owner, *[g] * len(new)]
    first, last = np.array([s[:2] for s in spans]).T
    sizes = last - first
    _log_uncovered(first, last, len(order))
    if short:
        logger.warning(
            "%d of %d windows of width = %s hold all atoms of their part, which is not as wide",
            short, len(spans), width,
        )  # fmt: skip
    if count is not None and (sizes < count).any():
        logger.warning(
            "%d of %d windows have fewer than count = %d atoms: there are no more where they are",
            (sizes < count).sum(), len(sizes), count,
        )  # fmt: skip
    if (sizes < min_size).all():
        given = f"count = {count}" if count is not None else f"width = {width}"
        raise ValueError(
            f"No window of {given} has min_size = {min_size} atoms; the most is {sizes.max()}. A "
            "distribution needs two atoms or more: give wider windows, in units of the column."
        )
    large = large_enough(sizes, min_size)
    first, sizes = first[large], sizes[large]
    rows = order[np.repeat(first, sizes) + ranks(sizes)]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    low, high = (np.array([s[k] for s in spans])[large] for k in (2, 3))
    part_names = names[np.array(owner)[large]]
    return Sets(
        Observations(observations.x, features=observations.features),
        rows,
        offsets,
        _named(part_names, low, high),
        normalised(v[rows], offsets),
        {f"{along}_from": low, f"{along}_to": high} | ({within: part_names} if within else {}),
        atoms,
        recipe=recipe_of(
            "by_window",
            {
                "along": along,
                "width": width,
                "count": count,
                "stride": stride,
                "expanding": expanding or None,
                "within": within,
                "weights": weights,
                "min_size": min_size,
            },
        ),
    ).checked()


def _ordered(column: np.ndarray, name: str) -> np.ndarray:
    """Return a column in a type whose sums are exact; refuse text and missing values."""
    if column.dtype.kind not in "iufM":
        raise ValueError(
            f"Column {name!r} holds {column.dtype} values; windows are along numbers or dates. "
            "Convert it first, or use by_label for categories."
        )
    missing = np.isnat(column) if column.dtype.kind == "M" else ~np.isfinite(column)
    if missing.any():
        raise ValueError(
            f"Column {name!r} has no value in row {int(np.argmax(missing))}; drop atoms without "
            "one."
        )
    if column.dtype.kind == "M":
        return column
    # the end of a window may be beyond the largest number of a short type
    whole = column.dtype.kind in "iu" and bool((column <= np.iinfo(np.int64).max // 2).all())
    return column.astype(np.int64 if whole else np.float64)


def _of_width(
    t: np.ndarray, width: Width | None, stride: Width | None, expanding: bool, most: int = 10**6
) -> Iterator[Span]:
    """Yield windows of a width over sorted values."""
    step = _positive("width", width, t)
    move = step if stride is None else _positive("stride", stride, t)
    start, end = t[0], t[-1]
    # decimal multiples of a stride are rounded: an atom on a boundary is not before it
    rounding = move * 0
    if t.dtype.kind == "f":
        rounding = max(1e-9 * min(step, move), 4 * np.spacing(max(abs(start), abs(end))))
    number = max(0, int(np.floor((end - start - step + rounding) / move + 1e-9))) + 1
    if number > most:
        raise ValueError(
            f"width = {width} and stride = {move if stride is None else stride} make {number:,} "
            f"windows of values from {start} to {end}. Give them in units of the column, or a "
            "longer stride."
        )
    for k in range(number):
        low = start if expanding else start + k * move
        high = start + k * move + step
        a = int(np.searchsorted(t, low - rounding, side="left"))
        closed = -rounding <= high - end <= rounding
        b = len(t) if closed else int(np.searchsorted(t, high - rounding, side="left"))
        yield a, b, low, high


def _of_count(t: np.ndarray, count: int, stride: Width | None, expanding: bool) -> Iterator[Span]:
    """Yield windows of a number of atoms over sorted values."""
    durations = np.timedelta64 | timedelta
    if isinstance(stride, durations) or count < 1 or stride is not None and not _whole(stride):
        raise ValueError(
            f"count = {count} and stride = {stride}; windows of a count of atoms have whole and "
            "positive numbers."
        )
    move = count if stride is None else int(stride)
    for start in range(0, max(1, len(t) - count + 1), move):
        a, b = 0 if expanding else start, min(start + count, len(t))
        yield a, b, t[a], t[b - 1]


def _whole(number: float) -> bool:
    return number == int(number) and number >= 1


def _positive(name: str, value: Width | None, t: np.ndarray) -> Any:
    """Return a length in the unit of the column; a number means days beside dates."""
    length: Any = value
    if isinstance(value, timedelta):
        length = value = np.timedelta64(value)
    if isinstance(value, np.timedelta64) and np.datetime_data(value.dtype)[0] in ("Y", "M"):
        raise ValueError(f"{name} = {value}; months and years differ in length, so give days.")
    if t.dtype.kind == "M" and not isinstance(value, np.timedelta64):
        length = np.timedelta64(round(float(value or 0) * 86_400e6), "us")
    elif t.dtype.kind != "M" and isinstance(value, np.timedelta64):
        raise ValueError(f"{name} is a duration, and the column holds numbers; give a number.")
    if not length > length * 0:
        raise ValueError(f"{name} = {value}; it is positive, in units of the column.")
    return length


def _named(parts: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Name windows by their part and their ends, with a number where two have one name."""

    def text(value: Any) -> str:
        if isinstance(value, np.datetime64):
            day, _, clock = str(value).partition("T")
            return str(value) if clock.strip("0:.") else day
        return f"{value:.10g}"

    names = [f"{text(a)} to {text(b)}" for a, b in zip(low, high, strict=True)]
    names = [f"{p}|{n}" if p else n for p, n in zip(parts.tolist(), names, strict=True)]
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return np.array(unique)


def _log_uncovered(first: NDArray[np.int64], last: NDArray[np.int64], rows: int) -> None:
    """Log how many atoms no window holds."""
    change = np.zeros(rows + 1, np.int64)
    np.add.at(change, first, 1)
    np.add.at(change, last, -1)
    uncovered = int((np.cumsum(change)[:-1] == 0).sum())
    if uncovered:
        logger.warning(
            "%d of %d atoms are in no window: they are beyond the last whole one, or between two",
            uncovered,
            rows,
        )
