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

from distembed.heads.base import BaseEstimator, ClassifierMixin, RegressorMixin
from distembed.heads.calibration import CALIBRATIONS, Calibration
from distembed.heads.conformal import conformal_quantile
from distembed.heads.fitting import PENALTIES, as_sets, fit_estimator, rows_of
from distembed.heads.folds import Folds, Index, as_groups, as_target
from distembed.heads.linear import LinearHead, out_of_fold
from distembed.heads.rows import Rows
from distembed.heads.take import number_of, take

__all__ = ["SetClassifier", "SetRegressor"]

Array = NDArray[np.float64]


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
        sets = as_sets(self, X)
        target = as_target(y, number_of(sets), classes=False)
        number = as_groups(groups, len(target))
        fitted, held_out = self._divided(sets, number)
        fit_estimator(self, take(sets, fitted), target[fitted], number[fitted], "number")
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
        rows = rows_of(self, sets)
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
        calibration: A map of the probabilities that is fitted on inner folds, `platt` or
            `isotonic`, or `none` (`distembed.heads.calibration`).
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
        calibration: str = "none",
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
        """Fit to sets; arguments and errors are those of `SetRegressor.fit`."""
        sets = as_sets(self, X)
        target = as_target(y, number_of(sets), classes=True)
        rows, parts = fit_estimator(self, sets, target, as_groups(groups, len(target)), "class")
        self.classes_ = self.head_.model.classes_
        self.calibration_ = _calibrated(self, rows, target, parts)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, `(S, C)`, in the order of `classes_`."""
        rows = rows_of(self, X)
        probabilities: Array = self.calibration_(self.head_.predict(rows))
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each set, `(S,)`."""
        probabilities = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[probabilities.argmax(1)]
        return labels


def _calibrated(estimator: Any, rows: Rows, y: NDArray[Any], parts: Folds) -> Calibration:
    """Return the map of probabilities, fitted to heads of the chosen form on inner folds."""
    name: str = estimator.calibration
    if name != "none" and not parts:
        raise ValueError(
            f"calibration is {name!r}, which is fitted on inner folds, and a class is in one "
            "group only. Give more groups, or calibration='none'."
        )
    if name == "none" or name not in CALIBRATIONS:
        return Calibration.fit(name, np.empty((0, 0)), np.empty(0, np.int64))
    labels = estimator.classes_
    p = out_of_fold(rows, y, parts, estimator.choice_, "class", labels)
    return Calibration.fit(name, p, np.searchsorted(labels, y))
