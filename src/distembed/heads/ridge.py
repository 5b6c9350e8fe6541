r"""Weighted ridge regression of one number, solved at once.

    min over b, c of   sum_i w_i (y_i - x_i b - c)^2 + |b|^2

Inner folds fit some hundred ridges a head, of some dozen sets each. `sklearn.linear_model.Ridge`
returns the same numbers, and spends 95 % of the time of such a fit on checks of its input.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["WeightedRidge"]

Array = NDArray[np.float64]


class WeightedRidge:
    """A ridge regression with penalty one and a free intercept, with the words of scikit-learn.

    Attributes:
        coef_: Slopes, `(K,)`.
        intercept_: The prediction at zero.

    Example:
        >>> x = np.array([[-1.0], [1.0]])
        >>> model = WeightedRidge().fit(x, np.array([0.0, 3.0]))
        >>> model.coef_.tolist(), model.intercept_
        ([1.0], 1.5)
    """

    coef_: Array
    intercept_: float

    def fit(self, x: Array, y: Array, sample_weight: Array | None = None) -> WeightedRidge:
        """Fit to inputs `(n, K)` and numbers `(n,)`, with weights `(n,)`."""
        w = np.ones(len(x)) if sample_weight is None else sample_weight
        centre, level = np.average(x, 0, w), np.average(y, weights=w)
        centred = x - centre
        gram = (w[:, None] * centred).T @ centred
        gram.flat[:: len(gram) + 1] += 1
        self.coef_ = np.asarray(np.linalg.solve(gram, centred.T @ (w * (y - level))), np.float64)
        self.intercept_ = float(level - centre @ self.coef_)
        return self

    def predict(self, x: Array) -> Array:
        """Return predictions at inputs `(S, K)`, `(S,)`."""
        prediction: Array = x @ self.coef_ + self.intercept_
        return prediction
