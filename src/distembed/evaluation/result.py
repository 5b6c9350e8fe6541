"""What an evaluation found: rows, the pairs behind them, and how it was done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from distembed.evaluation.bootstrap import Estimate, paired_p
from distembed.evaluation.metrics import metric, number

__all__ = ["Evaluation", "Pairs", "Row", "compare"]

CERTAIN = 0.05
"""A p-value from which on a difference is said to be possibly chance."""


@dataclass(frozen=True)
class Row:
    """One number: a metric of a method.

    Attributes:
        metric: `sliced_w2`, `energy` or `w2` (lower is better), or `spearman_w2` or
            `spearman_w2_near` (higher is better).
        method: `gde`, the name of a baseline, or `floor`.
        value: The number; NaN where it is not defined.
        low: Lower end of a 95 % interval over sets.
        high: Upper end.
        p: Two-sided p-value of the difference from the best baseline, for `gde` only.
        note: What to know when reading it.
    """

    metric: str
    method: str
    value: float
    low: float
    high: float
    p: float | None = None
    note: str = ""

    @property
    def higher_is_better(self) -> bool:
        """The direction of the metric."""
        return metric(self.metric).higher


@dataclass(frozen=True)
class Pairs:
    """Latent and true distances of pairs of sets, for plots.

    Attributes:
        latent: Distance of the embeddings, `(P,)`.
        w2: W2 of the sets, `(P,)`.
        index: The two sets, `(P, 2)`.
    """

    latent: NDArray[np.float64]
    w2: NDArray[np.float64]
    index: NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """All numbers of a model on held-out sets.

    Attributes:
        rows: The numbers.
        settings: How they were made, plain values.
        pairs: The pairs of sets behind the rank correlations.
    """

    rows: tuple[Row, ...]
    settings: Mapping[str, Any]
    pairs: Pairs

    def row(self, metric: str, method: str = "gde") -> Row:
        """Return one row.

        Raises:
            ValueError: If there is none.
        """
        found = [r for r in self.rows if (r.metric, r.method) == (metric, method)]
        if not found:
            there = sorted({f"{r.metric} of {r.method}" for r in self.rows})
            raise ValueError(f"There is no {metric} of {method}; there are: {', '.join(there)}.")
        return found[0]

    def table(self) -> str:
        """Return aligned plain text: a row a method, a column a metric, then wins and losses."""
        metrics = list(dict.fromkeys(r.metric for r in self.rows))
        blocks = [
            _block(f"{title}, {metric(group[0]).direction}", group, self.rows)
            for title, higher in (("reconstruction", False), ("geometry", True))
            if (group := [m for m in metrics if metric(m).higher == higher])
        ]
        verdicts = [
            f"{metric(r.metric).title}: {r.note} (p = {r.p:.2g})"
            for r in self.rows
            if r.method == "gde" and r.p is not None
        ]
        verdicts += [
            f"{title}: {self.settings[key]}"
            for key, title in (("noise", "Noise"), ("w2_intervals", "Intervals for W2"))
            if key in self.settings
        ]
        if any(r.p is not None for r in self.rows):
            verdicts.append(
                "p: that gde and the best baseline are equal, by a bootstrap over sets"
            )
        return "\n\n".join([*blocks, "\n".join(verdicts)]).rstrip()

    def to_json(self) -> dict[str, Any]:
        """Return what `json` can write; NaN becomes null."""
        return {
            "rows": [
                {k: None if _is_nan(v) else v for k, v in asdict(row).items()} for row in self.rows
            ],
            "settings": dict(self.settings),
            "pairs": {name: array.tolist() for name, array in vars(self.pairs).items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote.

        Raises:
            ValueError: If it is something else.
        """
        try:
            rows = tuple(_row(entry) for entry in data["rows"])
            index = np.array(data["pairs"]["index"], np.int64).reshape(-1, 2)
            latent, w2 = (np.array(data["pairs"][k], np.float64) for k in ("latent", "w2"))
            return cls(rows, dict(data["settings"]), Pairs(latent, w2, index))
        except (KeyError, TypeError) as error:
            raise ValueError(f"This is not an evaluation: {error}.") from error


def compare(name: str, estimates: Mapping[str, Estimate], notes: Mapping[str, str]) -> list[Row]:
    """Make a row of each method, and say in that of `gde` what it loses to or what is next."""
    rows = []
    for method, estimate in estimates.items():
        low, high = estimate.interval()
        note = notes.get(method, "")
        rows.append(Row(name, method, estimate.value, low, high, note=note))
    sign = 1 if rows[0].higher_is_better else -1
    own = estimates["gde"]
    rivals = [r for r in rows if r.method not in ("gde", "floor") and not math.isnan(r.value)]
    if math.isnan(own.value) or not rivals:
        return rows
    rivals.sort(key=lambda r: -sign * r.value)
    ahead = [r for r in rivals if sign * r.value > sign * own.value]
    named = ", ".join(f"{r.method} ({number(r.value)})" for r in ahead or rivals[:1])
    p = paired_p(own, estimates[rivals[0].method])
    chance = "" if p < CERTAIN else ", which may be chance"
    if rivals[0].value == own.value:
        verdict = f"is level with {named}"
    elif ahead:
        verdict = f"{'is behind' if chance else 'loses to'} {named}{chance}"
    else:
        verdict = f"is ahead of all baselines{chance}; next is {named}"
    return [
        replace(
            r, p=p, note="; ".join(filter(None, (f"gde ({number(own.value)}) {verdict}", r.note)))
        )
        if r.method == "gde"
        else r
        for r in rows
    ]


def _row(entry: Mapping[str, Any]) -> Row:
    missing = {k: math.nan for k in ("value", "low", "high") if entry[k] is None}
    return Row(**{**entry, **missing})


def _block(title: str, metrics: Sequence[str], rows: Sequence[Row]) -> str:
    cells = {(r.method, r.metric): _cell(r) for r in rows if r.metric in metrics}
    methods = dict.fromkeys(method for method, _ in cells)
    lines = [[title, *(metric(m).title for m in metrics)]]
    lines += [[method, *(cells.get((method, m), "") for m in metrics)] for method in methods]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([text[0], "-" * (sum(widths) + 2 * len(metrics)), *text[1:]])


def _cell(row: Row) -> str:
    if math.isnan(row.value):
        return "not defined"
    return f"{number(row.value)} [{number(row.low)}, {number(row.high)}]"


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
