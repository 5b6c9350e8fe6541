r"""Calibration of probabilities: how to mend it on inner folds, and how to report it.

Probabilities of a head that is chosen for its loss may still be too bold or too timid. Out-of-fold
probabilities p of inner folds and the classes fit a map

- `platt`: $\log q \propto a \log p + b$, with an offset b for each class (Platt, 1999; for more
  than two classes vector scaling with one slope);
- `isotonic`: a monotone function of the probability of each class, scaled to sum to one
  (Zadrozny and Elkan, 2002).

`reliability` compares probabilities of any origin with what happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from distembed.registry import need

__all__ = ["CALIBRATIONS", "Calibration", "Reliability", "reliability"]

Array = NDArray[np.float64]

CALIBRATIONS = ("none", "platt", "isotonic")
"""The maps by name."""
_LEAST = 1e-9  # a probability of zero has no logarithm


@dataclass(frozen=True)
class Calibration:
    """A fitted map of probabilities.

    Attributes:
        name: A member of `CALIBRATIONS`.
        slope: a of `platt`.
        offset: b of `platt`, `(C,)`.
        knots: Of `isotonic`, for each class the probabilities and their images.
    """

    name: str
    slope: float = 1.0
    offset: Array | None = None
    knots: tuple[tuple[Array, Array], ...] = ()

    @classmethod
    def fit(cls, name: str, p: Array, code: NDArray[np.int64]) -> Calibration:
        """Fit a map to out-of-fold probabilities.

        Args:
            name: A member of `CALIBRATIONS`.
            p: Probabilities, `(n, C)`.
            code: Number of the class of each, `(n,)`.

        Raises:
            ValueError: If there is no such map.
        """
        if name not in CALIBRATIONS:
            raise ValueError(f"calibration is {name!r}; it is one of {', '.join(CALIBRATIONS)}.")
        if name == "none":
            return cls(name)
        if name == "platt":
            return cls(name, *_platt(p, code))
        isotonic = need("sklearn.isotonic", "sklearn")
        knots = []
        for c in range(p.shape[1]):
            model = isotonic.IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
            model.fit(p[:, c], code == c)
            knots.append((np.asarray(model.X_thresholds_), np.asarray(model.y_thresholds_)))
        return cls(name, knots=tuple(knots))

    def __call__(self, p: Array) -> Array:
        """Map probabilities, `(S, C) -> (S, C)`."""
        if self.name == "none":
            return p
        if self.offset is not None:
            return _softmax(self.slope * _log(p) + self.offset)
        columns = [np.interp(p[:, c], *knot) for c, knot in enumerate(self.knots)]
        q = np.stack(columns, axis=1)
        total = q.sum(1, keepdims=True)
        # where every class is mapped to zero, the head's own probabilities stay
        mapped: Array = np.where(total > 0, q / np.where(total > 0, total, 1), p)
        return mapped


def _platt(p: Array, code: NDArray[np.int64]) -> tuple[float, Array]:
    """Return the slope and the offsets of the largest likelihood, the latter of mean zero."""
    optimise = need("scipy.optimize", "sklearn")
    log_p, classes = _log(p), p.shape[1]
    one = np.eye(classes)[code]
    # Platt's targets: a class that inner folds tell apart without error has no infinite slope
    counts = one.sum(0)
    own = counts[code][:, None]
    # what the class of a set leaves is shared by the others, so that shares stay those of the data
    target = np.where(one > 0, (own + 1) / (own + 2), 1 / (own + 2) / (classes - 1))

    def objective(parameters: Array) -> tuple[float, Array]:
        q = _softmax(parameters[0] * log_p + parameters[1:])
        gap = q - target
        value = -float((target * np.log(np.maximum(q, 1e-300))).sum())
        return value, np.concatenate([[(gap * log_p).sum()], gap.sum(0)])

    result = optimise.minimize(objective, np.r_[1.0, np.zeros(classes)], jac=True)
    offset = result.x[1:] - result.x[1:].mean()
    # a negative slope would turn the order of the head around
    if result.x[0] <= 0:
        return 0.0, np.log(np.maximum(target.mean(0), _LEAST))
    return float(result.x[0]), offset


def _log(p: Array) -> Array:
    logarithm: Array = np.log(np.maximum(p, _LEAST))
    return logarithm


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(1, keepdims=True))
    normalised: Array = powers / powers.sum(1, keepdims=True)
    return normalised


@dataclass(frozen=True)
class Reliability:
    """Predicted probabilities beside observed shares.

    Attributes:
        predicted: Mean probability of each bin, `(K,)`.
        observed: Share of the class in each bin.
        low: Lower end of its 95 % interval (Wilson, 1927).
        high: Upper end.
        count: Number of sets of each bin.
        brier: Mean squared error of the probabilities, summed over classes.
        base: The same of the shares of the classes, for every set.
        error: Expected calibration error: mean of |predicted - observed| over sets.
    """

    predicted: Array
    observed: Array
    low: Array
    high: Array
    count: NDArray[np.int64]
    brier: float
    base: float
    error: float


def reliability(p: Array, code: NDArray[np.int64], bins: int = 5) -> Reliability:
    """Compare probabilities with classes, in bins of equally many sets.

    Of two classes the second is shown, of more all are pooled.

    Args:
        p: Probabilities, `(S, C)`.
        code: Number of the class of each set, `(S,)`.
        bins: Number of bins.

    Example:
        >>> p = np.array([[0.8, 0.2]] * 5 + [[0.2, 0.8]] * 5)
        >>> result = reliability(p, np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 0]), bins=2)
        >>> result.observed.tolist(), round(result.error, 9)
        ([0.2, 0.8], 0.0)
    """
    one = np.eye(p.shape[1])[code]
    brier = float(np.square(p - one).sum(1).mean())
    base = float(np.square(one.mean(0) - one).sum(1).mean())
    shown, happened = (p[:, 1], one[:, 1]) if p.shape[1] == 2 else (p.ravel(), one.ravel())
    order = np.argsort(shown, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    predicted = np.array([shown[part].mean() for part in parts])
    observed = np.array([happened[part].mean() for part in parts])
    count = np.array([len(part) for part in parts])
    low, high = _wilson(observed, count)
    error = float(np.abs(predicted - observed) @ count / count.sum())
    return Reliability(predicted, observed, low, high, count, brier, base, error)


def _wilson(share: Array, count: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return the ends of 95 % intervals of shares."""
    z = float(stats.norm.ppf(0.975))
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half: Any = (
        z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    )
    return centre - half, centre + half
