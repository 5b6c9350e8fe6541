"""Linear heads on corrected inputs, and the choice of correction and penalty by inner folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.heads.corrections import CORRECTIONS, Correction
from distembed.heads.folds import Folds
from distembed.heads.joined import SHARES
from distembed.heads.rows import Rows
from distembed.registry import need

__all__ = ["Choice", "LinearHead", "candidates", "choose", "fit_head", "loss"]

Array = NDArray[np.float64]


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
        model: A fitted `Ridge` or `LogisticRegression`.
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
    rows: Rows, y: NDArray[Any], correction: Correction, penalty: float, classes: bool
) -> LinearHead:
    """Fit a ridge or a logistic regression to sets; scikit-learn solves it."""
    return _solved(correction, correction.inputs(rows), y, penalty, classes)


def _solved(
    correction: Correction, inputs: Array, y: NDArray[Any], penalty: float, classes: bool
) -> LinearHead:
    """Fit a head to corrected inputs, `(n, L)`."""
    linear = need("sklearn.linear_model", "sklearn")
    whitening = correction.whitening(penalty, 0.25 if classes else 1.0)
    x = inputs @ whitening
    if x.shape[1] > len(x):
        # slopes of the least norm are in the span of the rows, of which there are fewer
        basis = np.linalg.qr(x.T)[0]
        whitening, x = whitening @ basis, x @ basis
    model = linear.LogisticRegression(C=1.0, max_iter=1000) if classes else linear.Ridge(alpha=1.0)
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
    classes: bool,
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
        classes: Whether the target is of classes.

    Raises:
        ValueError: If the only correction cannot be fitted.
    """
    forms = [(name, scale, 1.0) for name in corrections for scale in scales]
    best = _best(rows, y, parts, forms, penalties, classes)
    if not rows.features:
        return best
    forms = [(best.correction, scale, share) for share in SHARES[1:] for scale in scales]
    return min(best, _best(rows, y, parts, forms, penalties, classes), key=lambda c: c.loss)


def _best(
    rows: Rows,
    y: NDArray[Any],
    parts: Folds,
    forms: Sequence[tuple[str, str, float]],
    penalties: Sequence[float],
    classes: bool,
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
                head = _solved(correction, x, target, penalty, classes)
                labels = head.model.classes_ if classes else None
                total[i, j] += loss(head.at(new), y[test], labels).sum()
    best, which = divmod(int(total.argmin()), len(penalties))
    name, scale, share = forms[best]
    return Choice(name, float(penalties[which]), float(total.min() / len(y)), scale, share)


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
