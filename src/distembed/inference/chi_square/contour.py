"""Integrate exact tails of weighted chi-squares along a path through the saddlepoint.

See `distembed.inference.chi_square.weighted_sum` for the path, on which no terms cancel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distembed.inference.chi_square.saddlepoint import cumulant_slopes, cumulant_value, saddlepoint

__all__ = ["integrate"]

Array = NDArray[np.float64]
Rows = NDArray[np.intp]


def integrate(lam: Array, square: Array, q: Array, error: float, halvings: int = 7) -> Array:
    """Return both tails, the density and the relative error, `(4, P)`.

    Args:
        lam: Weights, `(P, K)`, not all zero.
        square: Squared shifts, `(P, K)`.
        q: Points, `(P,)`, positive.
        error: Relative error at which the integration ends.
        halvings: Largest number of times that the step is halved.
    """
    mean = (lam + square).sum(1)
    side = np.where(q > mean, 1.0, -1.0)
    # one deviation away from the pole at zero, and inside the strip of convergence
    distance = 1 / np.sqrt(cumulant_slopes(lam, square, np.zeros(len(q)), 2))
    distance = np.where(side > 0, np.minimum(distance, 0.25 / lam.max(1)), distance)
    s0 = side * np.maximum(side * saddlepoint(lam, square, q), distance)
    second = cumulant_slopes(lam, square, s0, 2)
    curvature = 3 * second / cumulant_slopes(lam, square, s0, 3)
    width = 1 / np.sqrt(second + s0**-2)
    tilted = lam / (1 - 2 * s0[:, None] * lam)
    shift = square / (1 - 2 * s0[:, None] * lam) ** 2
    lead = cumulant_value(lam, square, s0) - s0 * q

    def points(rows: Rows, t: float) -> Array:
        """Integrands of tail and density at width sinh t, without a common factor, `(2, R)`."""
        w, c, s = width[rows], curvature[rows], s0[rows]
        y = w * np.sinh(t)
        radius = np.hypot(1.0, y / c)
        step = c * (radius - 1) + 1j * y
        path = (y / c / radius + 1j) * w * np.cosh(t)
        p = 2 * tilted[rows] * step[:, None]
        # K(s0 + step) - K(s0), term by term
        rise = (-0.5 * np.log(1 - p) + shift[rows] * step[:, None] / (1 - p)).sum(1)
        wave = np.exp(rise - step * q[rows]) * path
        values: Array = np.stack([(wave / (s + step)).imag, wave.imag])
        return values

    def summed(rows: Rows, start: float, step: float) -> Array:
        """Sum over t = start + j step until the terms vanish."""
        total = np.zeros((2, len(rows)))
        largest = np.zeros((2, len(rows)))
        for j in range(4000):
            term = points(rows, start + j * step)
            total += term
            largest = np.maximum(largest, np.abs(term))
            if bool((np.abs(term) <= 1e-17 * largest).all()):
                break
        return total

    every = np.arange(len(q))
    step = 0.5
    sums = summed(every, step, step) + 0.5 * points(every, 0.0)
    value = step * sums
    change = np.full(len(q), np.inf)
    for _ in range(halvings):
        rows = np.flatnonzero(~(change <= error))
        if not len(rows):
            break
        sums[:, rows] += summed(rows, 0.5 * step, step)
        step *= 0.5
        new = step * sums[:, rows]
        change[rows] = (np.abs(new - value[:, rows]) / np.abs(new)).max(0)
        value[:, rows] = new
    small = np.clip(side * value[0] * np.exp(lead) / np.pi, 0.0, 1.0)
    density = np.maximum(value[1] * np.exp(lead) / np.pi, 0.0)
    below, above = np.where(side > 0, 1 - small, small), np.where(side > 0, small, 1 - small)
    return np.stack([below, above, density, change])
