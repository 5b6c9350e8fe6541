r"""Scores of folds of several methods: intervals, paired gains, and a verdict over tasks.

A score is one of a fold. The mean over the folds of all repeats has the interval of Nadeau and
Bengio (`distembed.heads.scores`), and so has the gain of a method over the best baseline, which is
that of the largest mean on the same folds. Choosing it afterwards favours the baseline.

A task is a win if the gain is positive and its p-value, adjusted over tasks by Holm (1979), is at
most 0.05; a loss if the 95 % interval of the gain is below zero; and else a tie. Losses are not
adjusted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from distembed.evaluation.result import Score
from distembed.heads.scores import corrected_interval, corrected_p
from distembed.inference.tests.multiplicity import holm

__all__ = ["OWN", "combine_folds", "combine_samples", "fold_score"]

Array = NDArray[np.float64]

OWN = ("gde", "joined", "untrained")
"""Methods that are compared with the best of the others."""


def fold_score(y: Array, prediction: Array, variance: float) -> float:
    """Return 1 - mean squared error of a fold / variance of the target over the whole cohort.

    A denominator of the fold itself would be of few sets, or of one dose.
    """
    return float(1 - np.mean(np.square(y - prediction)) / variance)


def combine_folds(trials: Iterable[Iterable[Score]]) -> list[Score]:
    """Combine the scores of folds, one a fold, method and task, of all repeats.

    Every trial is one repeat of one task. The `note` of a score is the number of folds.

    Returns:
        For each task the score of each method, the gains of the package's own methods over the
        best baseline with their adjusted p-values, and the wins, ties and losses over all tasks.
    """
    folds: dict[str, dict[str, list[Score]]] = {}
    for score in itertools.chain.from_iterable(trials):
        folds.setdefault(score.task, {}).setdefault(score.method, []).append(score)
    rows = [row for methods in folds.values() for row in _task_rows(methods)]
    gains = {own: _gains(folds, own) for own in OWN}
    compared, verdicts = list[Score](), list[Score]()
    for own, (gain, p) in gains.items():
        for score, q in zip(gain, holm(p), strict=True):
            compared += [score, replace(score, metric="p_holm", value=q, low=np.nan, high=np.nan)]
        verdicts += _verdict(own, gain, holm(p)) if gain else []
    return [*rows, *compared, *verdicts]


def combine_samples(trials: Iterable[Iterable[Score]]) -> list[Score]:
    """Combine energy distances of drawn atoms, one a fold, method and task, of all repeats.

    Returns:
        For each task the distance of each method, unless a fold has none; what `gde` saves over
        `pooled`, atoms of other sets, which are the samples of a model without an embedding, with
        p-values adjusted over tasks; and the wins, ties and losses over all tasks.
    """
    folds: dict[str, dict[str, list[Score]]] = {}
    for score in itertools.chain.from_iterable(trials):
        folds.setdefault(score.task, {}).setdefault(score.method, []).append(score)
    # where a fold has sets too small for two halves, there is no score of it
    folds = {k: m for k, m in folds.items() if len(m["gde"]) % int(m["gde"][0].note) == 0}
    rows = [row for methods in folds.values() for row in _task_rows(methods)]
    # a gain is of what is larger where it is better
    merits = {
        task: {
            method: [replace(s, value=-s.value) for s in methods[method]]
            for method in ("gde", "pooled")
        }
        for task, methods in folds.items()
        if {"gde", "pooled"} <= methods.keys()
    }
    gains, p = _gains(merits, "gde")
    for gain, q in zip(gains, holm(p), strict=True):
        rows.append(replace(gain, metric="energy_saved"))
        rows.append(replace(gain, metric="p_holm", value=q, low=np.nan, high=np.nan))
    if gains:
        where = "all tasks, conditional against unconditional samples"
        rows += [replace(s, task=where) for s in _verdict("gde", gains, holm(p))]
    return rows


def _task_rows(methods: dict[str, list[Score]]) -> list[Score]:
    """Return the score of each method with its interval."""
    rows = []
    for scores in methods.values():
        value, low, high = corrected_interval([s.value for s in scores], _ratio(scores[0]))
        seconds = [s.seconds for s in scores if s.seconds is not None]
        rows.append(
            replace(
                scores[0], value=value, low=low, high=high, seeds=_repeats(scores), note="",
                seconds=float(np.mean(seconds)) if seconds else None,
            )
        )  # fmt: skip
    return rows


def _ratio(score: Score) -> float:
    """Return test sets over training sets of a fold; its score notes the number of folds."""
    return 1 / (int(score.note) - 1)


def _repeats(scores: Sequence[Score]) -> int:
    """Return the number of repeats of a method's scores of folds."""
    return len(scores) // int(scores[0].note)


def _gains(folds: dict[str, dict[str, list[Score]]], own: str) -> tuple[list[Score], list[float]]:
    """Return the gains of a method over the best baseline of each task, and p-values."""
    gains, p = [], []
    for task, methods in folds.items():
        others = {name: scores for name, scores in methods.items() if name not in OWN}
        if own not in methods or not others:
            continue
        best = max(others.values(), key=lambda scores: np.nanmean([s.value for s in scores]))
        gap = np.array([a.value - b.value for a, b in zip(methods[own], best, strict=True)])
        first = methods[own][0]
        ratio = _ratio(first)
        value, low, high = corrected_interval(gap, ratio)
        repeats = _repeats(methods[own])
        gain = Score("gain", own, value, low, high, seeds=repeats, task=task)
        gains.append(gain)
        p.append(corrected_p(gap, ratio))
    return gains, p


def _verdict(own: str, gains: Sequence[Score], adjusted: Array) -> list[Score]:
    """Count wins, ties and losses over tasks."""
    value = np.array([g.value for g in gains])
    wins = (value > 0) & (adjusted <= 0.05)
    losses = np.array([g.high < 0 for g in gains])
    counts = {"wins": wins, "ties": ~wins & ~losses, "losses": losses}
    seeds = gains[0].seeds
    return [
        Score(
            name, own, float(rows.sum()), seeds=seeds, task="all tasks, against the best baseline"
        )
        for name, rows in counts.items()
    ]
