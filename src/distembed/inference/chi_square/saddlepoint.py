r"""The cumulant function of weighted chi-squares, its saddlepoint, and what that tells alone.

    K(s) = sum_k [ -log(1 - 2 s lambda_k) / 2 + a_k^2 s / (1 - 2 s lambda_k) ],    K'(s_0) = q

See `distembed.inference.chi_square.weighted_sum`, of which this is the approximate half.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["cumulant_slopes", "cumulant_value", "normal_score", "saddlepoint"]

Array = NDArray[np.float64]


def cumulant_slopes(lam: Array, square: Array, s: Array, order: int) -> Array:
    """Derivatives of K at s, `(P,)`."""
    u = 1 / (1 - 2 * s[:, None] * lam)
    factor = {1: 1.0, 2: 2.0, 3: 8.0, 4: 48.0}[order]
    tilted = lam * u
    power = tilted ** (order - 1) * u
    total: Array = factor * (power * (lam + order * square * u)).sum(1)
    return total


def cumulant_value(lam: Array, square: Array, s: Array) -> Array:
    """K at s, `(P,)`."""
    p = 2 * s[:, None] * lam
    total: Array = (-0.5 * np.log1p(-p) + square * s[:, None] / (1 - p)).sum(1)
    return total


def saddlepoint(lam: Array, square: Array, q: Array) -> Array:
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


def normal_score(lam: Array, square: Array, q: Array) -> Array:
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
    s = saddlepoint(lam, square, q)
    second = cumulant_slopes(lam, square, s, 2)
    r = np.sign(s) * np.sqrt(2 * np.maximum(s * q - cumulant_value(lam, square, s), 0.0))
    u = s * np.sqrt(second)
    near = np.abs(r) < 1e-3  # where log(u / r) / r tends to a third of the half skewness
    safe_r, safe_u = np.where(near, 1.0, r), np.where(near, 1.0, u)
    bend = cumulant_slopes(lam, square, s, 3) / (6 * second**1.5)
    out[usable] = r + np.where(near, bend, np.log(safe_u / safe_r) / safe_r)
    return out
