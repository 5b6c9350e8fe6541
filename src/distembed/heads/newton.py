r"""Newton's method with shorter steps, for convex losses of tens to hundreds of parameters.

    theta <- theta - s H^{-1} g,      s = 1, 1/2, 1/4, ...  until the loss falls (Armijo, 1966)

Cross-validation with permutations fits thousands of regressions to tens of sets. Half a dozen
steps are enough; general solvers take a hundred, and check their arguments.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["conjugate_gradients", "minimise"]

Array = NDArray[np.float64]


def minimise(
    value: Callable[[Array], float],
    newton: Callable[[Array], tuple[Array, Array]],
    start: Array,
    steps: int = 100,
) -> Array:
    """Minimise a convex function.

    Args:
        value: The function; infinite or NaN where it is not defined.
        newton: Its gradient g and the step $H^{-1} g$, of the shape of the argument.
        start: Where it is defined.
        steps: Most steps.

    Returns:
        The minimum: one more step would lower the value by less than 1e-14 of it.

    Raises:
        ValueError: If the function is infinite or NaN at the start, as the loss of a class is
            whose weights are all zero.

    Example:
        >>> value = lambda t: float(np.logaddexp(0, t).sum() - 0.25 * t.sum())
        >>> p = lambda t: 1 / (1 + np.exp(-t))
        >>> newton = lambda t: (p(t) - 0.25, (p(t) - 0.25) / (p(t) * (1 - p(t))))
        >>> p(minimise(value, newton, np.zeros(1))).round(6).tolist()
        [0.25]
    """
    theta, lowest = start, value(start)
    if not np.isfinite(lowest):
        raise ValueError(
            f"The loss is {lowest} before the first step. Each class needs a set of positive "
            "weight, and inputs are finite; leave other classes and sets out."
        )
    for _ in range(steps):
        gradient, step = newton(theta)
        decrease = float((gradient * step).sum())
        if decrease <= 1e-14 * max(1.0, abs(lowest)):
            break
        size = 1.0
        while True:
            moved = theta - size * step
            new = value(moved)
            if new <= lowest - 1e-4 * size * decrease:
                break
            size /= 2
            if size < 1e-8:  # what is left is rounding
                return theta
        theta, lowest = moved, new
    return theta


def conjugate_gradients(
    product: Callable[[Array], Array], gradient: Array, preconditioner: Array, steps: int = 200
) -> Array:
    r"""Solve $H s = g$ as exactly as a step of Newton deserves: better, the closer to the minimum.

    Args:
        product: Maps s to H s.
        gradient: g, `(P, C)`.
        preconditioner: A positive definite approximation of $H^{-1}$ for each column, `(P, P)`.
        steps: Most steps.

    Example:
        >>> h = np.array([[2.0, 1.0], [1.0, 3.0]])
        >>> g = 1e-3 * np.array([[3.0], [4.0]])
        >>> (1e3 * conjugate_gradients(lambda s: h @ s, g, np.eye(2))).round(6).tolist()
        [[1.0], [1.0]]
    """
    step, residual = np.zeros_like(gradient), gradient
    scaled = preconditioner @ residual
    direction, size = scaled, float((residual * scaled).sum())
    enough = size * min(0.01, size)
    for _ in range(steps):
        if size <= enough:
            break
        moved = product(direction)
        share = size / float((direction * moved).sum())
        step = step + share * direction
        residual = residual - share * moved
        scaled = preconditioner @ residual
        before, size = size, float((residual * scaled).sum())
        direction = scaled + size / before * direction
    return step
