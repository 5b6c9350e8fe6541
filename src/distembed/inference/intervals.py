r"""Confidence intervals for latent distances.

The embeddings of two sets estimate those of two distributions with noise,
$d = z_1 - z_2 \sim N(\mu, V)$, $V = V_1 + V_2$. Noise adds to a squared distance,

    E |d|^2 = |mu|^2 + tr V,     Var |d|^2 = 4 mu^T V mu + 2 tr V^2,

so `unbiased_squared` subtracts $\operatorname{tr} V$.

`limit_interval` is for $\delta = |\mu|$, the limit of the latent distance for many atoms; its
intervals invert a test (`distembed.inference.inversion`), because the delta method fails near
$\delta = 0$, where $|d|$ is not normal.

V is treated as known, but it is estimated from the same atoms: with fewer than a hundred of them
the coverage is below its nominal level (see the bench `coverage`). With fewer atoms than L it is
singular, and a direction without variance is treated as exact.

For W2 itself there is `distembed.inference.calibrated`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.inference.inversion import Direction, IntervalSettings, invert

__all__ = [
    "Direction",
    "IntervalSettings",
    "LimitInterval",
    "SquaredDistance",
    "check_level",
    "limit_interval",
    "unbiased_squared",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SquaredDistance:
    """Unbiased estimates of squared latent distances, some of which are negative.

    Attributes:
        value: Estimates, `(P,)`.
        error: Their standard errors, `(P,)`.
    """

    value: Array
    error: Array


@dataclass(frozen=True)
class LimitInterval:
    """Confidence intervals for the limit of the *latent* distance, which is not W2.

    Attributes:
        low: Lower ends, `(P,)`, at least zero.
        high: Upper ends, `(P,)`.
        level: Nominal coverage.
    """

    low: Array
    high: Array
    level: float


def unbiased_squared(
    z1: ArrayLike, z2: ArrayLike, v1: ArrayLike, v2: ArrayLike
) -> SquaredDistance:
    r"""Estimate $|\mu|^2$ by $|d|^2 - \operatorname{tr} V$, with its standard error, for P pairs.

    The error is $(4 \mu^\top V \mu + 2 \operatorname{tr} V^2)^{1/2}$, whose $\mu^\top V \mu$ is
    estimated without bias by $d^\top V d - \operatorname{tr} V^2$, clamped at zero.

    Args:
        z1: Embeddings, `(P, L)`.
        z2: Embeddings, `(P, L)`.
        v1: Their covariances, `(P, L, L)`; NaN where missing.
        v2: Likewise.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> squared = unbiased_squared([[3.0]], [[0.0]], [[[0.5]]], [[[0.5]]])
        >>> squared.value.tolist(), round(float(squared.error[0]) ** 2, 6)
        ([8.0], 34.0)
    """
    d, v = _pairs(z1, z2, v1, v2)
    square = np.einsum("pij,pji->p", v, v)
    signal = np.einsum("pi,pij,pj->p", d, v, d) - square
    noise = np.einsum("pii->p", v)
    error = np.sqrt(4 * np.maximum(signal, 0.0) + 2 * square)
    return SquaredDistance((d**2).sum(1) - noise, error)


def limit_interval(
    z1: ArrayLike,
    z2: ArrayLike,
    v1: ArrayLike,
    v2: ArrayLike,
    level: float = 0.95,
    direction: Direction = "likely",
    settings: IntervalSettings | None = None,
) -> LimitInterval:
    r"""Return confidence intervals for $|\mu_1 - \mu_2|$, valid near zero.

    Args:
        z1: Embeddings, `(P, L)`.
        z2: Embeddings, `(P, L)`.
        v1: Their covariances, `(P, L, L)`; NaN where missing, and so is the interval.
        v2: Likewise.
        level: Coverage.
        direction: Direction of $\mu$, `likely` or `worst`, which is wider and assumes less.
        settings: How tails are computed.

    Raises:
        ValueError: If the shapes do not fit, the level is not between zero and one, or there is no
            such direction.

    Example:
        >>> v = np.eye(2)[None] / 2
        >>> near = limit_interval([[1.0, 0.0]], [[0.0, 0.0]], v, v)
        >>> near.low.tolist(), near.high.round(2).tolist()
        ([0.0], [2.73])
    """
    check_level(level)
    if direction not in ("likely", "worst"):
        raise ValueError(f"There is no direction {direction!r}; choose 'likely' or 'worst'.")
    settings = settings or IntervalSettings()
    d, v = _pairs(z1, z2, v1, v2)
    size = settings.pairs
    ends = [
        invert(d[k : k + size], v[k : k + size], 1 - level, direction, settings)
        for k in range(0, len(d), size)
    ]
    low, high = np.concatenate(ends, 1) if ends else np.empty((2, 0))
    return LimitInterval(low, high, level)


def _pairs(z1: ArrayLike, z2: ArrayLike, v1: ArrayLike, v2: ArrayLike) -> tuple[Array, Array]:
    """Return differences `(P, L)` and their covariances `(P, L, L)`."""
    a, b = (np.asarray(z, dtype=np.float64) for z in (z1, z2))
    cov1, cov2 = (np.asarray(v, dtype=np.float64) for v in (v1, v2))
    shape = (*a.shape, *a.shape[-1:])
    if a.ndim != 2 or b.shape != a.shape or {cov1.shape, cov2.shape} != {shape}:
        raise ValueError(
            f"z have shapes {a.shape} and {b.shape}, covariances {cov1.shape} and "
            f"{cov2.shape}; expected (P, L) twice and (P, L, L) twice, one row a pair."
        )
    return a - b, cov1 + cov2


def check_level(level: float) -> None:
    """Refuse a level that is not a coverage.

    Raises:
        ValueError: If the level is not between zero and one.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; a coverage lies between zero and one, such as 0.95.")
