"""Scores of held-out units with bootstrap intervals, for the judges of applications."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distembed.evaluation.bootstrap import BootstrapEstimate, mean, resamples
from distembed.evaluation.result import Score
from distembed.rng import stream

__all__ = ["mean_score", "r2_score"]

Array = NDArray[np.float64]


def mean_score(
    metric: str, method: str, values: Array, task: str = "", seed: int = 0, draws: int = 1000
) -> Score:
    """Average a number over held-out units, with the interval of resampled units.

    Args:
        metric: Name of the metric.
        method: Name of the method.
        values: One number a unit, `(U,)`.
        task: Name of the outcome.
        seed: Seed of the resamples, the same for methods that are compared.
        draws: Number of resamples.

    Example:
        >>> mean_score("energy_unbiased", "gde", np.array([1.0, 1.0, 1.0, 1.0])).text()
        '1.00 [1.00, 1.00]'
    """
    values = np.asarray(values, np.float64)
    counts = resamples(len(values), draws, stream(seed, "units"))
    return _score(metric, method, mean(values, counts), task)


def r2_score(
    method: str,
    y: Array,
    prediction: Array,
    centre: Array,
    task: str = "",
    seed: int = 0,
    draws: int = 1000,
) -> Score:
    """Return 1 - squared error over that of the mean of training units, over held-out units.

    Args:
        method: Name of the method.
        y: Targets, `(U, K)`, or `(U,)`.
        prediction: Predictions, of the same shape.
        centre: Mean of the targets of training units, `(K,)`, or a number.
        task: Name of the outcome.
        seed: Seed of the resamples.
        draws: Number of resamples.

    Example:
        >>> y = np.array([0.0, 1.0, 2.0, 3.0])
        >>> r2_score("gde", y, y, y.mean()).value
        1.0
    """
    y, prediction = (np.asarray(a, np.float64).reshape(len(y), -1) for a in (y, prediction))
    error, base = np.square(y - prediction).sum(1), np.square(y - centre).sum(1)
    counts = resamples(len(y), draws, stream(seed, "units"))
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = 1 - (counts @ error) / (counts @ base)
        value = float(1 - error.sum() / base.sum())
    return _score("r2", method, BootstrapEstimate(value, resampled), task)


def _score(metric: str, method: str, estimate: BootstrapEstimate, task: str) -> Score:
    low, high = estimate.interval() if len(estimate.draws) else (np.nan, np.nan)
    return Score(metric, method, estimate.value, low, high, task=task)
