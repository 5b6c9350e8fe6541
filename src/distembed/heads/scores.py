r"""Scores of predictions on folds, with intervals for repeated cross-validation.

Scores $s_1, \dots, s_J$ of the folds of repeated cross-validation share training sets, and their
variance over J is too small for an interval. Nadeau and Bengio (2003) correct it:

    mean(s) +- t_{J-1} sqrt((1 / J + n_test / n_train) var(s)).

- `r2`: 1 - sum (y - f)^2 / sum (y - mean of the training targets)^2; the mean scores 0.
- `mae`: mean absolute error, in units of the target.
- `balanced_accuracy`: mean over the classes of a fold of the share that is recalled.
- `auc`: area under the ROC curve, the mean over pairs of classes for three and more.
- `concordance`: share of pairs of sets, one of which has its event before the time of the other,
  in which that one has the larger risk; ties count half (Harrell, 1982).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from distembed.registry import need

__all__ = [
    "Score",
    "concordance",
    "corrected_interval",
    "corrected_p",
    "scores_of_classes",
    "scores_of_numbers",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A cross-validated score.

    Attributes:
        name: Its name.
        value: Mean over folds.
        low: Lower end of the interval.
        high: Upper end of the interval.
        chance: Score of a prediction that ignores the sets.
        folds: Scores of the folds, `(J,)`; NaN where a fold has one class and no such score.
        p: Of a difference of two predictions, its p-value (`corrected_p`); else NaN.
    """

    name: str
    value: float
    low: float
    high: float
    chance: float
    folds: Array
    p: float = np.nan

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def corrected_interval(
    values: ArrayLike, ratio: float, level: float = 0.95
) -> tuple[float, float, float]:
    """Return the mean of the scores of folds, and the ends of its corrected interval.

    Args:
        values: Scores, `(J,)`; NaN are left out.
        ratio: Number of test sets over that of training sets.
        level: Coverage.

    Example:
        >>> mean, low, high = corrected_interval([0.5, 0.7], ratio=0.5, level=0.5)
        >>> round(mean, 6), round(high - mean, 6)  # t = 1, variance 0.02
        (0.6, 0.141421)
    """
    s = np.asarray(values, dtype=np.float64)
    s = s[np.isfinite(s)]
    if len(s) < 2:
        return float(s.mean()) if len(s) else np.nan, np.nan, np.nan
    error = np.sqrt((1 / len(s) + ratio) * s.var(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, len(s) - 1) * error)
    return float(s.mean()), float(s.mean() - half), float(s.mean() + half)


def corrected_p(values: ArrayLike, ratio: float) -> float:
    """Return the two-sided p-value that the mean over folds is zero, from the same t statistic.

    Args:
        values: Scores, or differences of scores of two predictions on the same folds, `(J,)`; NaN
            are left out.
        ratio: Number of test sets over that of training sets.

    Example:
        >>> round(corrected_p([0.1, 0.2, 0.3, 0.2], ratio=0.25), 3)
        0.041
    """
    s = np.asarray(values, dtype=np.float64)
    s = s[np.isfinite(s)]
    if len(s) < 2:
        return np.nan
    error = np.sqrt((1 / len(s) + ratio) * s.var(ddof=1))
    if error == 0:
        return 1.0 if s.mean() == 0 else 0.0
    return float(2 * stats.t.sf(abs(s.mean()) / error, len(s) - 1))


def scores_of_numbers(y: Array, prediction: Array, training: Array) -> Mapping[str, float]:
    """Return the scores of a fold of a regression.

    Args:
        y: Targets of the test sets.
        prediction: Their predictions.
        training: Targets of the training sets.
    """
    base = np.square(y - training.mean()).sum()
    r2 = 1 - np.square(y - prediction).sum() / base if base > 0 else np.nan
    return {"r2": float(r2), "mae": float(np.abs(y - prediction).mean())}


def scores_of_classes(
    y: NDArray[np.generic], probabilities: Array, labels: NDArray[np.generic]
) -> Mapping[str, float]:
    """Return the scores of a fold of a classification.

    Args:
        y: Classes of the test sets.
        probabilities: `(S, C)`.
        labels: The classes of the columns.
    """
    metrics = need("sklearn.metrics", "sklearn")
    chosen = labels[probabilities.argmax(1)]
    recalls = [float((chosen[y == label] == label).mean()) for label in np.unique(y)]
    auc = np.nan
    if len(np.unique(y)) == len(labels):
        many = len(labels) > 2
        auc = metrics.roc_auc_score(
            y,
            probabilities if many else probabilities[:, 1],
            labels=labels if many else None,
            multi_class="ovo" if many else "raise",
        )
    return {"balanced_accuracy": float(np.mean(recalls)), "auc": float(auc)}


def concordance(y: NDArray[np.void], risk: Array) -> float:
    """Return Harrell's concordance of risks with times to an event.

    Args:
        y: Times with events, `(S,)`, as of `event_times`.
        risk: A larger one means an earlier event, `(S,)`.

    Returns:
        The share; NaN where no pair can be compared.

    Example:
        >>> kind = [("event", bool), ("time", float)]
        >>> y = np.array([(True, 1.0), (False, 2.0), (True, 3.0)], kind)
        >>> concordance(y, np.array([2.0, 0.0, 2.0]))  # one pair in order, and a tie
        0.75
    """
    event, time = y["event"], y["time"]
    # of two sets of one time, one with an event, the other one lived longer
    longer = (time[:, None] < time) | ((time[:, None] == time) & ~event)
    pairs = event[:, None] & longer
    if not pairs.any():
        return np.nan
    gap = risk[:, None] - risk
    return float(np.where(gap == 0, 0.5, gap > 0)[pairs].mean())
