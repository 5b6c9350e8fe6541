r"""Adjust p-values of many tests: for the false discovery rate, or for any false discovery.

**Benjamini and Hochberg.** Of P p-values in increasing order, the k-th is adjusted to

    q_(k) = min(1, min_{j >= k} P p_(j) / j),

and among the tests with $q \le \alpha$ the expected share of true nulls is at most $\alpha$. This
is proved for independent tests and for positive dependence (Benjamini and Yekutieli, 2001). Pairs
that share sets are dependent, and the dependence is not proved to be positive; q times
$\sum_{j \le P} 1 / j$ is valid under any dependence, with less power.

**Holm.** With

    q_(k) = min(1, max_{j <= k} (P - j + 1) p_(j)),

the probability that any true null has $q \le \alpha$ is at most $\alpha$, under any dependence.

| Controlling the false discovery rate (Benjamini, Hochberg, 1995)
| A simple sequentially rejective multiple test procedure (Holm, 1979)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["benjamini_hochberg", "holm"]


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Return the adjusted p-value of each test, `(P,)`.

    Raises:
        ValueError: If a p-value is not a number between zero and one.

    Example:
        >>> benjamini_hochberg([0.01, 0.5, 0.02]).round(3).tolist()
        [0.03, 0.5, 0.03]
    """
    values = _checked(p)
    order = values.argsort()[::-1]
    rank = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum.accumulate(values[order] * (len(values) / rank)).clip(max=1)
    return adjusted


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return the adjusted p-value of each test, `(P,)`.

    Raises:
        ValueError: If a p-value is not a number between zero and one.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    values = _checked(p)
    order = values.argsort()
    adjusted = np.empty_like(values)
    factors = np.arange(len(values), 0, -1)
    adjusted[order] = np.maximum.accumulate(values[order] * factors).clip(max=1)
    return adjusted


def _checked(p: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"p has shape {values.shape} or holds values outside [0, 1]; give one p-value a test. "
            "Leave out tests without a p-value (NaN)."
        )
    return values
