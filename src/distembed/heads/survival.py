"""`SetSurvival`: an estimator of the time to an event, such as the death of a patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.heads.base import BaseEstimator
from distembed.heads.fitting import PENALTIES, as_sets, fit_estimator, rows_of
from distembed.heads.folds import as_groups
from distembed.heads.hazards import as_times
from distembed.heads.scores import concordance
from distembed.heads.take import number_of

__all__ = ["SetSurvival"]

Array = NDArray[np.float64]


class SetSurvival(BaseEstimator):  # type: ignore[misc]
    """Cox regression of the time to an event of a set, on embeddings with error bars.

    Args:
        embedder: As of `SetRegressor`.
        correction: As of `SetRegressor`.
        penalties: Candidate penalties.
        scale: As of `SetRegressor`.
        folds: Number of inner folds; fewer where there are fewer groups with an event.
        random_state: Seed of the inner folds.

    Example:
        >>> from distembed.heads import SetSurvival, event_times
        >>> z = np.linspace(-1, 1, 40)[:, None]
        >>> y = event_times(np.exp(-z[:, 0]), np.arange(40) % 4 > 0)
        >>> head = SetSurvival().fit(z, y)
        >>> head.score(z, y)  # the order of times is that of z
        1.0
        >>> head.predict_survival([[0.0]], [0.5, 1.0]).shape
        (1, 2)
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

    def fit(self, X: Any, y: Any, groups: ArrayLike | None = None) -> Self:
        """Fit to sets.

        Args:
            X: S sets, or their embeddings.
            y: Times with events, `(S,)`, as of `event_times`.
            groups: Group of each set, `(S,)`, such as the patient of a sample.

        Raises:
            ValueError: If the target is another, or has fewer than two events.
        """
        sets = as_sets(self, X)
        target = as_times(y, number_of(sets))
        fit_estimator(self, sets, target, as_groups(groups, len(target)), "time")
        return self

    def predict(self, X: Any) -> Array:
        """Return the log hazard ratio of each set to the mean of the training sets, `(S,)`.

        A larger one means an earlier event.
        """
        rows = rows_of(self, X)
        risk: Array = self.head_.predict(rows)
        return risk

    def predict_survival(self, X: Any, times: ArrayLike) -> Array:
        """Return the probability of no event until each time, `(S, T)`.

        It is NaN after the last time of the training sets, of which nothing is known, and at a
        time that is NaN.
        """
        rows, t = rows_of(self, X), np.atleast_1d(np.asarray(times, np.float64))
        model, f = self.head_.model, self.head_.predict(rows)
        survival: Array = np.exp(-np.exp(model.log_baseline(t) + f[:, None]))
        survival[:, ~(t <= model.times_[-1])] = np.nan
        return survival

    def score(self, X: Any, y: Any) -> float:
        """Return the concordance: the share of comparable pairs of sets in the right order."""
        risk = self.predict(X)
        return concordance(as_times(y, len(risk)), risk)
