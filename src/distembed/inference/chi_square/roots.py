"""Find roots of monotone functions, for many problems at once.

Regula falsi in the Illinois form (Dowell and Jarratt, 1971) keeps a bracket and converges faster
than linearly. Every fourth step halves the bracket, which bounds the number of steps, and solved
problems are not evaluated again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["falling_root"]

Array = NDArray[np.float64]
Rows = NDArray[np.intp]


def falling_root(
    f: Callable[[Array, Rows], Array], low: Array, high: Array, tolerance: float = 1e-10
) -> Array:
    """Return the root of a falling `f` between `low` and `high`, `(P,)`.

    It is `low` where `f(low)` is not positive, and `high` where `f(high)` is not negative.

    Args:
        f: Maps points `(R,)` and the numbers `(R,)` of their problems to values, which may be
            infinite.
        low: Lower ends.
        high: Upper ends.
        tolerance: Largest error, relative to the initial bracket.

    Example:
        >>> falling_root(lambda x, rows: 2 - x**2, np.zeros(1), np.full(1, 9.0)).round(6).tolist()
        [1.414214]
    """
    a, b = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
    every = np.arange(len(a))
    fa, fb = f(a, every), f(b, every)
    none_below, none_above = ~(fa > 0), ~(fb < 0)
    width = tolerance * (b - a)
    side = np.zeros(len(a))
    rows = every[~(none_below | none_above)]
    for step in range(200):
        if not len(rows):
            break
        left, right, margin = a[rows], b[rows], width[rows]
        with np.errstate(invalid="ignore"):
            x = left + (right - left) * (fa[rows] / (fa[rows] - fb[rows]))
        interpolated = np.isfinite(x) & (step % 4 != 3)
        x = np.where(interpolated, x, 0.5 * (left + right))
        # a point at an end would shrink the bracket from one side only
        x = np.clip(x, left + margin / 2, right - margin / 2)
        fx = f(x, rows)
        above = fx > 0
        new_side = np.where(above, 1.0, -1.0)
        repeated = side[rows] == new_side  # the value at the other end is halved (Illinois)
        fb[rows] = np.where(above, np.where(repeated, 0.5 * fb[rows], fb[rows]), fx)
        fa[rows] = np.where(above, fx, np.where(repeated, 0.5 * fa[rows], fa[rows]))
        a[rows], b[rows] = np.where(above, x, left), np.where(above, right, x)
        side[rows] = new_side
        rows = rows[b[rows] - a[rows] > 2 * width[rows]]
    return np.where(none_below, low, np.where(none_above, high, 0.5 * (a + b)))
