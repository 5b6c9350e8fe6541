r"""Approximate the distribution of weighted chi-squares by its saddlepoint.

    K(s) = sum_k [ -log(1 - 2 s lambda_k) / 2 + a_k^2 s / (1 - 2 s lambda_k) ],    K'(s_0) = q

This is the approximate half of `distembed.inference.chi_square.weighted_sum`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["cumulant_slopes", "cumulant_value", "normal_score", "saddlepoint"]

Array = NDArray[np.float64]


def cumulant_slopes(lam: Array, square: Array, s: Array, order: int) -> Array:
    """Return a derivative of K at s, `(P,)`."""
    u = 1 / (1 - 2 * s[:, None] * lam)
    factor = {1: 1.0, 2: 2.0, 3: 8.0, 4: 48.0}[order]
    tilted = lam * u
    power = tilted ** (order - 1) * u
    total: Array = factor * (power * (lam + order * square * u)).sum(1)
    return total


def cumulant_value(lam: Array, square: Array, s: Array) -> Array:
    """Return K at s, `(P,)`."""
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
        point, target = s[rows], q[rows]
        u = 1 / (1 - 2 * point[:, None] * lam[rows])
        tilted, shifted = lam[rows] * u, square[rows] * u**2
        first = (tilted + shifted).sum(1)
        second = 2 * (tilted * (tilted + 2 * shifted)).sum(1)
        high[rows] = np.where(first > target, point, high[rows])
        low[rows] = np.where(first < target, point, low[rows])
        below, above = low[rows], high[rows]
        new = point - (first / target - 1) * first / second
        middle = np.where(np.isinf(below), 2 * point - 1 / target, 0.5 * (below + above))
        new = np.where((new > below) & (new < above) | (first == target), new, middle)
        s[rows] = new
        # convergence is quadratic: the next error is the square of this step
        moves = np.abs(new - point) > 1e-7 * np.abs(new) + 1e-8 / np.sqrt(second)
        rows = rows[moves]
        if not len(rows):
            break
    return s


def normal_score(lam: Array, square: Array, q: Array) -> Array:
    """Return the normal score of q, infinite where a tail is empty, NaN where an input is NaN."""
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
    skew = cumulant_slopes(lam, square, s, 3) / (6 * second**1.5)
    out[usable] = r + np.where(near, skew, np.log(safe_u / safe_r) / safe_r)
    return out
