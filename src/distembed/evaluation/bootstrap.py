r"""Bootstrap over sets, of means and of the rank correlation of distances.

Pairs of sets are not independent, because they share sets; so sets are resampled, and never pairs.
If set s is drawn $c_s$ times in a resample, the pair (s, t) has weight $c_s c_t$, and the
statistic is computed with weighted ranks: no pair of a set with its own copy enters.

| Bootstrap methods for U-statistics (Arcones, Gine, 1992)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["FEWEST_SETS", "BootstrapEstimate", "mean", "paired_p", "resamples", "spearman"]

Array = NDArray[np.float64]

FEWEST_SETS = 4
"""Resamples of fewer sets do not show how far a statistic varies."""


@dataclass(frozen=True)
class BootstrapEstimate:
    """A statistic, and its values in the resamples, `(R,)`."""

    value: float
    draws: Array

    def interval(self, coverage: float = 0.95) -> tuple[float, float]:
        """Return the percentile interval; NaN if the statistic is not defined."""
        if not np.isfinite(self.draws).any():
            return float("nan"), float("nan")
        low, high = np.nanquantile(self.draws, [(1 - coverage) / 2, (1 + coverage) / 2])
        return float(low), float(high)


def resamples(sets: int, draws: int, rng: torch.Generator) -> Array:
    """Draw how often each set is in each resample, `(R, S)`; R is zero for too few sets."""
    if sets < FEWEST_SETS:
        return np.empty((0, sets))
    index = torch.randint(sets, (draws, sets), generator=rng)
    counts = torch.zeros(draws, sets, dtype=torch.float64)
    result: Array = counts.scatter_add(1, index, torch.ones_like(index).double()).numpy()
    return result


def mean(values: Array, counts: Array) -> BootstrapEstimate:
    """Average `values (S,)` over sets, with resamples `counts (R, S)`.

    A resample without any of the sets is NaN.
    """
    with np.errstate(invalid="ignore"):
        return BootstrapEstimate(float(values.mean()), counts @ values / counts.sum(1))


def spearman(
    a: Array,
    b: Array,
    pairs: NDArray[np.int64],
    counts: Array,
    near: float | None = None,
    at_once: int = 2**24,
) -> BootstrapEstimate:
    """Compute Spearman's rank correlation over pairs of sets.

    Args:
        a: A distance of each pair, `(P,)`.
        b: Another one, `(P,)`.
        pairs: The two sets of each pair, `(P, 2)`.
        counts: Resamples of the sets, `(R, S)`.
        near: Keep only pairs with `b` up to this.
        at_once: Weights of pairs that are held in memory at a time.

    Returns:
        The correlation; NaN if fewer than three pairs remain or a distance is constant.
    """
    keep = slice(None) if near is None else b <= near
    a, b, pairs = a[keep], b[keep], pairs[keep]
    if len(a) < 3:
        return BootstrapEstimate(float("nan"), np.full(len(counts), np.nan))
    correlation = _weighted_spearman(a, b)
    rows = max(1, at_once // len(a))
    draws = [
        correlation(part[:, pairs[:, 0]] * part[:, pairs[:, 1]])
        for part in np.split(counts, range(rows, len(counts), rows))
    ]
    value = correlation(np.ones((1, len(a))))[0]
    return BootstrapEstimate(float(value), np.concatenate(draws))


def paired_p(first: BootstrapEstimate, second: BootstrapEstimate) -> float:
    """Test that two statistics of the same resamples are equal; the two-sided p-value.

    It is NaN if there are no resamples.
    """
    gap = first.draws - second.draws
    gap = gap[np.isfinite(gap)]
    if not len(gap):
        return float("nan")
    tail = min((gap <= 0).sum(), (gap >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(gap) + 1)))


def _weighted_spearman(a: Array, b: Array) -> Callable[[Array], Array]:
    """Return a function of weights `(R, P)` to one correlation a row."""
    ranks_a, ranks_b = _ranks(a), _ranks(b)

    def correlation(weights: Array) -> Array:
        total = weights.sum(1, keepdims=True)
        x, y = ranks_a(weights), ranks_b(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            x -= (weights * x).sum(1, keepdims=True) / total
            y -= (weights * y).sum(1, keepdims=True) / total
            norm = np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))
            result: Array = (weights * x * y).sum(1) / norm
        return result

    return correlation


def _ranks(values: Array) -> Callable[[Array], Array]:
    """Return a function of weights `(R, P)` to ranks, ties at the middle of their mass."""
    order = values.argsort(kind="stable")
    _, group, size = np.unique(values, return_inverse=True, return_counts=True)
    starts = size.cumsum() - size

    def ranks(weights: Array) -> Array:
        mass = np.add.reduceat(weights[:, order], starts, axis=1)
        middle: Array = mass.cumsum(1) - mass / 2
        return middle[:, group]

    return ranks
