r"""Proportional hazards: a regression of times to an event, some of them censored (Cox, 1972).

    h(t | x) = h_0(t) exp(x' b)

b minimises the negative partial log-likelihood plus |b|^2 / 2, with ties as in Breslow (1974). The
cumulative baseline hazard H_0 is Breslow's estimate. The loss of a set that was not fitted to is
the deviance of a Poisson count of events d, of which $\Lambda = H_0(t) \exp(x' b)$ are expected,

    Lambda - d log Lambda,

which adds up over sets (Therneau, Grambsch and Fleming, 1990, "Martingale-based residuals").
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from distembed.heads.folds import missing_labels

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
        order = np.argsort(y["time"], kind="stable")
        # a set of weight zero is none, and log 0 would make the risk after it undefined
        order = order[w[order] > 0]
        x, y, w = x[order], y[order], w[order]
        result = minimize(
            _objective, np.zeros(x.shape[1]), (x, y, w), jac=True, method="L-BFGS-B",
            options={"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-8},
        )  # fmt: skip
        self.coef_ = result.x
        self.times_, self.log_hazard_ = y["time"], _log_hazard(x @ self.coef_, y, w)[1]
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


def _log_hazard(f: Array, y: NDArray[Any], w: Array) -> tuple[Array, Array]:
    """Return logarithms of the risk and of the baseline hazard at the time of each set, `(n,)`.

    The risk is the sum of w exp(f) over all sets of at least this time. Sets are in the order of
    their times; those of equal times share both.
    """
    with np.errstate(divide="ignore"):
        risk = np.logaddexp.accumulate((f + np.log(w))[::-1])[::-1]
        first = np.searchsorted(y["time"], y["time"], side="left")
        last = np.searchsorted(y["time"], y["time"], side="right") - 1
        risk = risk[first]
        steps = np.log(y["event"] * w) - risk
    return risk, np.logaddexp.accumulate(steps)[last]


def _objective(b: Array, x: Array, y: NDArray[Any], w: Array) -> tuple[float, Array]:
    """Return the penalised negative partial log-likelihood and its gradient.

    The derivative by f = x b is minus the weighted martingale residual, events less expected ones.
    """
    f, event = x @ b, w * y["event"]
    risk, log_hazard = _log_hazard(f, y, w)
    residual = event - w * np.exp(log_hazard + f)
    return float(b @ b / 2 - event @ (f - risk)), b - x.T @ residual
