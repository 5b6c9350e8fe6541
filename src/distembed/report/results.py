r"""The numbers of an evaluation, placed so that a loss to a baseline cannot be overlooked.

Every metric is turned so that right is better, and every method gets a bar from the GDE's value
to its own: what points right of the GDE beats it. Rank correlations crowd just below one, so they
are placed by Fisher's $\operatorname{artanh}$; positive values that span more than a factor of
thirty are placed by their logarithm. Printed values are never transformed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distembed.evaluation.metrics import Metric, metric, number

if TYPE_CHECKING:
    from distembed.evaluation.result import Score

__all__ = ["TRUE_W2", "Comparison", "Line", "metrics_of", "w2_title"]

TRUE_W2 = "true W2"
"""What W2 is called where an evaluation was given it."""

_METHODS = {
    "gde": "GDE (this model)",
    "untrained": "the same model, untrained",
    "mean": "sample mean",
    "mean_cov": "mean and root covariance",
    "bures": "plug-in Bures",
    "quantiles": "sliced quantiles",
    "kernel_0.5": "kernel mean, half the median distance",
    "kernel_1": "kernel mean, median distance",
    "kernel_2": "kernel mean, twice the median distance",
    "ot": "exact OT on the same points",
    "ot_standardised": "exact OT, sets standardised",
    "floor": "floor",
}
_GENERATIVE = {
    "mean_cov": "Gaussian with the sample moments",
    "pooled": "atoms of all sets, pooled",
}


@dataclass(frozen=True)
class Line:
    """One method under one metric; places are percentages from left to right.

    Attributes:
        kind: "gde", "floor", "better" than the GDE, "level" with it, "worse", or "unknown".
    """

    method: str
    label: str
    kind: str
    value: str
    interval: str
    note: str
    place: float | None
    span: tuple[float, float] | None
    bar: tuple[float, float] | None


@dataclass(frozen=True)
class Comparison:
    """A metric with its methods, best first; `own` is the place of the GDE."""

    key: str
    metric: Metric
    scale: str
    verdict: str
    beaten: bool
    own: float | None
    lines: tuple[Line, ...]


def metrics_of(rows: Sequence[Score]) -> tuple[Comparison, ...]:
    """Group the rows of an evaluation by metric, in the order of their first appearance."""
    keys = list(dict.fromkeys(row.metric for row in rows))
    return tuple(_compared(key, [row for row in rows if row.metric == key]) for key in keys)


def w2_title(settings: Mapping[str, Any]) -> str:
    """Say whether the W2 of an evaluation is that of the distributions or of samples of them."""
    return TRUE_W2 if settings.get("truth") == "given" else "W2 of samples"


def _compared(key: str, rows: list[Score]) -> Comparison:
    found = metric(key)
    scale, warp = _scale(found, rows)

    def sense(x: float) -> float:
        return found.merit(x if found.direction == "nearest" else warp(x))

    known = [x for r in rows for x in (r.value, r.low, r.high) if _finite(x)]
    ends = [sense(x) for x in known] or [0.0]
    left, width = min(ends), (max(ends) - min(ends)) or 1.0

    def place(x: float) -> float:
        return 4 + 92 * (sense(x) - left) / width

    own = next((r for r in rows if r.method == "gde" and _finite(r.value)), None)
    mark = None if own is None else place(own.value)
    best_first = sorted(rows, key=lambda r: -sense(r.value) if _finite(r.value) else math.inf)
    lines = tuple(_line(row, mark, place) for row in best_first)
    return Comparison(
        key,
        found,
        scale,
        "" if own is None else _verdict(own, lines),
        any(line.kind == "better" for line in lines),
        mark,
        lines,
    )


def _verdict(own: Score, lines: Sequence[Line]) -> str:
    rivals = [line for line in lines if line.kind in ("better", "level", "worse")]
    if not rivals:
        return ""
    kinds = [line.kind for line in rivals]
    better, worse, count = kinds.count("better"), kinds.count("worse"), len(rivals)
    best = f"{rivals[0].label} ({rivals[0].value})"
    gde = f"the GDE ({number(own.value)})"
    if better:
        text = f"{better} of {count} baselines {'does' if better == 1 else 'do'} better than {gde}"
        text += f"; the best is {best}"
    else:
        text = f"T{gde[1:]} is ahead of {worse} of {count} baselines; the next is {best}"
    if own.p is None or math.isnan(own.p):
        return text
    return f"{text}, {_p(own.p)}{', which may be chance' if own.p > 0.05 else ''}"


def _line(row: Score, mark: float | None, place: Callable[[float], float]) -> Line:
    names = _METHODS if metric(row.metric).group == "geometry" else _METHODS | _GENERATIVE
    label = names.get(row.method, row.method)
    note = row.note
    if row.method == "gde":
        # The verdict says who beats it; what is left to say is how surely.
        sure = row.p is not None and not math.isnan(row.p)
        note = f"{_p(row.p or 0.0)} against the best baseline" if sure else ""
    if not _finite(row.value):
        return Line(row.method, label, "unknown", "–", "", note, None, None, None)
    at = place(row.value)
    kind, interval, span, bar = row.method, "", None, None
    if _finite(row.low) and _finite(row.high):
        interval = f"{number(row.low)} to {number(row.high)}"
        span = _stretch(place(row.low), place(row.high))
    if row.method not in ("gde", "floor"):
        kind = "unknown"
        if mark is not None:
            kind = "better" if at > mark else "worse" if at < mark else "level"
            bar = _stretch(at, mark)
    return Line(row.method, label, kind, number(row.value), interval, note, at, span, bar)


def _stretch(a: float, b: float) -> tuple[float, float]:
    """Where it starts, and how long it is."""
    return min(a, b), abs(a - b)


def _scale(metric: Metric, rows: Iterable[Score]) -> tuple[str, Callable[[float], float]]:
    values = [x for r in rows for x in (r.value, r.low, r.high) if _finite(x)]
    if metric.direction == "higher" and all(abs(v) <= 1 for v in values):
        return "placed by artanh", lambda x: math.atanh(max(-0.99999, min(0.99999, x)))
    if values and min(values) > 0 and max(values) > 30 * min(values):
        return "placed by logarithm", math.log
    return "", lambda x: x


def _p(p: float) -> str:
    # Spaces that do not break.
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{p:.2g}"


def _finite(x: float | None) -> bool:
    return x is not None and math.isfinite(x)
