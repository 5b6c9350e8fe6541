r"""Proportional hazards: a regression of times to an event, some of them censored (Cox, 1972).

    h(t | x) = h_0(t) exp(x' b)

b minimises the negative partial log-likelihood plus |b|^2 / 2, with ties as in Breslow (1974). The
cumulative baseline hazard H_0 is Breslow's estimate. The loss of a set that was not fitted to is
the deviance of a Poisson count of events d, of which $\Lambda = H_0(t) \exp(x' b)$ are expected,

    Lambda - d log Lambda,

which adds up over sets (Therneau, Grambsch and Fleming, 1990, "Martingale-based residuals").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.heads.folds import missing_labels
from distembed.heads.newton import minimise

__all__ = ["ProportionalHazards", "as_times", "event_times", "hazard_loss"]

Array = NDArray[np.float64]


def event_times(time: ArrayLike, event: ArrayLike) -> NDArray[Any]:
    """Join times and events to a survival target, a structured array as of scikit-survival.

    Args:
        time: Time of the event, or until which there was none, `(S,)`; not negative.
        event: Whether there was an event, truth values or 0 and 1, `(S,)`.

    Raises:
        ValueError: If shapes differ, a value is missing, a time is negative or infinite, or an
            event is neither.

    Example:
        >>> event_times([5.0, 2.0], [1, 0]).dtype.names
        ('event', 'time')
    """
    t, d = np.asarray(time), np.asarray(event)
    if t.ndim != 1 or t.shape != d.shape:
        raise ValueError(
            f"The times have shape {t.shape} and the events {d.shape}; give one of each a set."
        )
    missing = missing_labels(t) | missing_labels(d)
    if missing.any():
        raise ValueError(
            f"The time or the event is missing for {missing.sum()} of {len(t)} sets, the first "
            f"being number {int(np.flatnonzero(missing)[0])}. A set without an event has the time "
            "until which it was followed, and event 0; leave out sets without either."
        )
    if t.dtype.kind not in "iuf" or not np.isfinite(t.astype(np.float64)).all() or (t < 0).any():
        raise ValueError("Times are finite numbers that are not negative, such as days.")
    if not np.isin(d, (0, 1)).all():
        odd = d[~np.isin(d, (0, 1))][0]
        raise ValueError(f"An event is 0 or 1, false or true, and not {str(odd)!r}.")
    target = np.empty(len(t), [("event", bool), ("time", np.float64)])
    target["event"], target["time"] = d.astype(bool), t
    return target


def as_times(y: Any, count: int) -> NDArray[Any]:
    """Return a survival target after checking it.

    Args:
        y: A structured array of an event and a time, as of `event_times`.
        count: Number of sets.

    Raises:
        ValueError: If it is none, or there are fewer than two events.
    """
    target = np.asarray(y)
    if target.dtype.names is None or len(target.dtype.names) != 2:
        raise ValueError(
            f"The target has type {target.dtype}, and a survival head takes times with events: "
            "event_times(time, event)."
        )
    event, time = target.dtype.names
    target = event_times(target[time], target[event])
    if len(target) != count:
        raise ValueError(
            f"The target has {len(target)} times, and there are {count} sets; give one a set, in "
            "their order."
        )
    if target["event"].sum() < 2:
        raise ValueError(
            f"There are {target['event'].sum()} events among {count} sets; a regression of times "
            "needs two or more."
        )
    return target


class ProportionalHazards:
    """A Cox regression with a penalty of |b|^2 / 2.

    Attributes:
        coef_: Slopes b, `(K,)`.
        times_: Times of the training sets in ascending order, `(n,)`.
        log_hazard_: Logarithm of the cumulative baseline hazard there, `(n,)`.

    Example:
        >>> x = np.linspace(-1, 1, 30)[:, None]
        >>> model = ProportionalHazards().fit(x, event_times(np.exp(-2 * x[:, 0]), np.ones(30)))
        >>> bool(model.coef_[0] > 1)
        True
    """

    coef_: Array
    times_: Array
    log_hazard_: Array

    def fit(self, x: Array, y: NDArray[Any], sample_weight: Array | None = None) -> Self:
        """Fit to inputs `(n, K)` and a survival target `(n,)`, with weights `(n,)`."""
        w = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight)
        rows = np.argsort(y["time"], kind="stable")
        # a set of weight zero is none, and log 0 would make the risk after it undefined
        rows = rows[w[rows] > 0]
        x, y, w = x[rows], y[rows], w[rows]
        order = _TimeOrder.of(y, w)
        self.coef_ = minimise(
            lambda b: order.loss(b, x), lambda b: order.newton(b, x), np.zeros(x.shape[1])
        )
        self.times_, self.log_hazard_ = y["time"], order.log_hazard(x @ self.coef_)[1]
        return self

    def predict(self, x: Array) -> Array:
        """Return the log hazard ratio to x = 0, `(S,)`."""
        ratio: Array = np.asarray(x) @ self.coef_
        return ratio

    def log_baseline(self, times: Array) -> Array:
        """Return the logarithm of the cumulative baseline hazard at some times, `(T,)`.

        It is constant after the last time of the training sets.
        """
        steps = np.concatenate([[-np.inf], self.log_hazard_])
        logarithm: Array = steps[np.searchsorted(self.times_, times, side="right")]
        return logarithm


def hazard_loss(model: ProportionalHazards, x: Array, y: NDArray[Any]) -> Array:
    """Return the loss of sets that were not fitted to, `(S,)`.

    An event before all events of the training sets counts as one at the first of them.
    """
    f, first = model.predict(x), model.log_hazard_[np.isfinite(model.log_hazard_)][0]
    log_expected = model.log_baseline(y["time"]) + f
    loss: Array = np.exp(log_expected) - y["event"] * np.maximum(log_expected, first + f)
    return loss


@dataclass(frozen=True)
class _TimeOrder:
    """What the likelihood of sets in the order of their times needs, whatever the slopes.

    Attributes:
        event: Weight of each set that had its event, else 0, `(n,)`.
        w: Weights, `(n,)`.
        first: Number of the first set of the same time, `(n,)`.
        last: Number of the last one, `(n,)`.
    """

    event: Array
    w: Array
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, y: NDArray[Any], w: Array) -> _TimeOrder:
        time = y["time"]
        first = np.searchsorted(time, time, side="left")
        last = np.searchsorted(time, time, side="right") - 1
        return cls(w * y["event"], w, first, last)

    def log_hazard(self, f: Array) -> tuple[Array, Array]:
        """Return logarithms of the risk and of the baseline hazard at the time of each set.

        The risk is the sum of w exp(f) over all sets of at least this time; `(n,)` each. Sets of
        equal times share both.
        """
        with np.errstate(divide="ignore"):
            risk = np.logaddexp.accumulate((f + np.log(self.w))[::-1])[::-1][self.first]
            steps = np.log(self.event) - risk
        return risk, np.logaddexp.accumulate(steps)[self.last]

    def loss(self, b: Array, x: Array) -> float:
        """Return the penalised negative partial log-likelihood."""
        f = x @ b
        return float(b @ b / 2 - self.event @ (f - self.log_hazard(f)[0]))

    def newton(self, b: Array, x: Array) -> tuple[Array, Array]:
        r"""Return the gradient and the step of Newton, `(K,)` each.

        The derivative by f = x b is minus the weighted martingale residual, events less expected
        ones $e_i$. With $m_j$ the mean of x over the sets at risk at event j, of weight $d_j$, the
        Hessian is $I + \sum_i e_i x_i x_i^\top - \sum_j d_j m_j m_j^\top$.
        """
        f = x @ b
        risk, log_hazard = self.log_hazard(f)
        expected = self.w * np.exp(log_hazard + f)
        gradient: Array = b - x.T @ (self.event - expected)
        # centred, so that the two sums do not cancel
        centred = x - x.mean(0)
        powers = self.w * np.exp(f - f.max())
        at_risk = np.cumsum((powers[:, None] * centred)[::-1], 0)[::-1][self.first]
        total = np.cumsum(powers[::-1])[::-1][self.first]
        means = at_risk / np.maximum(total, np.finfo(float).tiny)[:, None]
        curvature = (centred.T * expected) @ centred - (means.T * self.event) @ means
        curvature.flat[:: len(b) + 1] += 1
        return gradient, np.linalg.solve(curvature, gradient)
