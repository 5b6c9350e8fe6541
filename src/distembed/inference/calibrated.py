r"""Intervals for the true W2: sampling error and calibration error together.

W2 is the product of two unknown factors:

- s(delta) of the latent distance delta in the limit of many atoms
  (`distembed.inference.intervals`);
- the ratio of W2 to it (`distembed.geometry.distance`). Its interval is split-conformal (Vovk,
  Gammerman and Shafer, 2005): of n ratios on pairs that were not fitted, freed of the error of
  measurement by an estimate of its variance, the k-th smallest and largest cover a new one with
  probability $1 - 2 k / (n + 1)$ for any distribution, if pairs are exchangeable.

The two intervals, of the same level, are combined by their squares on the scale of logarithms
(Zou and Donner, 2008): with estimates p and q and intervals (l_p, u_p) and (l_q, u_q),

    low  = p q exp(-(log(p / l_p)^2 + log(q / l_q)^2)^{1/2}),
    high = p q exp( (log(u_p / p)^2 + log(u_q / q)^2)^{1/2}).

Both are independent, as ratios come from other sets than the pair. What sampling adds to a
measured W2 is known between bounds only (`distembed.model.calibrate`), and is one error of all
pairs: each end is multiplied by the bound of the calibration over its estimate at that distance,
and intervals cover more than their level where the bounds are wide.

**Beyond the largest fitted distance** no ratio was observed. W2 is taken to be no smaller than
for pairs at that distance, and has no upper end: `high` is infinite.

| Construction of confidence limits about effect measures: a general approach (Zou, Donner, 2008)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.geometry.distance import Calibration, Ground
from distembed.inference.intervals import (
    Direction,
    check_level,
    limit_interval,
    unbiased_squared,
)
from distembed.inference.remainders import with_remainders

__all__ = ["W2Interval", "calibration_band", "conformal_ratios", "w2_interval"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class W2Interval:
    """Intervals for the true W2 that include the error of the calibration.

    Attributes:
        low: Lower ends, `(P,)`.
        high: Upper ends, `(P,)`; infinite beyond the largest fitted distance.
        level: Nominal coverage.
        ground: The space of W2.
        warning: A sentence on pairs beyond the largest fitted distance; empty if there are none.
    """

    low: Array
    high: Array
    level: float
    ground: Ground
    warning: str = ""


def conformal_ratios(ratios: ArrayLike, level: float) -> tuple[float, float]:
    """Return the two order statistics of n ratios that cover a new one with at least this level.

    Args:
        ratios: Ratios of W2 to its prediction, `(n,)`, on pairs that were not fitted.
        level: Coverage.

    Raises:
        ValueError: If there are too few ratios for the level, or one is negative or not finite.

    Example:
        >>> conformal_ratios(np.arange(1, 20), 0.9)  # 1 - 2 / (19 + 1)
        (1.0, 19.0)
    """
    check_level(level)
    ordered = np.sort(np.asarray(ratios, dtype=np.float64).ravel())
    n = len(ordered)
    if not (np.isfinite(ordered) & (ordered >= 0)).all():
        raise ValueError("Ratios of measured to predicted W2 are finite and not negative.")
    k = int((n + 1) * (1 - level) / 2 + 1e-9)
    if k < 1:
        raise ValueError(
            f"{n} held-out pairs cannot give {100 * level:g} % coverage: a conformal interval "
            f"needs {int(np.ceil(2 / (1 - level) - 1 - 1e-9))}. Measure W2 of more pairs, or "
            "give a lower level."
        )
    return float(ordered[k - 1]), float(ordered[n - k])


def calibration_band(
    calibration: Calibration, latent: ArrayLike, level: float = 0.95
) -> tuple[Array, Array]:
    """Return the interval of W2 at latent distances without error, of their shape.

    Raises:
        ValueError: If there are too few ratios for the level.
    """
    d = np.asarray(latent, dtype=np.float64)
    exact = np.zeros((d.size, 1, 1))
    interval = w2_interval(
        d.reshape(-1, 1), 0 * d.reshape(-1, 1), exact, exact, calibration, level
    )
    return interval.low.reshape(d.shape), interval.high.reshape(d.shape)


def w2_interval(
    z1: ArrayLike,
    z2: ArrayLike,
    v1: ArrayLike,
    v2: ArrayLike,
    calibration: Calibration,
    level: float = 0.95,
    direction: Direction = "likely",
    remainder: bool = False,
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
        remainder: Whether the last coordinate is a remainder (`distembed.geometry.remainder`).

    Raises:
        ValueError: If there is no calibration, too few ratios for the level, or none above zero.
    """
    check_level(level)
    if calibration.pairs == 0:
        raise ValueError(
            "This model has no calibration, so a latent distance has no unit and W2 no interval: "
            "it was fitted on too few sets with atoms enough, or its distances did not grow with "
            "W2. Use limit_interval, which is in latent units, or fit on larger sets."
        )
    low_ratio, high_ratio = map(np.float64, conformal_ratios(calibration.ratios, level))
    if high_ratio == 0:
        raise ValueError(
            "The W2 of pairs of training sets is zero within its error, so that its ratio to the "
            "latent distance is not known: the sets are samples of one distribution, or have too "
            "few atoms to tell. Use limit_interval, which is in latent units."
        )
    # as the estimate below: a median of zero is taken for a small one
    ratio = max(np.median(calibration.ratios), 1e-9 * high_ratio)
    limit = limit_interval(z1, z2, v1, v2, level, direction)
    latent = np.sqrt(unbiased_squared(z1, z2, v1, v2).value.clip(0)).clip(limit.low, limit.high)
    if remainder:
        limit, latent = with_remainders(limit, z1, z2, v1, v2)
    upper = calibration(limit.high)
    # an estimate of zero, whose logarithm is infinite, is taken for a small one
    estimate = np.maximum(calibration(latent), 1e-9 * upper)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.hypot(np.log(estimate / calibration(limit.low)), np.log(ratio / low_ratio))
        above = np.hypot(np.log(upper / estimate), np.log(high_ratio / ratio))
        low = estimate * ratio * np.exp(-below) * _quotient(calibration.low, calibration, latent)
        high = estimate * ratio * np.exp(above) * _quotient(calibration.high, calibration, latent)
    low, high = (np.where(upper == 0, 0.0, end) for end in (low, high))
    far = calibration.beyond(latent)
    least = low_ratio * calibration.low(calibration.relation.largest)
    low, high = np.where(far, np.minimum(low, least), low), np.where(far, np.inf, high)
    return W2Interval(low, high, level, calibration.ground, calibration.warning(latent))


def _quotient(
    numerator: Callable[[Array], Array], denominator: Callable[[Array], Array], latent: Array
) -> Array:
    """Return the quotient of two maps, which is constant near zero."""
    at = np.maximum(latent, 1e-150)
    quotient: Array = numerator(at) / denominator(at)
    return quotient
