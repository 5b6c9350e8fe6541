"""The root of a monotone function, for many problems at once.

Regula falsi in the Illinois form (Dowell and Jarratt, 1971): it keeps a bracket and converges
faster than linearly. Every fourth step halves the bracket, so that none takes long, and a problem
that is solved is not asked again.
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
    """Return where a falling `f` crosses zero between `low` and `high`, `(P,)`.

    Where `f(low)` is not positive the answer is `low`, where `f(high)` is not negative, `high`.

    Args:
        f: Maps points of some of the problems, and their numbers, to values; may be infinite.
        low: Lower ends.
        high: Upper ends.
        tolerance: Largest error, relative to the bracket that was given.

    Example:
        >>> falling_root(lambda x, rows: 2 - x**2, np.zeros(1), np.full(1, 9.0)).round(6).tolist()
        [1.414214]
    """
    a, b = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
    every = np.arange(len(a))
    fa, fb = f(a, every), f(b, every)
    none_below, none_above = ~(fa > 0), ~(fb < 0)
    small = tolerance * (b - a)
    side = np.zeros(len(a))
    rows = every[~(none_below | none_above)]
    for step in range(200):
        if not len(rows):
            break
        left, right, pull = a[rows], b[rows], small[rows]
        with np.errstate(invalid="ignore"):
            x = left + (right - left) * (fa[rows] / (fa[rows] - fb[rows]))
        good = np.isfinite(x) & (step % 4 != 3)
        x = np.where(good, x, 0.5 * (left + right))
        # onto an end it would close in from one side only: aim a little beyond the crossing
        x = np.clip(x, left + pull / 2, right - pull / 2)
        fx = f(x, rows)
        above = fx > 0
        now = np.where(above, 1.0, -1.0)
        twice = side[rows] == now  # the end that has stayed counts half
        fb[rows] = np.where(above, np.where(twice, 0.5 * fb[rows], fb[rows]), fx)
        fa[rows] = np.where(above, fx, np.where(twice, 0.5 * fa[rows], fa[rows]))
        a[rows], b[rows] = np.where(above, x, left), np.where(above, right, x)
        side[rows] = now
        rows = rows[b[rows] - a[rows] > 2 * small[rows]]
    return np.where(none_below, low, np.where(none_above, high, 0.5 * (a + b)))
