"""Linear heads on corrected inputs, and the choice of correction and penalty by inner folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distembed.heads.corrections import CORRECTIONS, Correction
from distembed.heads.folds import Folds
from distembed.heads.hazards import ProportionalHazards, hazard_loss
from distembed.heads.joined import SHARES
from distembed.heads.logistic import BinaryLogistic, MultinomialLogistic
from distembed.heads.ordinal import ProportionalOdds
from distembed.heads.ridge import WeightedRidge
from distembed.heads.rows import Rows

__all__ = [
    "Choice",
    "Kind",
    "LinearHead",
    "candidates",
    "choose",
    "fit_head",
    "loss",
    "out_of_fold",
]

Array = NDArray[np.float64]
Kind = Literal["number", "class", "order", "time"]
"""What a head predicts: a number by a ridge, a class by a logistic regression, an ordered class by
proportional odds, or the time to an event by proportional hazards."""


@dataclass(frozen=True)
class Choice:
    """A correction, a penalty, and their mean loss on inner folds.

    Attributes:
        correction: A member of `CORRECTIONS`.
        penalty: alpha, a penalty per set on standardised inputs.
        loss: Mean squared error, or mean logistic loss; NaN if there was no choice.
        scale: A member of `SCALES`.
        share: Share of z in the inputs; below one only where features are joined.
    """

    correction: str
    penalty: float
    loss: float = np.nan
    scale: str = "common"
    share: float = 1.0


@dataclass(frozen=True)
class LinearHead:
    """A fitted head.

    Attributes:
        correction: The fitted correction.
        slopes: Slopes in z and joined features, before the correction `calibrated`,
            `(L + F,)` or `(C, L + F)`.
        whitening: Map of inputs, `(L, K)`, with K the smaller of L and the number of sets.
        model: A fitted `WeightedRidge`, `BinaryLogistic`, `MultinomialLogistic` for more classes,
            `ProportionalOdds` or `ProportionalHazards`.
    """

    correction: Correction
    slopes: Array
    whitening: Array
    model: Any

    def predict(self, rows: Rows) -> Array:
        """Return predictions, `(S,)`, or probabilities of the classes, `(S, C)`."""
        return self.at(self.correction.inputs(rows))

    def at(self, inputs: Array) -> Array:
        """Return what `predict` does, at corrected inputs `(S, L)`."""
        classes = hasattr(self.model, "predict_proba")
        method = self.model.predict_proba if classes else self.model.predict
        prediction: Array = method(inputs @ self.whitening)
        return prediction


def fit_head(
    rows: Rows, y: NDArray[Any], correction: Correction, penalty: float, kind: Kind
) -> LinearHead:
    """Fit the linear model of a kind to sets."""
    return _solved(correction, correction.inputs(rows), y, penalty, kind)


def _solved(
    correction: Correction, inputs: Array, y: NDArray[Any], penalty: float, kind: Kind
) -> LinearHead:
    """Fit a head to corrected inputs, `(n, L)`."""
    # the information of a set on its score: that of a logistic loss at 1/2, of a count of events
    curvature = {"number": 1.0, "time": y["event"].mean() if kind == "time" else 0.0}
    whitening = correction.whitening(penalty, curvature.get(kind, 0.25))
    x = inputs @ whitening
    if x.shape[1] > len(x):
        # slopes of the least norm are in the span of the rows, of which there are fewer
        basis = np.linalg.qr(x.T)[0]
        whitening, x = whitening @ basis, x @ basis
    model: Any
    if kind == "number":
        model = WeightedRidge()
    elif kind == "order":
        model = ProportionalOdds()
    elif kind == "time":
        model = ProportionalHazards()
    elif len(np.unique(y)) == 2:
        model = BinaryLogistic()
    else:
        model = MultinomialLogistic()
    model.fit(x, y, sample_weight=correction.weights)
    slopes = model.coef_ @ whitening.T / correction.scale
    return LinearHead(correction, slopes, whitening, model)


def loss(prediction: Array, y: NDArray[Any], labels: NDArray[Any] | None) -> Array:
    """Return squared errors, or logistic losses of probabilities, `(S,)`.

    Args:
        prediction: `(S,)`, or probabilities `(S, C)`.
        y: The target, `(S,)`.
        labels: The classes of the columns; None for numbers. A class that is not among them has
            probability zero, whose loss is cut at that of 1e-15.
    """
    if labels is None:
        squares: Array = np.square(prediction - y)
        return squares
    chosen = np.where(y[:, None] == labels, prediction, 0).sum(1)
    logarithms: Array = -np.log(np.clip(chosen, 1e-15, 1))
    return logarithms


def choose(
    rows: Rows,
    y: NDArray[Any],
    parts: Folds,
    corrections: Sequence[str],
    scales: Sequence[str],
    penalties: Sequence[float],
    kind: Kind,
) -> Choice:
    """Return the correction, the scale and the penalty of the smallest mean loss on inner folds.

    Where features are joined, the share of z is chosen last, with the correction that is best for
    z alone.

    Args:
        rows: Training sets.
        y: Their target.
        parts: Inner folds.
        corrections: Members of `CORRECTIONS`; of equal losses the first is taken.
        scales: Members of `SCALES`.
        penalties: Candidate penalties.
        kind: What the head predicts.

    Raises:
        ValueError: If the only correction cannot be fitted.
    """
    forms = [(name, scale, 1.0) for name in corrections for scale in scales]
    best = _best(rows, y, parts, forms, penalties, kind)
    if not rows.features:
        return best
    forms = [(best.correction, scale, share) for share in SHARES[1:] for scale in scales]
    return min(best, _best(rows, y, parts, forms, penalties, kind), key=lambda c: c.loss)


def _best(
    rows: Rows,
    y: NDArray[Any],
    parts: Folds,
    forms: Sequence[tuple[str, str, float]],
    penalties: Sequence[float],
    kind: Kind,
) -> Choice:
    """Return the best of some forms, each a correction, a scale and a share of z."""
    total = np.zeros((len(forms), len(penalties)))
    for train, test in parts:
        own, target, other = rows.select(train), y[train], rows.select(test)
        for i, form in enumerate(forms):
            try:
                correction = Correction.fit(own, *form)
            except ValueError:  # a prior needs sets that differ by more than their noise
                if len({name for name, *_ in forms}) == 1:
                    raise
                total[i] = np.inf
                continue
            x, new = correction.inputs(own), correction.inputs(other)
            for j, penalty in enumerate(penalties):
                head = _solved(correction, x, target, penalty, kind)
                total[i, j] += _losses(head, new, y[test], kind).sum()
    best, which = divmod(int(total.argmin()), len(penalties))
    name, scale, share = forms[best]
    return Choice(name, float(penalties[which]), float(total.min() / len(y)), scale, share)


def _losses(head: LinearHead, inputs: Array, y: NDArray[Any], kind: Kind) -> Array:
    """Return the losses of sets that the head was not fitted to, `(S,)`."""
    if kind == "time":
        return hazard_loss(head.model, inputs @ head.whitening, y)
    return loss(head.at(inputs), y, None if kind == "number" else head.model.classes_)


def out_of_fold(
    rows: Rows, y: NDArray[Any], parts: Folds, choice: Choice, kind: Kind, labels: NDArray[Any]
) -> Array:
    """Return probabilities of each set by a head that was fitted to the other folds, `(S, C)`.

    Args:
        rows: Training sets.
        y: Their target.
        parts: Inner folds.
        choice: The form of the head.
        kind: What the head predicts, which is a class.
        labels: The classes of the columns.
    """
    p = np.zeros((len(rows), len(labels)))
    for train, test in parts:
        own = rows.select(train)
        correction = Correction.fit(own, choice.correction, choice.scale, choice.share)
        head = fit_head(own, y[train], correction, choice.penalty, kind)
        columns = np.searchsorted(labels, head.model.classes_)
        p[test[:, None], columns] = head.predict(rows.select(test))
    return p


def candidates(correction: str, rows: Rows) -> tuple[str, ...]:
    """Return the corrections to choose from: `auto` is all, or `none` without covariances.

    Raises:
        ValueError: If there is no such correction.
    """
    if correction == "auto":
        return CORRECTIONS if rows.cov is not None else CORRECTIONS[:1]
    if correction not in CORRECTIONS:
        raise ValueError(
            f"correction is {correction!r}; it is 'auto' or one of {', '.join(CORRECTIONS)}."
        )
    return (correction,)
