r"""Intervals for latent distances whose last coordinate is a remainder.

The distance is $D^2 = x + y (1 - e^{-x / h y})$, with x the squared distance of the embeddings and
y = 2 u v of their last coordinates (`distembed.geometry.remainder`). It increases in x, whose
interval is known, and the error of y is that of the delta method,

    Var y = 4 (v^2 Var u + u^2 Var v).

The parts of an end below and above the estimate are added in squares.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.geometry.remainder import add_remainders
from distembed.inference.intervals import LimitInterval, unbiased_squared

__all__ = ["with_remainders"]

Array = NDArray[np.float64]


def with_remainders(
    limit: LimitInterval,
    z1: ArrayLike,
    z2: ArrayLike,
    v1: ArrayLike,
    v2: ArrayLike,
) -> tuple[LimitInterval, Array]:
    """Return intervals for distances with remainders, and the estimates inside of them, `(P,)`.

    Args:
        limit: Intervals for |z_1 - z_2|.
        z1: Embeddings, `(P, L)`.
        z2: Embeddings, `(P, L)`.
        v1: Their covariances, `(P, L, L)`; NaN if missing.
        v2: Likewise.

    Example:
        >>> z, exact = np.array([[0.0, 3.0], [4.0, 3.0]]), np.zeros((1, 2, 2))
        >>> four = LimitInterval(np.array([4.0]), np.array([4.0]), 0.95)
        >>> interval, _ = with_remainders(four, z[:1], z[1:], exact, exact)
        >>> interval.low.round(6).tolist(), interval.high.round(6).tolist()
        ([5.830952], [5.830952])
    """
    from scipy.stats import norm

    first, second = (np.asarray(z, dtype=np.float64)[:, -1].clip(0) for z in (z1, z2))
    variances = [np.asarray(v, dtype=np.float64)[:, -1, -1] for v in (v1, v2)]
    low, high = np.square(limit.low), np.square(limit.high)
    x = unbiased_squared(z1, z2, v1, v2).value.clip(low, high)
    estimate, least, most = (add_remainders(part, first, second) for part in (x, low, high))
    error = 2 * np.sqrt(second**2 * variances[0] + first**2 * variances[1])
    # the share of y in the distance falls to zero with x
    share = (estimate - x) / np.maximum(2 * first * second, 1e-300)
    error = error * share * norm.isf((1 - limit.level) / 2)
    ends = (
        np.sqrt((estimate - np.hypot(estimate - least, error)).clip(0)),
        np.sqrt(estimate + np.hypot(most - estimate, error)),
    )
    return LimitInterval(*ends, limit.level), np.sqrt(estimate)
