r"""Latent distances with error bars.

Two sets give z of two distributions with noise, $d = z_1 - z_2 \sim N(\mu, V)$, $V = V_1 + V_2$.
Noise adds to a squared distance,

    E |d|^2 = |mu|^2 + tr V,     Var |d|^2 = 4 mu^T V mu + 2 tr V^2,

so `unbiased_squared` takes $\operatorname{tr} V$ off.

`limit_interval` is for $\delta = |\mu|$, the latent distance that more and more atoms would give.
The delta method fails near $\delta = 0$, where $|d|$ is no longer normal, so a test is inverted
(Neyman, 1937): the interval is every $\delta$ at which the observed $|d|^2$ lies in no tail of its
weighted sum of chi-squares. Three choices make it a recipe.

*Tails.* Any split of $\alpha$ gives coverage $1 - \alpha$, and it may depend on $\delta$. Equal
tails give an empty interval where $|d|^2$ is unusually small. Here the lower tail has

    alpha_l(delta) = alpha / 2 * delta^2 / (delta^2 + sqrt(2 tr V^2)),

none of it at $\delta = 0$ and half of it far out: never empty, one rule near zero and far from it
(the aim of Feldman and Cousins, 1998).

*Direction.* $|d|^2$ depends on where $\mu$ points, though not at $\delta = 0$. `likely` takes,
for each length, the likeliest mean of that length, in eigenvectors of V

    mu_k = d_k / (1 + eta lambda_k),    eta from -1 / max lambda (far out) to infinity (zero),

a curve on which noisy coordinates grow first and shrink first (Chuang and Lai, 2000, profile out
nuisance parameters so). Each $d_k$ is first shrunk by $(1 - 2 \lambda_k / d_k^2)_+$: the noise of
many quiet coordinates would pass for a signal in them, and a loud one with all the signal be
covered in 87 % only. `worst` takes the noisiest direction, the first eigenvector of V, throughout.
There $E e^{s |d|^2}$ is largest for every s of either sign (each term
$s \mu_k^2 / (1 - 2 s \lambda_k)$ grows with $\lambda_k$), so no direction has heavier Chernoff
bounds: it covers whatever the direction, and is wider where noise is uneven.

*Covariance.* V is taken as known. It is estimated from the same atoms: below a hundred of them
coverage is what a bench has measured, not what is written here. With fewer atoms than L it is
singular, and a direction without noise is taken at its word.

For W2 itself there is `distembed.inference.calibrated`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from distembed.inference.chi_square.roots import falling_root
from distembed.inference.chi_square.weighted_sum import ChiSquareSum, eigen

__all__ = [
    "LimitInterval",
    "SquaredDistance",
    "limit_interval",
    "check_level",
    "unbiased_squared",
]

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Direction = Literal["likely", "worst"]
_SHRINK = 2.0  # with 0 a loud coordinate is missed; 1 to 3 differ by no more than the draws
_PAIRS = 4096  # whose covariances are in memory at once


@dataclass(frozen=True)
class SquaredDistance:
    """Squared latent distances of pairs less their noise: unbiased, so single ones are negative.

    Attributes:
        value: Estimates, `(P,)`.
        error: Their standard errors, `(P,)`.
    """

    value: Array
    error: Array


@dataclass(frozen=True)
class LimitInterval:
    """Intervals for the limit of the *latent* distance; they say nothing about W2.

    Attributes:
        low: Lower ends, `(P,)`, at least zero.
        high: Upper ends, `(P,)`.
        level: The coverage they are made for.
    """

    low: Array
    high: Array
    level: float


def unbiased_squared(
    z1: ArrayLike, z2: ArrayLike, v1: ArrayLike, v2: ArrayLike
) -> SquaredDistance:
    r"""Return $|d|^2 - \operatorname{tr} V$ and its standard error, of P pairs.

    The error is $(4 \mu^\top V \mu + 2 \operatorname{tr} V^2)^{1/2}$, whose $\mu^\top V \mu$ is
    estimated without bias by $d^\top V d - \operatorname{tr} V^2$ and is not negative.

    Args:
        z1: Embeddings, `(P, L)`.
        z2: Embeddings, `(P, L)`.
        v1: Their covariances, `(P, L, L)`; NaN where missing.
        v2: Likewise.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> found = unbiased_squared([[3.0]], [[0.0]], [[[0.5]]], [[[0.5]]])
        >>> found.value.tolist(), round(float(found.error[0]) ** 2, 6)
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
    exact: bool = False,
) -> LimitInterval:
    r"""Return intervals for $|\mu_1 - \mu_2|$, valid near zero.

    Args:
        z1: Embeddings, `(P, L)`.
        z2: Embeddings, `(P, L)`.
        v1: Their covariances, `(P, L, L)`; NaN where missing, and so is the interval.
        v2: Likewise.
        level: Wanted coverage.
        direction: Of $\mu$, `likely` or `worst`: the second is wider and assumes less.
        exact: Integrate instead of taking the saddlepoint, some thirty times slower.

    Raises:
        ValueError: If the shapes do not fit, or the level or the direction is none.

    Example:
        >>> v = np.eye(2)[None] / 2
        >>> near = limit_interval([[1.0, 0.0]], [[0.0, 0.0]], v, v)
        >>> near.low.tolist(), near.high.round(2).tolist()
        ([0.0], [2.73])
    """
    check_level(level)
    if direction not in ("likely", "worst"):
        raise ValueError(f"There is no direction {direction!r}; choose 'likely' or 'worst'.")
    d, v = _pairs(z1, z2, v1, v2)
    ends = [
        _invert(d[k : k + _PAIRS], v[k : k + _PAIRS], 1 - level, direction, exact)
        for k in range(0, len(d), _PAIRS)
    ]
    low, high = np.concatenate(ends, 1) if ends else np.empty((2, 0))
    return LimitInterval(low, high, level)


def _invert(d: Array, v: Array, alpha: float, direction: Direction, exact: bool) -> Array:
    """Both ends of the interval, `(2, P)`."""
    weights, vectors = eigen(v)
    length, top = np.linalg.norm(d, axis=1), weights.max(1)
    out = np.where(np.isnan(top + length), np.nan, np.stack([length, length]))
    # without noise the distance is known; a distance of zero is all below any other
    rows = np.flatnonzero((top > 1e-28 * length**2) & (length > 0))
    if not len(rows):
        return out
    weights, length, top = weights[rows], length[rows], top[rows]
    along = np.einsum("plk,pl->pk", vectors[rows], d[rows])
    noise = np.sqrt(2 * (weights**2).sum(1))
    share = weights / top[:, None]
    last = np.arange(d.shape[1]) == d.shape[1] - 1  # the noisiest, as eigenvalues ascend
    if direction == "worst":
        along = np.where(last, along, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = np.where(share > 0, along * np.maximum(1 - _SHRINK * weights / along**2, 0), along)
    # at exactly zero it could never grow
    hair = 1e-6 * np.sqrt(top)
    along[:, -1] = np.where(np.abs(along[:, -1]) < hair, hair, along[:, -1])

    def mean(t: Array, some: Rows) -> Array:
        """The curve of means, from the least length at t = -inf through the shrunken d at 0."""
        path: Array = along[some] / (1 + np.expm1(-t)[:, None] * share[some])
        return path

    def score(mu: Array, some: Rows) -> Array:
        found = ChiSquareSum(weights[some], mu).score(length[some] ** 2, exact)
        clipped: Array = np.clip(found, -1e6, 1e6)
        return clipped

    def lower_tail(mu: Array, some: Rows) -> Array:
        signal = (mu**2).sum(1)
        share: Array = signal / (signal + noise[some])
        return 0.5 * alpha * share

    def over(t: Array, some: Rows) -> Array:
        mu = mean(t, some)
        value: Array = score(mu, some) + ndtri(alpha - lower_tail(mu, some))
        return value

    def under(t: Array, some: Rows) -> Array:
        mu = mean(t, some)
        value: Array = score(mu, some) - ndtri(lower_tail(mu, some))
        return value

    # |d| <= |mu| + |e|, and |e| passes its mean by x with probability exp(-x^2 / 2 top) at most
    far = length + np.sqrt(weights.sum(1)) + np.sqrt(2 * top * np.log(10 / alpha))
    high = np.log(far / np.abs(along[:, -1]))
    every, near = np.arange(len(rows)), np.full(len(rows), -12.0)
    low_t, high_t = (falling_root(f, near, high, 1e-5) for f in (over, under))
    # where nothing is excluded from below, what is left is what has no noise
    bare = np.linalg.norm(along * (share == 0), axis=1)
    out[0, rows] = np.where(low_t > near, np.linalg.norm(mean(low_t, every), axis=1), bare)
    out[1, rows] = np.linalg.norm(mean(high_t, every), axis=1)
    return out


def _pairs(z1: ArrayLike, z2: ArrayLike, v1: ArrayLike, v2: ArrayLike) -> tuple[Array, Array]:
    """Differences `(P, L)` and their covariances `(P, L, L)`."""
    first, second = (np.asarray(z, dtype=np.float64) for z in (z1, z2))
    cov1, cov2 = (np.asarray(v, dtype=np.float64) for v in (v1, v2))
    shape = (*first.shape, *first.shape[-1:])
    if first.ndim != 2 or second.shape != first.shape or {cov1.shape, cov2.shape} != {shape}:
        raise ValueError(
            f"z have shapes {first.shape} and {second.shape}, covariances {cov1.shape} and "
            f"{cov2.shape}; expected (P, L) twice and (P, L, L) twice, one row a pair."
        )
    return first - second, cov1 + cov2


def check_level(level: float) -> None:
    """Raise a ValueError if a coverage is none."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; a coverage lies between zero and one, as 0.95.")
