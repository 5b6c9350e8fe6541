r"""Logistic regression of two classes by Newton's method.

    min over a, b of  sum_i w_i (log(1 + exp(f_i)) - y_i f_i) + |b|^2 / 2,      f = x b + a.

Cross-validation with permutations fits thousands of these to tens of sets. A step solves K + 1
linear equations, and half a dozen steps are enough; general solvers spend most of their time on
the check of arguments, at ten times the cost.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

__all__ = ["BinaryLogistic"]

Array = NDArray[np.float64]


class BinaryLogistic:
    """A logistic regression with a penalty of |b|^2 / 2, and none on the intercept.

    Attributes:
        classes_: The two classes, sorted, `(2,)`.
        coef_: Slopes b of the log odds of the second class, `(1, K)`.
        intercept_: a, `(1,)`.

    Example:
        >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
        >>> model = BinaryLogistic().fit(x, np.array(["no", "no", "yes", "yes"]))
        >>> model.predict_proba([[0.0]]).round(6).tolist()
        [[0.5, 0.5]]
    """

    classes_: NDArray[Any]
    coef_: Array
    intercept_: Array

    def fit(self, x: Array, y: NDArray[Any], sample_weight: Array | None = None) -> Self:
        """Fit to inputs `(n, K)` and classes `(n,)`, both of which occur, with weights `(n,)`."""
        self.classes_, code = np.unique(y, return_inverse=True)
        w = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight)
        design = np.column_stack([x, np.ones(len(x))])
        penalty = np.append(np.ones(x.shape[1]), 0.0)
        share = w @ code / w.sum()
        theta = np.append(np.zeros(x.shape[1]), np.log(share / (1 - share)))

        def objective(theta: Array) -> tuple[float, Array]:
            f = design @ theta
            value = w @ (np.logaddexp(0, f) - code * f) + penalty @ np.square(theta) / 2
            return float(value), f

        value, f = objective(theta)
        for _ in range(100):
            p = expit(f)
            gradient = design.T @ (w * (p - code)) + penalty * theta
            curvature = (design.T * (w * p * (1 - p))) @ design + np.diag(penalty)
            curvature[-1, -1] += 1e-12  # of the intercept nothing is left where all p are 0 or 1
            step = np.linalg.solve(curvature, gradient)
            decrease = float(gradient @ step)
            if decrease <= 1e-14 * max(1.0, abs(value)):
                break
            size = 1.0
            while True:
                new = theta - size * step
                new_value, f = objective(new)
                if new_value <= value - 1e-4 * size * decrease or size < 1e-8:
                    break
                size /= 2
            theta, value = new, new_value
        self.coef_, self.intercept_ = theta[None, :-1], theta[-1:]
        return self

    def predict_proba(self, x: Any) -> Array:
        """Return the probability of each class, `(S, 2)`."""
        f = np.asarray(x) @ self.coef_[0] + self.intercept_
        return np.column_stack([expit(-f), expit(f)])
