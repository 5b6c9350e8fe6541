r"""Weighted sums of chi-squares: what squared distances of normal vectors are distributed as.

With independent standard normal $x_k$, weights $\lambda_k \ge 0$ and shifts $a_k$,

    Q = sum_k (sqrt(lambda_k) x_k + a_k)^2 = sum_k lambda_k (x_k + b_k)^2,
    a_k = sqrt(lambda_k) b_k.

It is $|d|^2$ for $d \sim N(\mu, V)$, where $\lambda$ are the eigenvalues of V and a is $\mu$ in
its eigenvectors; a coordinate without noise keeps its shift. Its cumulant function, to
$s < 1/(2 \max \lambda)$,

    K(s) = sum_k [ -log(1 - 2 s lambda_k) / 2 + a_k^2 s / (1 - 2 s lambda_k) ],

gives everything. **Exact**: $P(Q > q) = \frac{1}{2 \pi i} \int e^{K(s) - s q} ds / s$, and the
same to the left of zero for $P(Q < q)$. Imhof (1961) and Davies (1980) integrate along the
imaginary axis, where a small tail is what is left of large oscillations. Here the path runs
through the saddlepoint, $K'(s_0) = q$ (Rice, 1980; Helstrom, 1996), on a hyperbola that follows
the steepest descent and ends at 45 degrees. There, with $p = 2 \mu_k (s - s_0)$ for the tilted
weights $\mu_k = \lambda_k / (1 - 2 s_0 \lambda_k)$, every factor is at most one:

    Re [ -log(1 - p) - p ] <= 0,   Re [ p^2 / (1 - p) ] <= 0    for |arg p| in [45, 90] degrees,

so that nothing cancels and a tail of 1e-12, or 1e-200, has as many digits as one of 1/2. The sum
over points converges geometrically; their number doubles until two sums agree.
**Approximate**: the saddlepoint alone (Lugannani and Rice, 1980; Kuonen, 1999),

    P(Q <= q) ~ Phi(r + log(u / r) / r),   r = sign(s_0) sqrt(2 (s_0 q - K(s_0))),
                                           u = s_0 sqrt(K''(s_0)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from distembed.inference.roots import falling_root

__all__ = ["ChiSquareSum", "Tails"]

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
_NUMBERS = 2**15  # of terms at once, which stay in the cache
_LEVELS = 7


@dataclass(frozen=True)
class Tails:
    r"""The distribution at one point each.

    Attributes:
        below: $P(Q \le q)$, `(P,)`.
        above: $P(Q > q)$, `(P,)`.
        density: Of Q at q, `(P,)`.
        error: Relative to the tail on q's side of the mean, which is the one integrated: what
            halving the step has changed. Of either tail, absolute, it is no more than that. A
            tail of zero is below 1e-300.
    """

    below: Array
    above: Array
    density: Array
    error: Array


class ChiSquareSum:
    r"""The distribution of $\sum_k (\sqrt{\lambda_k} x_k + a_k)^2$, for P problems of K terms.

    Args:
        weights: $\lambda$, `(P, K)` or `(K,)`, not negative. NaN gives NaN.
        shifts: a, of a shape that fits; zero where left out.

    Raises:
        ValueError: If a weight is negative or the shapes do not fit.

    Example:
        >>> ChiSquareSum([[1.0, 1.0]]).above([2.0]).round(6).tolist()  # exp(-q / 2)
        [0.367879]
    """

    def __init__(self, weights: ArrayLike, shifts: ArrayLike | None = None) -> None:
        lam = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        shift = np.zeros(()) if shifts is None else np.asarray(shifts, dtype=np.float64)
        lam, shift = np.broadcast_arrays(lam, shift)
        if lam.ndim != 2:
            raise ValueError(f"weights and shifts give shape {lam.shape}; expected (P, K).")
        if bool((lam < 0).any()):
            raise ValueError(
                f"A weight is {np.nanmin(lam):.3g}; weights are variances, at least zero. Clip "
                "the eigenvalues of a covariance at zero, where rounding has left them below."
            )
        square = shift**2
        # a term without noise moves the whole distribution and nothing else
        still = lam <= 1e-14 * lam.max(1, keepdims=True)
        self.floor: Array = np.where(still, square, 0.0).sum(1)
        self.weights: Array = np.where(still, 0.0, lam)
        self.squares: Array = np.where(still, 0.0, square)

    @classmethod
    def of_normal(cls, mean: ArrayLike, cov: ArrayLike) -> ChiSquareSum:
        r"""Return the distribution of $|d|^2$ for $d \sim N(\mu, V)$: `(P, L)`, `(P, L, L)`."""
        values, vectors = eigen(np.asarray(cov, dtype=np.float64))
        return cls(values, np.einsum("plk,pl->pk", vectors, np.asarray(mean, dtype=np.float64)))

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: Rows) -> ChiSquareSum:
        """Return some of the problems."""
        some = object.__new__(ChiSquareSum)
        some.floor = self.floor[rows]
        some.weights, some.squares = self.weights[rows], self.squares[rows]
        return some

    # -- moments --------------------------------------------------------------------------------

    def cumulant(self, order: int) -> Array:
        r"""Cumulants, $2^{k-1} (k-1)! \sum \lambda^k + 2^{k-1} k! \sum \lambda^{k-1} a^2$."""
        slopes = _slopes(self.weights, self.squares, np.zeros(len(self)), order)
        return slopes + (self.floor if order == 1 else 0.0)

    @property
    def mean(self) -> Array:
        r"""$\sum \lambda + \sum a^2$, `(P,)`."""
        return self.cumulant(1)

    @property
    def variance(self) -> Array:
        r"""$2 \sum \lambda^2 + 4 \sum \lambda a^2$, `(P,)`."""
        return self.cumulant(2)

    # -- exact ----------------------------------------------------------------------------------

    def below(self, q: ArrayLike) -> Array:
        r"""$P(Q \le q)$, `(P,)`; `tails` tells its error."""
        return self.tails(q).below

    def above(self, q: ArrayLike) -> Array:
        """$P(Q > q)$, `(P,)`; `tails` tells its error."""
        return self.tails(q).above

    def tails(self, q: ArrayLike, error: float = 1e-8) -> Tails:
        """Return both tails and the density by integration, at one q each, `(P,)`.

        Args:
            q: Where, `(P,)` or one number for all.
            error: Wanted bound of `Tails.error`; what is left of it is about its square.
        """
        at = self._above_floor(q)
        top, known = self.weights.max(1), ~np.isnan(at + self.weights.sum(1) + self.squares.sum(1))
        smooth = known & (top > 0) & (at > 0) & np.isfinite(at)
        # without noise Q is its floor; with noise nothing lies there
        below = np.where(top > 0, at > 0, at >= 0).astype(np.float64)
        out = np.where(known, np.stack([below, 1 - below, 0 * below, 0 * below]), np.nan)
        for some in _pieces(np.flatnonzero(smooth), self.weights.shape[1]):
            out[:, some] = _integrate(self.weights[some], self.squares[some], at[some], error)
        return Tails(*out)

    def quantile(self, p: ArrayLike, upper: bool = False) -> Array:
        """Return q with `p` of the distribution below it, or above it where `upper`, `(P,)`.

        Give a small p of the tail it lies in: `1 - 1e-20` cannot be told from one. It starts at
        the saddlepoint's answer and takes Newton's steps on the logarithm of the smaller tail.

        Raises:
            ValueError: If p is not strictly between zero and one.
        """
        mass = np.broadcast_to(np.asarray(p, dtype=np.float64), (len(self),))
        if bool(((mass <= 0) | (mass >= 1)).any()):
            raise ValueError("p lies strictly between zero and one.")
        top, scale = self.weights.max(1), self.mean - self.floor
        some = top > 0
        depth = -np.log(np.minimum(mass, 1 - mass))
        goal = -ndtri(mass) if upper else ndtri(mass)
        with np.errstate(divide="ignore"):
            # P(Q <= q) of one term falls as the root of q; a norm is concentrated above
            low = np.where(some, np.log(np.where(some, top, 1)) - 2 * depth - 9, 0.0)
            high = 2 * np.log(np.sqrt(scale) + np.sqrt(2 * top * (depth + 1)))
            high = np.where(some, high, 0.0)
            t = falling_root(
                lambda t, rows: goal[rows] - self[rows].score(self.floor[rows] + np.exp(t)),
                low,
                high,
                tolerance=1e-4,
            )
            small = mass <= 0.5
            wanted = np.log(np.where(small, mass, 1 - mass))
            for _ in range(30):
                tails = self.tails(self.floor + np.exp(t))
                lower = small != upper  # is the smaller tail below?
                tail = np.where(lower, tails.below, tails.above)
                slope = np.where(lower, 1, -1) * tails.density * np.exp(t) / tail
                step = np.clip((wanted - np.log(tail)) / slope, -1, 1)
                step = np.where(some & np.isfinite(step), step, 0.0)
                t = t + step
                if bool((np.abs(step) < 1e-12).all()):
                    break
        return self.floor + np.where(some, np.exp(t), 0 * top)

    # -- approximate ----------------------------------------------------------------------------

    def score(self, q: ArrayLike, exact: bool = False) -> Array:
        r"""Return the normal score of q, $\Phi^{-1} P(Q \le q)$, `(P,)`, by the saddlepoint.

        In probability its error is 0.008 for a single term, below 0.002 for five equal ones and
        below 1e-4 for thirty; the worst seen is 0.03, where weights lie decades apart. Relative
        to the tail it is at most 12 % for one term, and no more however far out. `exact` takes
        the integral instead, which is some thirty times slower.
        """
        if exact:
            tails = self.tails(q)
            lower = tails.below < tails.above
            score: Array = np.where(lower, ndtri(tails.below), -ndtri(tails.above))
            return score
        at, out = self._above_floor(q), np.empty(len(self))
        for some in _pieces(np.arange(len(self)), self.weights.shape[1]):
            out[some] = _score(self.weights[some], self.squares[some], at[some])
        return out

    def _above_floor(self, q: ArrayLike) -> Array:
        at: Array = np.broadcast_to(np.asarray(q, dtype=np.float64), (len(self),)) - self.floor
        return at


def eigen(cov: Array) -> tuple[Array, Array]:
    """Return ascending eigenvalues and eigenvectors of covariances; a missing one has NaN.

    Eigenvalues that rounding cannot tell from zero are zero.
    """
    missing: NDArray[np.bool_] = np.isnan(cov.sum((1, 2)) * 0)
    values, vectors = np.linalg.eigh(np.where(missing[:, None, None], 0.0, cov))
    floor = 1e-14 * np.abs(values).max(1, keepdims=True)
    return np.where(missing[:, None], np.nan, np.where(values > floor, values, 0.0)), vectors


def _pieces(rows: Rows, terms: int) -> list[Rows]:
    return np.array_split(rows, max(1, -(-len(rows) * terms // _NUMBERS)))


def _slopes(lam: Array, square: Array, s: Array, order: int) -> Array:
    """Derivatives of K at s, `(P,)`."""
    u = 1 / (1 - 2 * s[:, None] * lam)
    factor = {1: 1.0, 2: 2.0, 3: 8.0, 4: 48.0}[order]
    tilted = lam * u
    power = tilted ** (order - 1) * u
    total: Array = factor * (power * (lam + order * square * u)).sum(1)
    return total


def _value(lam: Array, square: Array, s: Array) -> Array:
    """K at s, `(P,)`."""
    p = 2 * s[:, None] * lam
    total: Array = (-0.5 * np.log1p(-p) + square * s[:, None] / (1 - p)).sum(1)
    return total


def _saddle(lam: Array, square: Array, q: Array) -> Array:
    """Return s with K'(s) = q > 0, by Newton's steps on 1/K', linear for equal weights."""
    top = lam.max(1)
    mean = (lam + square).sum(1)
    right = q > mean
    # K' is at least its largest term
    high = np.where(right, np.maximum(0.5 / top - 0.5 / q, 0.0), 0.0)
    low = np.where(right, 0.0, -np.inf)
    s, rows = high.copy(), np.arange(len(q))
    for _ in range(100):
        at, wanted = s[rows], q[rows]
        u = 1 / (1 - 2 * at[:, None] * lam[rows])
        tilted, moved = lam[rows] * u, square[rows] * u**2
        first = (tilted + moved).sum(1)
        second = 2 * (tilted * (tilted + 2 * moved)).sum(1)
        high[rows] = np.where(first > wanted, at, high[rows])
        low[rows] = np.where(first < wanted, at, low[rows])
        below, above = low[rows], high[rows]
        new = at - (first / wanted - 1) * first / second
        middle = np.where(np.isinf(below), 2 * at - 1 / wanted, 0.5 * (below + above))
        new = np.where((new > below) & (new < above) | (first == wanted), new, middle)
        s[rows] = new
        # quadratic: the error that is left is the square of this step
        moves = np.abs(new - at) > 1e-7 * np.abs(new) + 1e-8 / np.sqrt(second)
        rows = rows[moves]
        if not len(rows):
            break
    return s


def _score(lam: Array, square: Array, q: Array) -> Array:
    """The normal score of q, infinite where nothing lies below and NaN where a number is."""
    top = lam.max(1)
    usable = (top > 0) & (q > 0) & np.isfinite(q)
    with np.errstate(invalid="ignore"):
        missing = np.isnan(top + square.sum(1) + q)
        out = np.where((q >= 0) & (top == 0) | (q == np.inf), np.inf, -np.inf)
    out[missing] = np.nan
    usable &= ~missing
    lam, square, q = lam[usable], square[usable], q[usable]
    if not len(q):
        return out
    s = _saddle(lam, square, q)
    second = _slopes(lam, square, s, 2)
    r = np.sign(s) * np.sqrt(2 * np.maximum(s * q - _value(lam, square, s), 0.0))
    u = s * np.sqrt(second)
    near = np.abs(r) < 1e-3  # where log(u / r) / r tends to a third of the half skewness
    safe_r, safe_u = np.where(near, 1.0, r), np.where(near, 1.0, u)
    bend = _slopes(lam, square, s, 3) / (6 * second**1.5)
    out[usable] = r + np.where(near, bend, np.log(safe_u / safe_r) / safe_r)
    return out


def _integrate(lam: Array, square: Array, q: Array, error: float) -> Array:
    """Both tails, density and relative error, `(4, P)`, for q > 0 and some noise."""
    mean = (lam + square).sum(1)
    side = np.where(q > mean, 1.0, -1.0)
    # one deviation away from the pole at zero, and inside the strip
    least = 1 / np.sqrt(_slopes(lam, square, np.zeros(len(q)), 2))
    least = np.where(side > 0, np.minimum(least, 0.25 / lam.max(1)), least)
    s0 = side * np.maximum(side * _saddle(lam, square, q), least)
    second = _slopes(lam, square, s0, 2)
    bend = 3 * second / _slopes(lam, square, s0, 3)
    width = 1 / np.sqrt(second + s0**-2)
    tilted = lam / (1 - 2 * s0[:, None] * lam)
    hidden = square / (1 - 2 * s0[:, None] * lam) ** 2
    lead = _value(lam, square, s0) - s0 * q

    def points(rows: Rows, t: float) -> Array:
        """Integrands of tail and density at width sinh t, over their common lead, `(2, R)`."""
        w, c, s = width[rows], bend[rows], s0[rows]
        y = w * np.sinh(t)
        far = np.hypot(1.0, y / c)
        step = c * (far - 1) + 1j * y
        path = (y / c / far + 1j) * w * np.cosh(t)
        p = 2 * tilted[rows] * step[:, None]
        # K(s0 + step) - K(s0), term by term
        rise = (-0.5 * np.log(1 - p) + hidden[rows] * step[:, None] / (1 - p)).sum(1)
        wave = np.exp(rise - step * q[rows]) * path
        values: Array = np.stack([(wave / (s + step)).imag, wave.imag])
        return values

    def total(rows: Rows, start: float, step: float) -> Array:
        """Sum over t = start + j step until nothing is added."""
        found = np.zeros((2, len(rows)))
        reach = np.zeros((2, len(rows)))
        for j in range(4000):
            term = points(rows, start + j * step)
            found += term
            reach = np.maximum(reach, np.abs(term))
            if bool((np.abs(term) <= 1e-17 * reach).all()):
                break
        return found

    every = np.arange(len(q))
    step = 0.5
    sums = total(every, step, step) + 0.5 * points(every, 0.0)
    value = step * sums
    off = np.full(len(q), np.inf)
    for _ in range(_LEVELS):
        rows = np.flatnonzero(~(off <= error))
        if not len(rows):
            break
        sums[:, rows] += total(rows, 0.5 * step, step)
        step *= 0.5
        new = step * sums[:, rows]
        off[rows] = (np.abs(new - value[:, rows]) / np.abs(new)).max(0)
        value[:, rows] = new
    small = np.clip(side * value[0] * np.exp(lead) / np.pi, 0.0, 1.0)
    density = np.maximum(value[1] * np.exp(lead) / np.pi, 0.0)
    below, above = np.where(side > 0, 1 - small, small), np.where(side > 0, small, 1 - small)
    return np.stack([below, above, density, off])
