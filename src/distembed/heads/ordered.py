"""`SetOrdinal`: an estimator of ordered classes, such as stages of a disease."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.heads.base import BaseEstimator, ClassifierMixin
from distembed.heads.fitting import PENALTIES, as_sets, fit_estimator, rows_of
from distembed.heads.folds import as_groups, as_target
from distembed.heads.take import number_of

__all__ = ["SetOrdinal"]

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]


class SetOrdinal(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Proportional odds regression of an ordered class a set, on embeddings with error bars.

    Args:
        embedder: As of `SetClassifier`.
        order: The classes from the lowest to the highest; sorted if left out,
            with a warning where they are text.
        correction: As of `SetClassifier`.
        penalties: Candidate penalties.
        scale: As of `SetClassifier`.
        folds: Number of inner folds; fewer where a class has fewer groups.
        random_state: Seed of the inner folds.

    Example:
        >>> z, stage = np.linspace(-1, 1, 30)[:, None], np.repeat(["I", "II", "III"], 10)
        >>> head = SetOrdinal(order=["I", "II", "III"]).fit(z, stage)
        >>> head.predict([[-0.9], [0.0], [0.9]]).tolist()
        ['I', 'II', 'III']
    """

    def __init__(
        self,
        embedder: Any = None,
        order: Sequence[Any] | None = None,
        correction: str = "auto",
        penalties: Sequence[float] = PENALTIES,
        scale: str = "auto",
        folds: int = 5,
        random_state: int = 0,
    ) -> None:
        self.embedder = embedder
        self.order = order
        self.correction = correction
        self.penalties = penalties
        self.scale = scale
        self.folds = folds
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fit to sets; arguments are those of `SetRegressor.fit`.

        Raises:
            ValueError: If a class is not in the order, and as `SetClassifier.fit`.
        """
        sets = as_sets(self, X)
        target = as_target(y, number_of(sets), classes=True)
        names = np.unique(target) if self.order is None else np.asarray(self.order)
        place = {name: k for k, name in enumerate(names.tolist())}
        if missing := [label for label in np.unique(target).tolist() if label not in place]:
            raise ValueError(
                f"Class {missing[0]!r} of the target is not in order = {names.tolist()}; name "
                "all classes, from the lowest to the highest."
            )
        if len(place) < len(names):
            raise ValueError(f"order = {names.tolist()} names a class twice.")
        if self.order is None and names.dtype.kind in "OUS":
            logger.warning(
                "the order of the classes is not stated, and that of text is alphabetical: %s; "
                "state order=[...], from the lowest to the highest",
                " < ".join(map(str, names.tolist())),
            )
        code = np.array([place[label] for label in target.tolist()])
        fit_estimator(self, sets, code, as_groups(groups, len(target)), "order")
        self.classes_ = names[self.head_.model.classes_]
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, `(S, C)`, in the order of `classes_`."""
        rows = rows_of(self, X)
        probabilities: Array = self.head_.predict(rows)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the median class of each set, `(S,)`: the lowest with half of the mass below."""
        # the mass of the last class is one but for rounding
        reached = self.predict_proba(X).cumsum(1) >= 0.5
        labels: NDArray[Any] = self.classes_[reached.argmax(1)]
        return labels
