r"""Logistic regression by Newton's method (`distembed.heads.newton`), of two classes or more.

Of two classes, with $f = x b + a$ the log odds of the second,

    min over a, b of  sum_i w_i (log(1 + exp(f_i)) - y_i f_i) + |b|^2 / 2.

Of C classes, with $f_c = x b_c + a_c$ and probabilities $p_c \propto \exp f_c$,

    min over a, b of  sum_i w_i (log sum_c exp(f_ic) - f_iy) + sum_c |b_c|^2 / 2.

At its minimum the b sum to zero over classes, and so may the a. They are therefore written as
$b = v Q^\top$ with orthonormal columns Q of sum zero, `(C, C - 1)`, so that |b| = |v|. The linear
equations of a step are solved directly if they are few, and else by conjugate gradients, in which
$\sum_i w_i x_i x_i^\top / 2$, which bounds the Hessian (Boehning, 1992), is the preconditioner.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import helmert
from scipy.special import expit

from distembed.heads.newton import conjugate_gradients, minimise

__all__ = ["BinaryLogistic", "MultinomialLogistic"]

Array = NDArray[np.float64]

_FLAT = 1e-12  # of an intercept nothing is left where all p are 0 or 1


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
        start = np.append(np.zeros(x.shape[1]), np.log(share / (1 - share)))

        def value(theta: Array) -> float:
            f = design @ theta
            total = w @ (np.logaddexp(0, f) - code * f) + penalty @ np.square(theta) / 2
            return float(total)

        def newton(theta: Array) -> tuple[Array, Array]:
            p = expit(design @ theta)
            gradient = design.T @ (w * (p - code)) + penalty * theta
            curvature = (design.T * (w * p * (1 - p))) @ design + np.diag(penalty)
            curvature[-1, -1] += _FLAT
            return gradient, np.linalg.solve(curvature, gradient)

        theta = minimise(value, newton, start)
        self.coef_, self.intercept_ = theta[None, :-1], theta[-1:]
        return self

    def predict_proba(self, x: Any) -> Array:
        """Return the probability of each class, `(S, 2)`."""
        f = np.asarray(x) @ self.coef_[0] + self.intercept_
        return np.column_stack([expit(-f), expit(f)])


class MultinomialLogistic:
    """A logistic regression of C classes with a penalty of the sum of |b_c|^2 / 2.

    Args:
        direct: Most unknowns whose equations are solved directly, the faster way up to there.

    Attributes:
        classes_: The classes, sorted, `(C,)`.
        coef_: Slopes b, `(C, K)`.
        intercept_: a, `(C,)`.

    Example:
        >>> x = np.array([[-2.0], [-2.0], [0.0], [0.0], [2.0], [2.0]])
        >>> model = MultinomialLogistic().fit(x, np.repeat(["a", "b", "c"], 2))
        >>> model.predict_proba([[-2.0], [2.0]]).argmax(1).tolist()
        [0, 2]
    """

    classes_: NDArray[Any]
    coef_: Array
    intercept_: Array

    def __init__(self, direct: int = 160) -> None:
        self.direct = direct

    def fit(self, x: Array, y: NDArray[Any], sample_weight: Array | None = None) -> Self:
        """Fit to inputs `(n, K)` and classes `(n,)` with weights `(n,)`."""
        self.classes_, code = np.unique(y, return_inverse=True)
        w = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight)
        problem = _Classes.of(np.column_stack([x, np.ones(len(x))]), code, w)
        log_shares = np.log(w @ problem.one)
        start = np.zeros((x.shape[1] + 1, problem.basis.shape[1]))
        start[-1] = log_shares @ problem.basis  # probabilities are the shares of the classes
        newton = problem.newton if start.size <= self.direct else problem.newton_by_gradients
        v = minimise(problem.loss, newton, start)
        b = problem.basis @ v.T
        self.coef_, self.intercept_ = b[:, :-1], b[:, -1]
        return self

    def predict_proba(self, x: Any) -> Array:
        """Return the probability of each class, `(S, C)`."""
        return _shares(np.asarray(x) @ self.coef_.T + self.intercept_)[0]


@dataclass(frozen=True)
class _Classes:
    """The loss of more than two classes as a function of v, `(K + 1, C - 1)`.

    Attributes:
        design: Inputs and a column of ones, `(n, K + 1)`.
        one: Ones at the class of each set, `(n, C)`.
        w: Weights, `(n, 1)`.
        basis: Q, `(C, C - 1)`.
        penalty: Ones, and a zero for the intercept, `(K + 1, 1)`.
    """

    design: Array
    one: Array
    w: Array
    basis: Array
    penalty: Array

    @classmethod
    def of(cls, design: Array, code: NDArray[np.int64], w: Array) -> _Classes:
        one, penalty = np.eye(int(code.max()) + 1)[code], np.ones((design.shape[1], 1))
        penalty[-1] = 0
        return cls(design, one, w[:, None], helmert(one.shape[1]).T, penalty)

    def loss(self, v: Array) -> float:
        f = self.design @ v @ self.basis.T
        _, total = _shares(f)
        loss = (self.w * (total - (self.one * f).sum(1, keepdims=True))).sum()
        return float(loss + (self.penalty * np.square(v)).sum() / 2)

    def newton(self, v: Array) -> tuple[Array, Array]:
        """Return the gradient and the step, both of the shape of v."""
        p, gradient = self._first(v)
        inner, number = p @ self.basis, v.shape[1]
        # of each set the Hessian in the basis, diag p - p p', `(n, C - 1, C - 1)`
        own = (p @ self._squares).reshape(-1, number, number)
        own = self.w[:, :, None] * (own - inner[:, :, None] * inner[:, None])
        weighted = own.transpose(1, 2, 0)[:, :, None] * self.design.T
        blocks = weighted @ self.design  # (C - 1, C - 1, K + 1, K + 1)
        curvature = blocks.transpose(2, 0, 3, 1).reshape(v.size, v.size)
        diagonal = np.broadcast_to(np.maximum(self.penalty, _FLAT), v.shape)
        curvature.flat[:: v.size + 1] += diagonal.ravel()
        step: Any = np.linalg.solve(curvature, gradient.ravel())
        return gradient, step.reshape(v.shape)

    def newton_by_gradients(self, v: Array) -> tuple[Array, Array]:
        """Return what `newton` does, without a matrix of all unknowns."""
        p, gradient = self._first(v)

        def product(step: Array) -> Array:
            change = p * (self.design @ step @ self.basis.T)
            change -= p * change.sum(1, keepdims=True)
            curved: Array = self.design.T @ (self.w * change @ self.basis) + self.penalty * step
            return curved

        return gradient, conjugate_gradients(product, gradient, self._preconditioner)

    @cached_property
    def _squares(self) -> Array:
        """Return the products of two columns of Q, `(C, (C - 1)^2)`."""
        products: Array = self.basis[:, :, None] * self.basis[:, None]
        return products.reshape(len(products), -1)

    @cached_property
    def _preconditioner(self) -> Array:
        bound = (self.design * self.w / 2).T @ self.design
        return np.asarray(np.linalg.inv(bound + np.diag(self.penalty[:, 0])))

    def _first(self, v: Array) -> tuple[Array, Array]:
        """Return the probabilities, `(n, C)`, and the gradient."""
        p, _ = _shares(self.design @ v @ self.basis.T)
        by_score = self.w * (p - self.one) @ self.basis
        gradient: Array = self.design.T @ by_score + self.penalty * v
        return p, gradient


def _shares(f: Array) -> tuple[Array, Array]:
    """Return exp f over its sum of each row, `(n, C)`, and the logarithm of the sum, `(n, 1)`."""
    most = f.max(1, keepdims=True)
    powers = np.exp(f - most)  # scipy.special.softmax takes ten times as long for tens of rows
    total = powers.sum(1, keepdims=True)
    logarithm: Array = most + np.log(total)
    return powers / total, logarithm
