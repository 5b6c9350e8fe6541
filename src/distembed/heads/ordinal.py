r"""Proportional odds: a regression of ordered classes (McCullagh, 1980).

    P(y <= k | x) = sigma(theta_k - x' b),      theta_0 < theta_1 < ...

minimises $\sum_i w_i \ell_i + |b|^2 / 2$ with $\ell$ the negative log-likelihood. With two classes
it is a logistic regression. One slope serves all thresholds, so that x' b orders the sets. With
u and l the upper and lower threshold of y less x' b,

    sigma(u) - sigma(l) = sigma(u) sigma(-l) (1 - exp(l - u)),

which does not cancel. The loss is convex in b and theta together, and infinite where thresholds
are not in their order, so that steps of Newton keep it (`distembed.heads.newton`).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from distembed.heads.newton import minimise

__all__ = ["ProportionalOdds"]

Array = NDArray[np.float64]


class ProportionalOdds:
    """A proportional odds regression with a penalty of |b|^2 / 2.

    Attributes:
        classes_: The classes in their order, `(C,)`.
        coef_: Slopes b, `(L,)`.
        thresholds_: theta, `(C - 1,)`.

    Example:
        >>> x = np.linspace(-2, 2, 30)[:, None]
        >>> model = ProportionalOdds().fit(x, np.repeat([0, 1, 2], 10))
        >>> int(model.predict_proba([[2.0]]).argmax())
        2
    """

    classes_: NDArray[Any]
    coef_: Array
    thresholds_: Array

    def fit(self, x: Array, y: NDArray[np.int64], sample_weight: Array | None = None) -> Self:
        """Fit to sets; classes are ordered as their numbers are.

        Args:
            x: Inputs, `(n, L)`.
            y: Numbers of the classes, `(n,)`, two different ones at least.
            sample_weight: Weights, `(n,)`; ones if left out.
        """
        self.classes_, code = np.unique(y, return_inverse=True)
        weight = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight)
        below = np.cumsum(np.bincount(code, weight))[:-1] / weight.sum()
        theta = np.log(below / (1 - below))  # the thresholds of b = 0
        fitted = minimise(
            lambda point: _loss(point, x, code, weight),
            lambda point: _newton(point, x, code, weight),
            np.concatenate([np.zeros(x.shape[1]), theta]),
        )
        self.coef_, self.thresholds_ = np.split(fitted, [x.shape[1]])
        return self

    def predict_proba(self, x: Any) -> Array:
        """Return the probability of each class, `(S, C)`."""
        score = np.asarray(x) @ self.coef_
        inner = expit(self.thresholds_ - score[:, None])
        ones = np.ones((len(score), 1))
        return np.diff(np.concatenate([0 * ones, inner, ones], axis=1), axis=1)


def _ends(point: Array, x: Array, code: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return the upper and the lower threshold of each set less its score, `(n,)` each."""
    b, theta = np.split(point, [x.shape[1]])
    ends, score = np.concatenate([[-np.inf], theta, [np.inf]]), x @ b
    return ends[code + 1] - score, ends[code] - score


def _loss(point: Array, x: Array, code: NDArray[np.int64], weight: Array) -> float:
    """Return the penalised negative log-likelihood at slopes and thresholds."""
    b, theta = np.split(point, [x.shape[1]])
    if (np.diff(theta) <= 0).any():
        return np.inf
    upper, lower = _ends(point, x, code)
    likelihood = log_expit(upper) + log_expit(-lower) + np.log(-np.expm1(lower - upper))
    return float(b @ b / 2 - weight @ likelihood)


def _newton(point: Array, x: Array, code: NDArray[np.int64], weight: Array) -> tuple[Array, Array]:
    """Return the gradient and the step of Newton by slopes and thresholds."""
    latent, number = x.shape[1], len(point) - x.shape[1]
    upper, lower = _ends(point, x, code)
    with np.errstate(over="ignore"):
        inverse = 1 / np.expm1(upper - lower)
    by_upper = -weight * (expit(-upper) + inverse)
    by_lower = weight * (expit(lower) + inverse)
    mixed = weight * inverse * (1 + inverse)
    own_upper = weight * expit(upper) * expit(-upper)
    own_lower = weight * expit(lower) * expit(-lower)
    # 1 where a threshold is the upper, or the lower, end of a set; those at infinity are none
    above = np.eye(number + 2)[code + 1][:, 1:-1]
    under = np.eye(number + 2)[code][:, 1:-1]
    gradient = np.concatenate(
        [point[:latent] - x.T @ (by_upper + by_lower), above.T @ by_upper + under.T @ by_lower]
    )
    design_upper, design_lower = np.hstack([-x, above]), np.hstack([-x, under])
    gap = above - under
    curvature = (design_upper.T * own_upper) @ design_upper
    curvature += (design_lower.T * own_lower) @ design_lower
    curvature[latent:, latent:] += (gap.T * mixed) @ gap
    # of a threshold nothing is left where all sets are far from it
    curvature.flat[:: len(point) + 1] += np.repeat([1.0, 1e-12], [latent, number])
    return gradient, np.linalg.solve(curvature, gradient)
