r"""Proportional odds: a regression of ordered classes (McCullagh, 1980).

    P(y <= k | x) = sigma(theta_k - x' b),      theta_0 < theta_1 < ...

minimises $\sum_i w_i \ell_i + |b|^2 / 2$ with $\ell$ the negative log-likelihood. With two classes
it is a logistic regression. One slope serves all thresholds, so that x' b orders the sets. With
u and l the upper and lower threshold of y less x' b,

    sigma(u) - sigma(l) = sigma(u) sigma(-l) (1 - exp(l - u)),

which does not cancel. Thresholds are written as the first one and logarithms of the gaps.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

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
        gaps = len(self.classes_) - 2
        below = np.cumsum(np.bincount(code, weight))[:-1] / weight.sum()
        theta = np.log(below / (1 - below))  # the thresholds of b = 0
        start = np.concatenate([np.zeros(x.shape[1]), theta[:1], np.log(np.diff(theta))])
        result = minimize(
            _objective, start, (x, code, weight, gaps), jac=True, method="L-BFGS-B",
            options={"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-8},
        )  # fmt: skip
        self.coef_ = result.x[: x.shape[1]]
        self.thresholds_ = _thresholds(result.x[x.shape[1] :])
        return self

    def predict_proba(self, x: Any) -> Array:
        """Return the probability of each class, `(S, C)`."""
        score = np.asarray(x) @ self.coef_
        inner = expit(self.thresholds_ - score[:, None])
        ones = np.ones((len(score), 1))
        return np.diff(np.concatenate([0 * ones, inner, ones], axis=1), axis=1)


def _thresholds(parameters: Array) -> Array:
    first, gaps = parameters[:1], np.exp(parameters[1:])
    return np.cumsum(np.concatenate([first, gaps]))


def _objective(
    parameters: Array, x: Array, code: NDArray[np.int64], weight: Array, gaps: int
) -> tuple[float, Array]:
    """Return the penalised negative log-likelihood and its gradient."""
    latent = x.shape[1]
    b, theta = parameters[:latent], _thresholds(parameters[latent:])
    ends = np.concatenate([[-np.inf], theta, [np.inf]])
    score = x @ b
    upper, lower = ends[code + 1] - score, ends[code] - score
    width = upper - lower
    likelihood = log_expit(upper) + log_expit(-lower) + np.log(-np.expm1(-width))
    with np.errstate(over="ignore"):
        inverse = 1 / np.expm1(width)
    by_upper = weight * (expit(-upper) + inverse)
    by_lower = -weight * (expit(lower) + inverse)
    by_theta = (
        np.bincount(code, by_upper, gaps + 2)[:-1] + np.bincount(code, by_lower, gaps + 2)[1:]
    )
    # theta_k holds all gaps up to k
    tail = np.cumsum(by_theta[::-1])[::-1]
    by_parameters = tail * np.concatenate([[1.0], np.exp(parameters[latent + 1 :])])
    gradient = np.concatenate([b + x.T @ (by_upper + by_lower), -by_parameters])
    return float(b @ b / 2 - weight @ likelihood), gradient
