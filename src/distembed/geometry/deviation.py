r"""The deviation of W2 from its prediction, without the error of the measured W2.

On pairs that were not fitted, a measured squared W2 y deviates from its prediction f by the error
of the calibration and by the sampling of the atoms. The variance v of the latter is estimated from
the two halves of the atoms (`distembed.geometry.attachment.MeasuredPairs`), as a constant and a
multiple of f. The deviation tau of W2^2 / f between pairs then solves

    mean over pairs of (y - f)^2 / (tau^2 f^2 + v) = 1 - (2 / n)^{1/2}

for the number n of independent pairs, half that of the sets. The equation with one on the right is
unbiased (Paule and Mandel, 1982); its left side has a standard error of $(2 / n)^{1/2}$, so this
tau is an upper limit of 84 % confidence: it is not zero where noise hides the error. The ratio of
W2 to its prediction is

    r^2 = 1 + (y - f) / f * tau / (tau^2 + v / f^2)^{1/2},

whose deviations from one have the shape of those that are observed and the size tau.

| Consensus values and weighting factors (Paule, Mandel, 1982)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from distembed.geometry.attachment import MeasuredPairs
from distembed.geometry.relation import Relation

__all__ = ["deviation_ratios", "heterogeneity"]

Array = NDArray[np.float64]


def deviation_ratios(pairs: MeasuredPairs, relation: Relation, size: Array) -> Array:
    """Return the ratios of W2 to its prediction, sorted, `(P,)`.

    Args:
        pairs: Pairs that were not fitted.
        relation: The prediction.
        size: Positive squared latent distances, `(P,)`.
    """
    predicted = relation.squared(size)
    variance = _sampling_variance(pairs, relation, size) / predicted**2
    deviation = (pairs.w2_squared - relation.squared(pairs.latent_squared.clip(0))) / predicted
    tau = heterogeneity(deviation, variance, len(np.unique(pairs.rows)) / 2)
    total = np.sqrt(tau**2 + variance)
    share = np.divide(tau, total, out=np.zeros_like(total), where=total > 0)
    ratios: Array = np.sqrt((1 + share * deviation).clip(0)).round(6)
    return np.sort(ratios)


def heterogeneity(deviation: Array, variance: Array, independent: float) -> float:
    """Return an upper limit of the deviation between pairs that their variances leave.

    Args:
        deviation: Relative deviations, `(P,)`.
        variance: Their sampling variances, `(P,)`.
        independent: Number of independent pairs.

    Example:
        >>> heterogeneity(np.array([0.3, -0.3]), np.zeros(2), 200.0)  # 0.3 / 0.9**0.5
        0.31622776601683794
    """
    from scipy.optimize import brentq

    goal = max(1 - math.sqrt(2 / independent), 0.5) if independent > 0 else 1.0
    square = deviation**2
    if not square.any():
        return 0.0

    def excess(tau_squared: float) -> float:
        total = tau_squared + variance
        if (square[total == 0] > 0).any():
            return math.inf
        return (
            float(np.divide(square, total, out=np.zeros_like(square), where=total > 0).mean())
            - goal
        )

    if excess(0.0) <= 0:
        return 0.0
    if not variance.any():
        return math.sqrt(float(square.mean()) / goal)
    upper = float(square.mean()) / goal
    return math.sqrt(brentq(excess, 0.0, upper, xtol=1e-12 * upper))


def _sampling_variance(pairs: MeasuredPairs, relation: Relation, size: Array) -> Array:
    """Return the sampling variances of the deviations of squared W2, `(P,)`."""
    from scipy.optimize import nnls

    gap = pairs.w2_gap - relation.slope(size) * pairs.latent_gap
    predicted = relation.squared(size)
    unit = float(predicted.mean())
    columns = np.stack([np.ones_like(predicted), predicted / unit], 1)
    variance: Array = unit**2 * (columns @ nnls(columns, (gap / unit) ** 2)[0])
    return variance
