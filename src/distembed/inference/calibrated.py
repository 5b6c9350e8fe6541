r"""Intervals for the true W2: sampling error and calibration error together.

A calibration (`distembed.geometry.distance`) maps the interval of the latent distance
(`distembed.inference.intervals`) to one of W2. Its own error is split-conformal (Vovk, Gammerman
and Shafer, 2005): of n ratios $W_2 / a |d|^p$ on pairs that were not fitted, the k-th smallest
and largest cover a new one with probability $1 - 2 k / (n + 1)$ for any distribution, if pairs are
exchangeable. W2 that was measured on samples is known between bounds (what sampling adds lies
between zero and the distance of two samples of one distribution), and the k-th smallest lower and
largest upper bound cover at least as often. Half of $\alpha$ is spent on either error
(Bonferroni). The sets have to be independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.geometry.distance import Calibration, Ground
from distembed.inference.intervals import Direction, check_level, limit_interval

__all__ = ["W2Interval", "conformal_ratios", "w2_interval"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class W2Interval:
    """Intervals for the true W2 that include the error of the calibration.

    Attributes:
        low: Lower ends, `(P,)`.
        high: Upper ends, `(P,)`.
        level: Nominal coverage.
        ground: The space of W2.
    """

    low: Array
    high: Array
    level: float
    ground: Ground


def conformal_ratios(low: ArrayLike, high: ArrayLike, level: float) -> tuple[float, float]:
    """Return the two order statistics of n ratios that cover a new one with at least this level.

    Args:
        low: Lower bounds of the ratio of W2 to its prediction, `(n,)`, on pairs that were not
            fitted.
        high: Upper bounds, `(n,)`; the same numbers if W2 is known.
        level: Coverage.

    Raises:
        ValueError: If there are too few ratios for the level, or one is negative or not finite.

    Example:
        >>> conformal_ratios(np.arange(1, 20), np.arange(1, 20), 0.9)  # 1 - 2 / (19 + 1)
        (1.0, 19.0)
    """
    check_level(level)
    lower, upper = (np.sort(np.asarray(r, dtype=np.float64).ravel()) for r in (low, high))
    n = len(lower)
    if len(upper) != n or not (np.isfinite(lower) & np.isfinite(upper) & (lower >= 0)).all():
        raise ValueError(
            "Ratios of measured to predicted W2 are finite and not negative, with a lower and an "
            "upper bound for each pair."
        )
    k = int((n + 1) * (1 - level) / 2 + 1e-9)
    if k < 1:
        raise ValueError(
            f"{n} held-out pairs cannot give {level:.3%} coverage: a conformal interval needs "
            f"{int(np.ceil(2 / (1 - level) - 1 - 1e-9))}. Measure W2 of more pairs, or give a "
            "lower level."
        )
    return float(lower[k - 1]), float(upper[n - k])


def w2_interval(
    z1: ArrayLike,
    z2: ArrayLike,
    v1: ArrayLike,
    v2: ArrayLike,
    calibration: Calibration,
    level: float = 0.95,
    direction: Direction = "likely",
) -> W2Interval:
    r"""Return intervals for the true W2: sampling error and calibration error together.

    Args:
        z1: Embeddings, `(P, L)`.
        z2: Embeddings, `(P, L)`.
        v1: Their covariances, `(P, L, L)`; NaN if missing, and so is the interval.
        v2: Likewise.
        calibration: From latent distances to W2, with ratios of pairs that were not fitted.
        level: Coverage.
        direction: As in `limit_interval`.

    Raises:
        ValueError: If there is no calibration, or too few ratios for the level.
    """
    check_level(level)
    if calibration.pairs == 0:
        raise ValueError(
            "This model has no calibration, so a latent distance has no unit and W2 no interval: "
            "it was fitted on too few sets with atoms enough, or its distances did not grow with "
            "W2. Use limit_interval, which is in latent units, or fit on larger sets."
        )
    half = (1 + level) / 2
    ratios = conformal_ratios(calibration.low_ratios, calibration.high_ratios, half)
    limit = limit_interval(z1, z2, v1, v2, half, direction)
    low, high = calibration(limit.low) * ratios[0], calibration(limit.high) * ratios[1]
    return W2Interval(low, high, level, calibration.ground)
