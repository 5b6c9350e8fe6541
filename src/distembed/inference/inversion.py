r"""Invert a test of the length of a mean, for one noisy vector of each pair of sets.

For $d \sim N(\mu, V)$ with known V, the confidence interval of $\delta = |\mu|$ is every $\delta$
at which the observed $|d|^2$ lies in no tail of its weighted sum of chi-squares (Neyman, 1937).
This leaves two choices.

*Tails.* Any split of $\alpha$ has coverage $1 - \alpha$, and it may depend on $\delta$. With equal
tails the interval is empty where $|d|^2$ is unusually small. Here the lower tail has

    alpha_l(delta) = alpha / 2 * delta^2 / (delta^2 + sqrt(2 tr V^2)),

zero at $\delta = 0$ and half of $\alpha$ for large $\delta$: the interval is never empty, and one
rule holds near zero and far from it (the aim of Feldman and Cousins, 1998).

*Direction.* $|d|^2$ depends on the direction of $\mu$, except at $\delta = 0$. `likely` takes, for
each length, the mean of that length with the largest likelihood, in eigenvectors of V

    mu_k = d_k / (1 + eta lambda_k),    eta from -1 / max lambda (large) to infinity (zero),

a curve on which noisy coordinates grow first and shrink first (Chuang and Lai, 2000, profile out
nuisance parameters in this way). Each $d_k$ is first shrunk by $(1 - c \lambda_k / d_k^2)_+$,
c = 2: without it the noise of many coordinates of small variance is mistaken for signal, and
coverage falls to 87 % if all the signal is in one of large variance. `worst` takes the direction
of the largest variance, the first eigenvector of V, at every length. There $E e^{s |d|^2}$ is
largest for every s of either sign (each term $s \mu_k^2 / (1 - 2 s \lambda_k)$ grows with
$\lambda_k$), so no direction has larger Chernoff bounds: the interval covers for any direction,
and is wider where variances differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from distembed.inference.chi_square.roots import falling_root
from distembed.inference.chi_square.weighted_sum import ChiSquareSum, eigen

__all__ = ["Direction", "IntervalSettings", "invert"]

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Direction = Literal["likely", "worst"]


@dataclass(frozen=True)
class IntervalSettings:
    """Settings of the test inversion.

    Attributes:
        exact: Whether tails are integrated; the saddlepoint is some thirty times faster.
        shrink: The constant c of the shrinkage; 1 to 3 differ by less than the draws of the bench.
        pairs: Number of pairs whose covariances are in memory at once.
    """

    exact: bool = False
    shrink: float = 2.0
    pairs: int = 4096


def invert(
    d: Array, v: Array, alpha: float, direction: Direction, settings: IntervalSettings
) -> Array:
    """Return both ends of the intervals, `(2, P)`."""
    weights, vectors = eigen(v)
    length, top = np.linalg.norm(d, axis=1), weights.max(1)
    ends = np.where(np.isnan(top + length), np.nan, np.stack([length, length]))
    # without noise the distance is exact; a distance of zero has no direction
    rows = np.flatnonzero((top > 1e-28 * length**2) & (length > 0))
    if not len(rows):
        return ends
    along = np.einsum("plk,pl->pk", vectors[rows], d[rows])
    curve = _curve(along, weights[rows], length[rows], alpha, direction, settings)
    top = top[rows]
    # |d| <= |mu| + |e|, and |e| exceeds its mean by x with probability exp(-x^2 / 2 top) at most
    far = curve.length + np.sqrt(curve.weights.sum(1)) + np.sqrt(2 * top * np.log(10 / alpha))
    high = np.log(far / np.abs(curve.along[:, -1]))
    every, near = np.arange(len(rows)), np.full(len(rows), -12.0)
    low_t, high_t = (
        falling_root(f, near, high, 1e-5) for f in (curve.lower_excess, curve.upper_excess)
    )
    # where no length is excluded from below, the lower end is the part without noise
    exact_part = np.linalg.norm(curve.along * (curve.share == 0), axis=1)
    low = np.linalg.norm(curve.mean(low_t, every), axis=1)
    ends[0, rows] = np.where(low_t > near, low, exact_part)
    ends[1, rows] = np.linalg.norm(curve.mean(high_t, every), axis=1)
    return ends


@dataclass(frozen=True)
class _Curve:
    """Means of increasing length along which a test is inverted, for R pairs.

    Attributes:
        along: Shrunken differences in eigenvectors of V, `(R, L)`; the last has the largest
            variance.
        weights: Eigenvalues of V, `(R, L)`.
        length: Observed distances, `(R,)`.
        alpha: Size of the test.
        exact: Whether tails are integrated.
    """

    along: Array
    weights: Array
    length: Array
    alpha: float
    exact: bool

    @cached_property
    def share(self) -> Array:
        """Eigenvalues relative to the largest, `(R, L)`."""
        share: Array = self.weights / self.weights.max(1)[:, None]
        return share

    @cached_property
    def noise(self) -> Array:
        """Standard deviation of the squared distance at mean zero, `(R,)`."""
        noise: Array = np.sqrt(2 * (self.weights**2).sum(1))
        return noise

    def mean(self, t: Array, rows: Rows) -> Array:
        """Return means, from the shortest at t = -inf through the shrunken d at t = 0."""
        path: Array = self.along[rows] / (1 + np.expm1(-t)[:, None] * self.share[rows])
        return path

    def lower_excess(self, t: Array, rows: Rows) -> Array:
        """Return a normal score that falls through zero at the lower end of the interval."""
        mu = self.mean(t, rows)
        value: Array = self._score(mu, rows) + ndtri(self.alpha - self._lower_tail(mu, rows))
        return value

    def upper_excess(self, t: Array, rows: Rows) -> Array:
        """Return a normal score that falls through zero at the upper end of the interval."""
        mu = self.mean(t, rows)
        value: Array = self._score(mu, rows) - ndtri(self._lower_tail(mu, rows))
        return value

    def _score(self, mu: Array, rows: Rows) -> Array:
        score = ChiSquareSum(self.weights[rows], mu).score(self.length[rows] ** 2, self.exact)
        clipped: Array = np.clip(score, -1e6, 1e6)
        return clipped

    def _lower_tail(self, mu: Array, rows: Rows) -> Array:
        signal = (mu**2).sum(1)
        tail: Array = 0.5 * self.alpha * (signal / (signal + self.noise[rows]))
        return tail


def _curve(
    along: Array,
    weights: Array,
    length: Array,
    alpha: float,
    direction: Direction,
    settings: IntervalSettings,
) -> _Curve:
    """Shrink differences in eigenvectors of V, or keep the direction of the largest variance."""
    if direction == "worst":
        last = np.arange(along.shape[1]) == along.shape[1] - 1  # eigenvalues ascend
        along = np.where(last, along, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.maximum(1 - settings.shrink * weights / along**2, 0)
        along = np.where(weights > 0, along * factor, along)
    # at exactly zero it could not grow
    least = 1e-6 * np.sqrt(weights.max(1))
    along[:, -1] = np.where(np.abs(along[:, -1]) < least, least, along[:, -1])
    return _Curve(along, weights, length, alpha, settings.exact)
