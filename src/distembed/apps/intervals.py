"""Scores of held-out units with bootstrap intervals, for the judges of applications.

Sets of one country, donor or bin are not independent, and are resampled together. Where a set
belongs to units of two kinds, such as a mixture of the molecules of two donors, each kind is
resampled, and the set counts as often as the product: an interval that is wide enough for
dependence through either.

| The pigeonhole bootstrap (Owen, 2007)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.evaluation.bootstrap import BootstrapEstimate, mean, resamples
from distembed.evaluation.result import Score
from distembed.rng import stream

__all__ = ["Units", "mean_score", "r2_score", "unit_resamples"]

Array = NDArray[np.float64]
Units = NDArray[Any] | Sequence[NDArray[Any]] | None
"""The unit of each set, `(S,)`, or one such array a kind of units; None: each set is a unit."""


def unit_resamples(sets: int, units: Units, draws: int, rng: torch.Generator) -> Array:
    """Draw how often each set is in each resample of the units, `(R, S)`.

    R is zero for fewer than four units of a kind.

    Args:
        sets: Number of sets.
        units: Their units. A set whose unit is the empty text belongs to none of the kind.
        draws: Number of resamples.
        rng: Source of the resamples.

    Example:
        >>> unit = np.array(["a", "a", "b", "c", "d"])
        >>> counts = unit_resamples(5, unit, 100, torch.Generator().manual_seed(0))
        >>> bool((counts[:, 0] == counts[:, 1]).all()), set(counts[:, 1:].sum(1))
        (True, {np.float64(4.0)})
    """
    if units is None:
        return resamples(sets, draws, rng)
    kinds = [units] if isinstance(units, np.ndarray) else units
    parts = [_of_kind(np.asarray(kind), draws, rng) for kind in kinds]
    if not all(map(len, parts)):
        return np.empty((0, sets))
    counts: Array = np.prod(parts, axis=0)
    return counts


def _of_kind(unit: NDArray[Any], draws: int, rng: torch.Generator) -> Array:
    """Return counts of the resamples of one kind of units; of sets without a unit they are 1."""
    own = unit != "" if unit.dtype.kind == "U" else np.ones(len(unit), dtype=bool)
    names, number = np.unique(unit[own], return_inverse=True)
    drawn = resamples(len(names), draws, rng)
    counts = np.ones((len(drawn), len(unit)))
    counts[:, own] = drawn[:, number]
    return counts


def mean_score(
    metric: str,
    method: str,
    values: Array,
    task: str = "",
    seed: int = 0,
    draws: int = 1000,
    units: Units = None,
) -> Score:
    """Average a number over held-out units, with the interval of resampled units.

    Args:
        metric: Name of the metric.
        method: Name of the method.
        values: One number a set, `(S,)`.
        task: Name of the outcome.
        seed: Seed of the resamples, the same for methods that are compared.
        draws: Number of resamples.
        units: What is resampled as a whole.

    Example:
        >>> mean_score("energy_unbiased", "gde", np.array([1.0, 1.0, 1.0, 1.0])).text()
        '1.00 [1.00, 1.00]'
    """
    values = np.asarray(values, np.float64)
    counts = unit_resamples(len(values), units, draws, stream(seed, "units"))
    return _score(metric, method, mean(values, counts), task)


def r2_score(
    method: str,
    y: Array,
    prediction: Array,
    centre: Array,
    task: str = "",
    seed: int = 0,
    draws: int = 1000,
    units: Units = None,
) -> Score:
    """Return 1 - squared error over that of the mean of training units, over held-out units.

    Args:
        method: Name of the method.
        y: Targets, `(S, K)`, or `(S,)`.
        prediction: Predictions, of the same shape.
        centre: Mean of the targets of training units, `(K,)`, or a number.
        task: Name of the outcome.
        seed: Seed of the resamples.
        draws: Number of resamples.
        units: What is resampled as a whole.

    Example:
        >>> y = np.array([0.0, 1.0, 2.0, 3.0])
        >>> r2_score("gde", y, y, y.mean()).value
        1.0
    """
    y, prediction = (np.asarray(a, np.float64).reshape(len(y), -1) for a in (y, prediction))
    error, base = np.square(y - prediction).sum(1), np.square(y - centre).sum(1)
    counts = unit_resamples(len(y), units, draws, stream(seed, "units"))
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = 1 - (counts @ error) / (counts @ base)
        value = float(1 - error.sum() / base.sum())
    return _score("r2", method, BootstrapEstimate(value, resampled), task)


def _score(metric: str, method: str, estimate: BootstrapEstimate, task: str) -> Score:
    low, high = estimate.interval() if len(estimate.draws) else (np.nan, np.nan)
    return Score(metric, method, estimate.value, low, high, task=task)
