r"""`SetRegressor` and `SetClassifier`: estimators of scikit-learn on embeddings with error bars.

Both choose a correction for the sampling error of embeddings (`distembed.heads.corrections`), a
unit of the inputs and a penalty by inner folds, which keep groups together, and then fit to all
training sets.

A regressor with `calibration` holds that share of the groups out of everything, the embedder
included, and takes the conformal quantile of their scores

    s_i = |y_i - f(z_i)| / u_i,     u_i^2 = v + b' V_i b,

with v the mean squared error on inner folds and b the slopes of f. Intervals $f(z) \pm q u$ are
then wider for sets of few atoms, and cover the target of a new set with the probability `level`
whatever u is (`distembed.heads.conformal`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.heads.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from distembed.heads.conformal import conformal_quantile
from distembed.heads.corrections import SCALES, Correction
from distembed.heads.folds import Index, as_groups, as_target, folds
from distembed.heads.linear import Choice, LinearHead, candidates, choose, fit_head
from distembed.heads.rows import Rows, as_rows
from distembed.heads.take import number_of, take
from distembed.registry import need

__all__ = ["PENALTIES", "SetClassifier", "SetRegressor"]

Array = NDArray[np.float64]

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Penalties per set, of inputs of unit variance."""


class SetRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression of a number a set, on embeddings with error bars.

    Args:
        embedder: A `DistributionEmbedder`, fitted with the head to the same sets; None if X is a
            table of `model.embed(sets)` or an array `(S, L)`.
        correction: A member of `CORRECTIONS`, or `auto` to choose one on inner folds.
        penalties: Candidate penalties.
        scale: `column` divides each coordinate by its deviation, `common` all by one number, and
            `auto` chooses on inner folds.
        folds: Number of inner folds; fewer where there are fewer groups.
        calibration: Share of the groups that is held out for `predict_interval`; 0 for none.
        random_state: Seed of the inner folds and of that share.

    Example:
        >>> z = np.linspace(-1, 1, 40)[:, None]
        >>> head = SetRegressor(penalties=(1e-6,), calibration=0.5).fit(z, 2 * z[:, 0])
        >>> low, high = head.predict_interval([[0.5]], level=0.9)
        >>> bool(low[0] <= 1.0 <= high[0])
        True
    """

    def __init__(
        self,
        embedder: Any = None,
        correction: str = "auto",
        penalties: Sequence[float] = PENALTIES,
        scale: str = "auto",
        folds: int = 5,
        calibration: float = 0.0,
        random_state: int = 0,
    ) -> None:
        self.embedder = embedder
        self.correction = correction
        self.penalties = penalties
        self.scale = scale
        self.folds = folds
        self.calibration = calibration
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fit to sets.

        Args:
            X: S sets, or their embeddings.
            y: The target, `(S,)`.
            groups: Group of each set, `(S,)`, such as the patient of a sample.

        Raises:
            ValueError: If the target has text, is missing, constant or of another length, or there
                are too few groups.
        """
        sets = _sets(self, X)
        target = as_target(y, number_of(sets), classes=False)
        number = as_groups(groups, len(target))
        fitted, held_out = self._divided(sets, number)
        _fit(self, take(sets, fitted), target[fitted], number[fitted], classes=False)
        self.calibration_groups_, self.conformity_scores_ = number[held_out], np.empty(0)
        if len(held_out):
            mean, width = self._parts(take(sets, held_out))
            self.conformity_scores_ = np.abs(target[held_out] - mean) / width
        return self

    def predict(self, X: Any) -> Array:
        """Predict the target of sets, `(S,)`."""
        return self._parts(X)[0]

    def predict_interval(self, X: Any, level: float = 0.9) -> tuple[Array, Array]:
        """Return the ends of an interval for the target of each set, `(S,)` each.

        They are infinite where there are too few groups for the level, fewer than
        `level / (1 - level)`.

        Raises:
            ValueError: If no sets were held out for it.
        """
        mean, width = self._parts(X)
        if not len(self.conformity_scores_):
            raise ValueError(
                "Intervals need sets that the head was not fitted to; calibration is "
                f"{self.calibration}. Fit again with calibration=0.25."
            )
        q = conformal_quantile(self.conformity_scores_, level, self.calibration_groups_)
        return mean - q * width, mean + q * width

    def _divided(self, sets: Any, groups: Index) -> tuple[Index, Index]:
        """Return the numbers of sets to fit to, and of those held out for calibration.

        Groups of sets that the encoder was trained on are not held out: their embeddings are not
        exchangeable with those of new sets.
        """
        every = np.arange(len(groups))
        if self.calibration == 0:
            return every, every[:0]
        trained = getattr(sets, "trained", None)
        old = np.unique(groups[trained]) if trained is not None else groups[:0]
        names = np.setdiff1d(groups, old)
        count = round(self.calibration * len(names))
        if not 0 < self.calibration < 1 or count < 1 or len(names) + len(old) - count < 2:
            raise ValueError(
                f"calibration is {self.calibration}, which is {count} of {len(names)} groups of "
                "sets that the encoder was not trained on; at least one is held out, and two are "
                "fitted to. Give a share such as 0.25, more groups, or 0 for no intervals."
            )
        rng = np.random.default_rng(self.random_state)
        held_out = np.isin(groups, rng.choice(names, count, replace=False))
        return every[~held_out], every[held_out]

    def _parts(self, sets: Any) -> tuple[Array, Array]:
        """Return predictions and u, `(S,)` each."""
        rows = _rows(self, sets)
        head: LinearHead = self.head_
        noise = head.correction.covariances(rows)
        slopes = head.slopes[: rows.latent]
        variance = np.einsum("l,slm,m->s", slopes, noise, slopes, optimize=True)
        # without inner folds, or with perfect ones, the noise alone decides
        variance += max(np.nan_to_num(self.choice_.loss), np.finfo(float).tiny)
        return head.predict(rows), np.sqrt(variance)


class SetClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression of a class a set, on embeddings with error bars.

    Args:
        embedder: A `DistributionEmbedder`, fitted with the head to the same sets; None if X is a
            table of `model.embed(sets)` or an array `(S, L)`.
        correction: A member of `CORRECTIONS`, or `auto` to choose one on inner folds.
        penalties: Candidate penalties.
        scale: `column` divides each coordinate by its deviation, `common` all by one number, and
            `auto` chooses on inner folds.
        folds: Number of inner folds; fewer where a class has fewer groups.
        random_state: Seed of the inner folds.

    Example:
        >>> z = np.repeat([[-1.0], [1.0]], 10, axis=0)
        >>> SetClassifier().fit(z, np.repeat(["low", "high"], 10)).predict([[0.9]]).tolist()
        ['high']
    """

    def __init__(
        self,
        embedder: Any = None,
        correction: str = "auto",
        penalties: Sequence[float] = PENALTIES,
        scale: str = "auto",
        folds: int = 5,
        random_state: int = 0,
    ) -> None:
        self.embedder = embedder
        self.correction = correction
        self.penalties = penalties
        self.scale = scale
        self.folds = folds
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fit to sets; arguments and errors are those of `SetRegressor.fit`."""
        sets = _sets(self, X)
        target = as_target(y, number_of(sets), classes=True)
        _fit(self, sets, target, as_groups(groups, len(target)), classes=True)
        self.classes_ = self.head_.model.classes_
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, `(S, C)`, in the order of `classes_`."""
        probabilities: Array = self.head_.predict(_rows(self, X))
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each set, `(S,)`."""
        rows = _rows(self, X)
        labels: NDArray[Any] = self.classes_[self.head_.predict(rows).argmax(1)]
        return labels


def _fit(estimator: Any, sets: Any, y: NDArray[Any], groups: Index, classes: bool) -> None:
    """Fit the embedder, choose a correction and a penalty, and fit the head; sets attributes."""
    if estimator.embedder is not None:
        estimator.embedder_ = clone(estimator.embedder).fit(sets)
        rows = as_rows(estimator.embedder_.embed(sets))
    else:
        rows = as_rows(sets)
    if not all(penalty > 0 for penalty in estimator.penalties) or not len(estimator.penalties):
        raise ValueError(
            f"penalties are {tuple(estimator.penalties)}; they are positive numbers, at least one."
        )
    names = candidates(estimator.correction, rows)
    if estimator.scale not in ("auto", *SCALES):
        raise ValueError(
            f"scale is {estimator.scale!r}; it is 'auto' or one of {', '.join(SCALES)}."
        )
    scales = SCALES if estimator.scale == "auto" else (estimator.scale,)
    count = min(estimator.folds, _fewest_groups(y, groups, classes))
    if count > 1:
        parts = folds(y, groups, count, classes, estimator.random_state)
        choice = choose(rows, y, parts, names, scales, estimator.penalties, classes)
    elif len(names) * len(estimator.penalties) == 1:
        choice = Choice(names[0], float(estimator.penalties[0]), scale=scales[0])
    else:
        raise ValueError(
            f"A penalty is chosen by inner folds, and a class of the {len(y)} sets, or all of "
            "them, are in one group. Give more groups, or one correction and one penalty."
        )
    correction = Correction.fit(rows, choice.correction, choice.scale, choice.share)
    estimator.choice_, estimator.n_features_in_ = choice, rows.z.shape[1]
    estimator.head_ = fit_head(rows, y, correction, choice.penalty, classes)


def _sets(estimator: Any, sets: Any) -> Any:
    """Return sets in a form that can be divided; a data frame has a row an atom."""
    return sets if estimator.embedder is None else estimator.embedder.sets(sets)


def _fewest_groups(y: NDArray[Any], groups: Index, classes: bool) -> int:
    """Return the number of groups, or of those of the class that has the fewest."""
    if not classes:
        return len(np.unique(groups))
    return min(len(np.unique(groups[y == label])) for label in np.unique(y))


def _rows(estimator: Any, sets: Any) -> Rows:
    """Return the embeddings of sets for a fitted head.

    Raises:
        NotFittedError: If it was not fitted.
        ValueError: If the embeddings have another dimension.
    """
    need("sklearn.utils.validation", "sklearn").check_is_fitted(estimator, "head_")
    table = sets if estimator.embedder is None else estimator.embedder_.embed(sets)
    return as_rows(table, estimator.n_features_in_)
