"""What the estimators share: the embedder, the choice on inner folds, and the fit of the head."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.heads.base import clone
from distembed.heads.corrections import SCALES, Correction
from distembed.heads.folds import Folds, Index, folds, spread_over_folds
from distembed.heads.linear import Choice, Kind, candidates, choose, fit_head
from distembed.heads.rows import Rows, as_rows
from distembed.registry import need

__all__ = ["PENALTIES", "as_sets", "fit_estimator", "rows_of"]

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Penalties per set, of inputs of unit variance."""


def fit_estimator(
    estimator: Any, sets: Any, y: NDArray[Any], groups: Index, kind: Kind
) -> tuple[Rows, Folds]:
    """Fit the embedder, choose the form of the head on inner folds, and fit it; sets attributes.

    Returns:
        The embeddings and the inner folds.
    """
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
    classes, parts = kind != "number", Folds()
    spread = spread_over_folds(y)
    count = min(estimator.folds, _fewest_groups(spread, groups, classes))
    if count > 1:
        parts = folds(spread, groups, count, classes, estimator.random_state)
        choice = choose(rows, y, parts, names, scales, estimator.penalties, kind)
    elif len(names) * len(estimator.penalties) == 1:
        choice = Choice(names[0], float(estimator.penalties[0]), scale=scales[0])
    else:
        raise ValueError(
            f"A penalty is chosen by inner folds, and a class of the {len(y)} sets, or all of "
            "them, are in one group. Give more groups, or one correction and one penalty."
        )
    correction = Correction.fit(rows, choice.correction, choice.scale, choice.share)
    estimator.choice_, estimator.n_features_in_ = choice, rows.z.shape[1]
    estimator.head_ = fit_head(rows, y, correction, choice.penalty, kind)
    return rows, parts


def as_sets(estimator: Any, sets: Any) -> Any:
    """Return sets in a form that can be divided; a data frame has a row an atom.

    Embeddings are checked before anything is fitted.
    """
    if estimator.embedder is not None:
        return estimator.embedder.sets(sets)
    as_rows(sets)
    return sets if hasattr(sets, "__len__") else np.asarray(sets)


def _fewest_groups(y: NDArray[Any], groups: Index, classes: bool) -> int:
    """Return the number of groups, or of those of the class that has the fewest."""
    if not classes:
        return len(np.unique(groups))
    return min(len(np.unique(groups[y == label])) for label in np.unique(y))


def rows_of(estimator: Any, sets: Any) -> Rows:
    """Return the embeddings of sets for a fitted head.

    Raises:
        NotFittedError: If it was not fitted.
        ValueError: If the embeddings have another dimension.
    """
    need("sklearn.utils.validation", "sklearn").check_is_fitted(estimator, "head_")
    table = sets if estimator.embedder is None else estimator.embedder_.embed(sets)
    return as_rows(table, estimator.n_features_in_, type(estimator).__name__)
