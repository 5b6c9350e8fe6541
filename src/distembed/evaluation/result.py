"""Records of an evaluation: one score a number, the pairs behind the correlations, the settings.

`Score` is the one record of a number, from the evaluation and the benchmarks to the report and the
tables of the documentation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from distembed.evaluation.bootstrap import BootstrapEstimate, paired_p
from distembed.evaluation.metrics import PRIMARY, metric, number

__all__ = ["Evaluation", "Pairs", "Score", "compare"]


@dataclass(frozen=True)
class Score:
    """One number: a metric of a method.

    Attributes:
        metric: A name of `distembed.evaluation.metrics.METRICS`.
        method: `gde`, the name of a baseline, or `floor`.
        value: The number; NaN if it is not defined.
        low: Lower end of a 95 % interval; NaN if there is none.
        high: Upper end.
        p: Two-sided p-value of the difference from the best baseline, for `gde` alone.
        seeds: Number of seeds that the value is a mean over.
        seconds: Seconds of training.
        note: Remark for the reader.
        task: Data that the method was run on, in benchmarks.
    """

    metric: str
    method: str
    value: float
    low: float = math.nan
    high: float = math.nan
    p: float | None = None
    seeds: int | None = None
    seconds: float | None = None
    note: str = ""
    task: str = ""

    @property
    def defined(self) -> bool:
        """Whether the value is a finite number."""
        return math.isfinite(self.value)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The two ends of the interval; None if there is none."""
        ends = (self.low, self.high)
        return ends if all(map(math.isfinite, ends)) else None

    @property
    def merit(self) -> float:
        """A number that is larger where the value is better."""
        return metric(self.metric).merit(self.value)

    def text(self) -> str:
        """Write the value and its interval.

        Example:
            >>> Score("energy_unbiased", "gde", 0.16, 0.12, 0.2).text()
            '0.160 [0.120, 0.200]'
        """
        if not self.defined:
            return "not defined"
        if self.interval is None:
            return number(self.value)
        return f"{number(self.value)} [{number(self.low)}, {number(self.high)}]"

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that `json` can write; NaN becomes null."""
        return {
            k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in asdict(self).items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the score that `to_json` wrote; null becomes NaN.

        Raises:
            ValueError: If a key is missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        unknown = set(data) - names
        missing = {"metric", "method", "value"} - set(data)
        if unknown or missing:
            raise ValueError(
                f"This is not a score: {'unknown' if unknown else 'missing'} "
                f"{', '.join(sorted(unknown or missing))}; expected {', '.join(sorted(names))}."
            )
        absent = {k: math.nan for k in ("value", "low", "high") if data.get(k) is None}
        return cls(**{**data, **absent})


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

    @classmethod
    def none(cls) -> Pairs:
        """Return no pairs."""
        return cls(np.empty(0), np.empty(0), np.empty((0, 2), dtype=np.int64))


@dataclass(frozen=True)
class Evaluation:
    """All numbers of a model on held-out sets.

    Attributes:
        rows: The scores, the primary metric of each group first.
        settings: How they were computed, plain values.
        pairs: The pairs of sets behind the rank correlations.
    """

    rows: tuple[Score, ...]
    settings: Mapping[str, Any]
    pairs: Pairs

    def row(self, metric: str, method: str = "gde") -> Score:
        """Return one score.

        Raises:
            ValueError: If there is none.
        """
        for row in self.rows:
            if (row.metric, row.method) == (metric, method):
                return row
        names = sorted({f"{r.metric} of {r.method}" for r in self.rows})
        raise ValueError(f"There is no {metric} of {method}; there are: {', '.join(names)}.")

    def table(self) -> str:
        """Return aligned plain text: a row a method, a column a metric, then the verdicts."""
        groups: dict[str, list[str]] = {}
        for name in dict.fromkeys(r.metric for r in self.rows):
            groups.setdefault(metric(name).group, []).append(name)
        blocks = [_block(group, names, self.rows) for group, names in groups.items()]
        verdicts = [
            f"{metric(r.metric).label}{_primary(r.metric)}: {r.note}"
            + (f" (p = {r.p:.2g})" if r.p is not None else "")
            for r in self.rows
            if r.method == "gde" and r.note
        ]
        verdicts += [
            f"{title}: {self.settings[key]}"
            for key, title in (
                ("w2", "Unit of distances"),
                ("noise", "Noise"),
                ("w2_intervals", "Intervals for W2"),
                ("few_sets", "Few sets"),
            )
            if key in self.settings
        ]
        if any(r.p is not None for r in self.rows):
            verdicts.append(
                "p: that gde and the best baseline are equal, by a bootstrap over sets"
            )
        return "\n\n".join([*blocks, "\n".join(verdicts)]).rstrip()

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that `json` can write; NaN becomes null."""
        return {
            "rows": [row.to_json() for row in self.rows],
            "settings": dict(self.settings),
            "pairs": {name: array.tolist() for name, array in vars(self.pairs).items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the evaluation that `to_json` wrote.

        Raises:
            ValueError: If it is something else.
        """
        try:
            rows = tuple(Score.from_json(entry) for entry in data["rows"])
            index = np.array(data["pairs"]["index"], np.int64).reshape(-1, 2)
            latent, w2 = (np.array(data["pairs"][k], np.float64) for k in ("latent", "w2"))
            return cls(rows, dict(data["settings"]), Pairs(latent, w2, index))
        except (KeyError, TypeError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else f"{error}"
            raise ValueError(
                f"This is not an evaluation: {reason}. Evaluation.to_json writes one, and so does "
                "`distembed evaluate` in the folder of a model."
            ) from error


def compare(
    name: str,
    estimates: Mapping[str, BootstrapEstimate],
    notes: Mapping[str, str],
    level: float = 0.05,
) -> list[Score]:
    """Score each method by a metric, and compare `gde` with the best baseline in its note.

    Args:
        name: Name of the metric.
        estimates: The value of each method and its resamples; `gde` first.
        notes: Remarks by method.
        level: A p-value above which a difference is called possible chance.
    """
    scores = []
    for method, estimate in estimates.items():
        low, high = estimate.interval()
        scores.append(Score(name, method, estimate.value, low, high, note=notes.get(method, "")))
    own = next(score for score in scores if score.method == "gde")
    rivals = [s for s in scores if s.method not in ("gde", "floor") and s.defined]
    if not own.defined or not rivals:
        return scores
    rivals.sort(key=lambda s: -s.merit)
    p = paired_p(estimates["gde"], estimates[rivals[0].method])
    note = "; ".join(filter(None, (_verdict(own, rivals, not p < level), own.note)))
    defined = p if math.isfinite(p) else None
    return [replace(s, p=defined, note=note) if s is own else s for s in scores]


def _verdict(own: Score, rivals: Sequence[Score], may_be_chance: bool) -> str:
    """Compare a score with those of the baselines, best first, in words."""
    ahead = [r for r in rivals if r.merit > own.merit]
    names = ", ".join(f"{r.method} ({number(r.value)})" for r in ahead or rivals[:1])
    chance = ", which may be chance" if may_be_chance else ""
    if rivals[0].value == own.value:
        verdict = f"is level with {names}"
    elif ahead:
        verdict = f"{'is behind' if chance else 'loses to'} {names}{chance}"
    else:
        verdict = f"is ahead of all baselines{chance}; next is {names}"
    return f"gde ({number(own.value)}) {verdict}"


def _primary(name: str) -> str:
    return " (primary)" if name in PRIMARY.values() else ""


def _block(group: str, metrics: Sequence[str], rows: Sequence[Score]) -> str:
    """Return one aligned table: a row a method, a column a metric of the group."""
    cells = {(r.method, r.metric): r.text() for r in rows if r.metric in metrics}
    methods = dict.fromkeys(method for method, _ in cells)
    directions = list(dict.fromkeys(metric(m).better for m in metrics))
    heads = [metric(m).label for m in metrics]
    if len(directions) > 1:
        heads = [f"{metric(m).label}, {metric(m).better}" for m in metrics]
    lines = [[", ".join([group, *directions[: len(directions) == 1]]), *heads]]
    lines += [[method, *(cells.get((method, m), "") for m in metrics)] for method in methods]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([text[0], "-" * (sum(widths) + 2 * len(metrics)), *text[1:]])
