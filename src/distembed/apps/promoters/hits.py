"""Comparison of the hits of motifs, by bin, in drawn and in real promoters.

Hits are means over promoters. They are compared in units of the deviation of a motif over training
bins, from its mean over them, so that frequent motifs do not decide, and a law that is the same in
all bins has the correlation zero. Intervals are over resampled motifs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distembed.evaluation.bootstrap import BootstrapEstimate, mean

__all__ = ["HitScale", "hit_correlation", "hit_error"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class HitScale:
    """Mean and deviation of the hits of each motif over training bins, `(K,)`.

    Example:
        >>> scale = HitScale.of(np.array([[0.0, 1.0], [2.0, 1.0]]))
        >>> scale(np.array([[3.0, 1.0]]))
        array([[2., 0.]])
    """

    mean: Array
    deviation: Array

    @classmethod
    def of(cls, hits: Array) -> HitScale:
        """Return the scale of hits `(B, K)`; a motif that does not vary is not compared."""
        return cls(hits.mean(0), hits.std(0))

    def __call__(self, hits: Array) -> Array:
        """Return hits in units of the deviation, `(B, K)`; zero for a motif that does not vary."""
        varies = self.deviation > 0
        scaled: Array = (hits - self.mean) / np.where(varies, self.deviation, 1) * varies
        return scaled


def hit_correlation(a: Array, b: Array, counts: Array) -> BootstrapEstimate:
    """Correlate scaled hits over bins and motifs.

    Args:
        a: Scaled hits, `(B, K)`.
        b: Others.
        counts: How often each motif is in each resample, `(R, K)`.

    Example:
        >>> a = np.array([[0.0, 1.0], [1.0, 3.0]])
        >>> hit_correlation(a, 2 * a + 1, np.array([[1.0, 1.0]])).value
        1.0
    """
    weights = np.concatenate([np.ones((1, a.shape[1])), counts])
    total = weights.sum(1) * len(a)
    first, second = (weights @ v.sum(0) / total for v in (a, b))
    both = weights @ (a * b).sum(0) / total - first * second
    norms = [
        weights @ (v * v).sum(0) / total - m**2
        for v, m in zip((a, b), (first, second), strict=True)
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        values = both / np.sqrt(np.maximum(norms[0], 0) * np.maximum(norms[1], 0))
    # a law that is the same in all bins says nothing about them
    values = np.where(np.isfinite(values), values, 0.0)
    return BootstrapEstimate(float(round(values[0], 12)), values[1:])


def hit_error(a: Array, b: Array, counts: Array) -> BootstrapEstimate:
    """Average the absolute difference of scaled hits over bins and motifs; arguments as before.

    Example:
        >>> hit_error(np.zeros((2, 1)), np.array([[1.0], [3.0]]), np.ones((1, 1))).value
        2.0
    """
    return mean(np.abs(a - b).mean(0), counts)
