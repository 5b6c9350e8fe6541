"""One repeat of a cross-validation, and the permutation test of its first score."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.heads.base import clone
from distembed.heads.folds import Folds, Index, folds, spread_over_folds
from distembed.heads.linear import Choice, Kind
from distembed.heads.scores import concordance, scores_of_classes, scores_of_numbers
from distembed.heads.take import take

__all__ = ["Plan", "Run", "permutation_p", "permuted_target"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """One repeat of a cross-validation.

    Attributes:
        scores: Scores by name, `(folds,)` each.
        fold: Fold in whose test part each set was, `(S,)`; -1 if in none.
        prediction: Predictions, `(S,)`; NaN or empty in no test part.
        labels: The classes; None for numbers.
        probability: Probabilities of the classes, `(S, C)`; None for numbers.
        low: Lower ends of prediction intervals, `(S,)`; None without them.
        high: Upper ends.
        ratio: Mean number of test sets over that of training sets.
        choices: Corrections and penalties that were chosen, one a fold.
    """

    scores: Mapping[str, Array]
    fold: Index
    prediction: NDArray[Any]
    labels: NDArray[Any] | None
    probability: Array | None
    low: Array | None
    high: Array | None
    ratio: float
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Plan:
    """What does not depend on the labels.

    Attributes:
        table: Sets or embeddings.
        groups: Number of the group of each set, `(S,)`.
        scored: Whether a set is scored, or always fitted to, `(S,)`.
        count: Number of folds.
        kind: What is predicted.
        level: Coverage of prediction intervals.
        estimator: The estimator, of which each fold fits a clone.
    """

    table: Any
    groups: Index
    scored: NDArray[np.bool_]
    count: int
    kind: Kind
    level: float
    estimator: Any

    def parts(self, y: NDArray[Any], seed: int) -> Folds:
        """Return folds of the scored sets; the others are in every training part."""
        rows, others = np.flatnonzero(self.scored), np.flatnonzero(~self.scored)
        parts = folds(
            spread_over_folds(y)[rows], self.groups[rows], self.count, self.kind != "number", seed
        )
        return [(np.union1d(rows[train], others), rows[test]) for train, test in parts]

    def run(self, y: NDArray[Any], seed: int) -> Run:
        """Cross-validate once."""
        labels = np.unique(y) if self.kind == "class" else None
        fold, prediction = np.full(len(y), -1), np.full(len(y), np.nan, dtype=np.float64)
        probability = None if labels is None else np.full((len(y), len(labels)), np.nan)
        low, high = np.full((2, len(y)), np.nan)
        values: dict[str, list[float]] = {}
        choices, parts = [], self.parts(y, seed)
        for k, (train, test) in enumerate(parts):
            head, new = self._fitted(y, train), take(self.table, test)
            fold[test] = k
            if labels is not None and probability is not None:
                columns = np.searchsorted(labels, head.classes_)
                probability[test] = 0
                probability[test[:, None], columns] = head.predict_proba(new)
                scores = scores_of_classes(y[test], probability[test], labels)
            else:
                prediction[test] = head.predict(new)
                if self.kind == "time":
                    scores = {"concordance": concordance(y[test], prediction[test])}
                else:
                    scores = scores_of_numbers(y[test], prediction[test], y[train])
                if getattr(head, "calibration", 0):
                    low[test], high[test] = head.predict_interval(new, self.level)
            for name, value in scores.items():
                values.setdefault(name, []).append(value)
            choices += [head.choice_] if hasattr(head, "choice_") else []
        ratio = float(np.mean([len(test) / len(train) for train, test in parts]))
        interval = bool(getattr(self.estimator, "calibration", 0)) and labels is None
        return Run(
            {name: np.array(column) for name, column in values.items()},
            fold,
            prediction if labels is None else _chosen(labels, probability),
            labels,
            probability,
            low if interval else None,
            high if interval else None,
            ratio,
            tuple(choices),
        )

    def _fitted(self, y: NDArray[Any], train: Index) -> Any:
        """Return a clone that is fitted to a training part, with groups where it takes them."""
        head = clone(self.estimator)
        takes_groups = "groups" in inspect.signature(head.fit).parameters
        options = {"groups": self.groups[train]} if takes_groups else {}
        return head.fit(take(self.table, train), y[train], **options)


def permutation_p(
    plan: Plan, y: NDArray[Any], seed: int, first: Run, permutations: int, draws: int
) -> float:
    """Return the permutation p-value of the first score.

    A permutation that cannot be folded, or has no score, counts as one of a larger score, which
    makes the p-value larger, never smaller. It is NaN if there is no score to compare.
    """
    name = next(iter(first.scores))
    if not np.isfinite(first.scores[name]).any():
        return np.nan  # without a score nothing is compared
    observed = np.nanmean(first.scores[name])
    rng, larger = np.random.default_rng(draws), 0
    for _ in range(permutations):
        try:
            values = plan.run(permuted_target(y, plan.groups, rng), seed).scores[name]
        except ValueError:
            larger += 1
            continue
        values = values[np.isfinite(values)]
        # equal scores differ by rounding
        larger += not len(values) or bool(values.mean() >= observed - 1e-12)
    return (1 + larger) / (1 + permutations)


def permuted_target(y: NDArray[Any], groups: Index, rng: np.random.Generator) -> NDArray[Any]:
    """Permute labels between groups if they are constant within, else within groups."""
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    if (y == y[first][number]).all():
        constant: NDArray[Any] = y[first][rng.permutation(len(first))][number]
        return constant
    permuted = y.copy()
    for group in range(len(first)):
        rows = np.flatnonzero(number == group)
        permuted[rows] = y[rng.permutation(rows)]
    return permuted


def _chosen(labels: NDArray[Any], probability: Any) -> NDArray[Any]:
    """Return the most probable class, and empty text or NaN where there is no probability."""
    scored = np.isfinite(probability).all(1)
    best: NDArray[Any] = labels[np.nan_to_num(probability).argmax(1)]
    if scored.all():
        return best
    gap = np.nan if labels.dtype.kind in "iuf" else ""
    chosen: NDArray[Any] = np.where(scored, best, gap)
    return chosen
