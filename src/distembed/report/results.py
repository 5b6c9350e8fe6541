r"""Scores of an evaluation, placed on an axis for the report page.

On every axis right is better, and every baseline has a bar from the value of the GDE to its own:
a bar to the right is a baseline that is better. Rank correlations are placed by Fisher's
$\operatorname{artanh}$, because they are close to one, and positive values that span more than a
factor of thirty by their logarithm. Printed values are not transformed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distembed.evaluation.metrics import PRIMARY, Metric, metric, number

if TYPE_CHECKING:
    from distembed.evaluation.result import Score

__all__ = ["TRUE_W2", "Comparison", "Line", "metrics_of", "p_text", "w2_title"]

TRUE_W2 = "true W2"
"""Name of the W2 of the distributions, in contrast to the W2 of samples of them."""

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
    "fsw": "Fourier sliced-Wasserstein embedding",
    "lot": "linear OT embedding",
    "kmeans_emd": "exact OT between k-means histograms",
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
    """One method on the axis of a metric; places are percentages from left to right.

    Attributes:
        score: The score of the method.
        label: The name of the method on the page.
        kind: `gde`, `floor`, `better` than the GDE, `level` with it, `worse`, or `unknown`.
        note: A remark.
        place: Place of the value.
        span: Left end and length of the interval.
        bar: Left end and length of the bar from the GDE.
    """

    score: Score
    label: str
    kind: str
    note: str
    place: float | None = None
    span: tuple[float, float] | None = None
    bar: tuple[float, float] | None = None

    @property
    def method(self) -> str:
        """The method: `gde`, a baseline or `floor`."""
        return self.score.method

    @property
    def value(self) -> str:
        """The value as text."""
        return number(self.score.value) if self.score.defined else "–"

    @property
    def interval(self) -> str:
        """Its interval as text; empty if there is none."""
        ends = self.score.interval if self.score.defined else None
        return "" if ends is None else f"{number(ends[0])} to {number(ends[1])}"


@dataclass(frozen=True)
class Comparison:
    """A metric with its methods.

    Attributes:
        key: Name of the metric in `METRICS`.
        metric: The metric.
        primary: Whether it is the primary metric of its group.
        scale: How values are placed; empty if they are not transformed.
        verdict: A sentence on the GDE and the baselines.
        beaten: Whether a baseline is better than the GDE.
        own: Place of the GDE; None if it has no value.
        lines: The methods, best first.
    """

    key: str
    metric: Metric
    primary: bool
    scale: str
    verdict: str
    beaten: bool
    own: float | None
    lines: tuple[Line, ...]


def metrics_of(rows: Sequence[Score]) -> tuple[Comparison, ...]:
    """Group scores by metric, in the order of their first appearance."""
    keys = list(dict.fromkeys(row.metric for row in rows))
    return tuple(_compared(key, [row for row in rows if row.metric == key]) for key in keys)


def w2_title(settings: Mapping[str, Any]) -> str:
    """Name the W2 of an evaluation: that of the distributions, or that of samples of them."""
    if settings.get("truth") == "given":
        return TRUE_W2
    return f"{settings.get('w2', 'W2')} of samples"


def _compared(key: str, rows: list[Score]) -> Comparison:
    entry = metric(key)
    scale, transform = _scale(entry, rows)

    def merit(x: float) -> float:
        return entry.merit(x if entry.direction == "nearest" else transform(x))

    merits = [merit(x) for x in _values(rows)] or [0.0]
    left, width = min(merits), (max(merits) - min(merits)) or 1.0

    def place(x: float) -> float:
        return 4 + 92 * (merit(x) - left) / width

    gde = next((r for r in rows if r.method == "gde" and r.defined), None)
    own = None if gde is None else place(gde.value)
    best_first = sorted(rows, key=lambda r: -merit(r.value) if r.defined else math.inf)
    lines = tuple(_line(row, own, place) for row in best_first)
    verdict = "" if gde is None else _verdict(gde, lines)
    beaten = any(line.kind == "better" for line in lines)
    return Comparison(key, entry, key in PRIMARY.values(), scale, verdict, beaten, own, lines)


def _verdict(gde: Score, lines: Sequence[Line]) -> str:
    baselines = [line for line in lines if line.kind in ("better", "level", "worse")]
    if not baselines:
        return ""
    kinds = [line.kind for line in baselines]
    better, worse, count = kinds.count("better"), kinds.count("worse"), len(baselines)
    best = f"{baselines[0].label} ({baselines[0].value})"
    value = number(gde.value)
    if better:
        verb = "is" if better == 1 else "are"
        text = f"{better} of {count} baselines {verb} better than the GDE ({value}); the best is "
    else:
        level = count - worse
        ties = f" and level with {level}" if level else ""
        text = f"The GDE ({value}) is better than {worse} of {count} baselines{ties}; the best is "
    if gde.p is None or math.isnan(gde.p):
        return text + best
    chance = ", not significant" if gde.p > 0.05 else ""
    return f"{text}{best}, {p_text(gde.p)}{chance}"


def _line(row: Score, own: float | None, place: Callable[[float], float]) -> Line:
    names = _METHODS if metric(row.metric).group == "geometry" else _METHODS | _GENERATIVE
    label = names.get(row.method, row.method)
    note = row.note
    if row.method == "gde":
        tested = row.p is not None and not math.isnan(row.p)
        note = f"{p_text(row.p or 0.0)} against the best baseline" if tested else ""
    if not row.defined:
        return Line(row, label, "unknown", note or metric(row.metric).undefined)
    at, kind, bar = place(row.value), row.method, None
    span = None if row.interval is None else _stretch(*map(place, row.interval))
    if row.method not in ("gde", "floor"):
        kind = "unknown"
        if own is not None:
            kind = "better" if at > own else "worse" if at < own else "level"
            bar = _stretch(at, own)
    return Line(row, label, kind, note, at, span, bar)


def _stretch(a: float, b: float) -> tuple[float, float]:
    """Return the left end and the length of an interval."""
    return min(a, b), abs(a - b)


def _scale(metric: Metric, rows: Iterable[Score]) -> tuple[str, Callable[[float], float]]:
    values = _values(rows)
    if metric.direction == "higher" and all(abs(v) <= 1 for v in values):
        return "placed by artanh", lambda x: math.atanh(max(-0.99999, min(0.99999, x)))
    if values and min(values) > 0 and max(values) > 30 * min(values):
        return "placed by logarithm", math.log
    return "", lambda x: x


def p_text(p: float) -> str:
    """Write a p-value, with no line break inside.

    Example:
        >>> p_text(0.0312).replace(chr(160), " "), p_text(0.0004).replace(chr(160), " ")
        ('p = 0.031', 'p < 0.001')
    """
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{p:.2g}"


def _values(rows: Iterable[Score]) -> list[float]:
    return [x for r in rows for x in (r.value, r.low, r.high) if math.isfinite(x)]
