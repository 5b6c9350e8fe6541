"""Folds of sets that keep groups together, and checks of targets before any work."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.registry import need

__all__ = [
    "Folds",
    "as_groups",
    "as_target",
    "folds",
    "is_classes",
    "missing_labels",
    "spread_over_folds",
]

Index = NDArray[np.int64]
Folds = list[tuple[Index, Index]]
"""Rows of the training part and of the test part of each fold."""


def is_classes(y: NDArray[Any]) -> bool:
    """Return whether a target is of classes: text, truth values, or two values.

    Example:
        >>> is_classes(np.array(["a", "b"])), is_classes(np.array([0.5, 1.5, 2.0]))
        (True, False)
    """
    return y.dtype.kind not in "iuf" or len(np.unique(y[y == y])) <= 2


def as_target(y: ArrayLike, count: int, classes: bool, ids: ArrayLike | None = None) -> Any:
    """Return a target after checking it.

    Args:
        y: The target.
        count: Number of sets.
        classes: Whether it is of classes; else it is of numbers.
        ids: Names of the sets.

    Raises:
        ValueError: If its length is another, labels are missing, it is constant, it names the
            sets, numbers are asked for and it has text, or classes and it has fractions.
    """
    if y is None:
        raise ValueError(
            "A head requires y to be passed, but the target y is None; give one label a set."
        )
    target = np.asarray(y)
    if target.shape == (count, 1):
        # warns as all estimators of scikit-learn do
        target = need("sklearn.utils", "sklearn").column_or_1d(target, warn=True)
    if target.ndim != 1 or len(target) != count:
        raise ValueError(
            f"The target has shape {target.shape}, and there are {count} sets; give one label a "
            "set, in their order. Labels by name are joined with sets.with_meta, or metadata=."
        )
    missing = missing_labels(target)
    if missing.any():
        raise ValueError(
            f"The target is missing (NaN or empty) for {missing.sum()} of {count} sets, the first "
            f"being number {int(np.flatnonzero(missing)[0])}. Leave these sets out: "
            "table.select(mask), or --drop-missing on the command line."
        )
    if target.dtype.kind == "O":
        target = np.array(target.tolist())
    if ids is not None and target.astype(str).tolist() == np.asarray(ids).astype(str).tolist():
        raise ValueError(
            f"The target is the name of each set, such as {str(target[0])!r}, which no other set "
            "can predict. Name a column of the metadata that sets share."
        )
    if not classes and target.dtype.kind not in "iufb":
        try:
            target = target.astype(np.float64)
        except ValueError as error:
            raise ValueError(
                f"The target has text, such as {str(target[0])!r}, and a regressor predicts "
                "numbers. Use SetClassifier for classes."
            ) from error
    values = np.unique(target)
    if len(values) < 2:
        raise ValueError(
            f"The {count} sets (n_samples = {count}) have one {'class' if classes else 'target'}, "
            f"{str(target[0])!r}; there is nothing to predict. A head needs two values or more."
        )
    if classes and target.dtype.kind == "f" and len(values) > 2 and (values % 1 != 0).any():
        raise ValueError(
            f"Unknown label type: continuous. The target has {len(values)} numbers, some with "
            f"fractions such as {values[values % 1 != 0][0]:g}, which are no classes. Use "
            "SetRegressor (on the command line --task regress), or bin them."
        )
    if target.dtype.kind == "c":
        raise ValueError("Complex data not supported: the target has complex numbers.")
    if not classes and not np.isfinite(target.astype(np.float64)).all():
        raise ValueError("The target has an infinite number; a regressor predicts finite ones.")
    return target if classes else target.astype(np.float64)


def missing_labels(target: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which labels are NaN, None or empty text, `(S,)`.

    Example:
        >>> missing_labels(np.array(["a", ""])).tolist()
        [False, True]
    """
    if target.dtype.kind in "fc":
        return np.asarray(np.isnan(target))
    if target.dtype.kind == "U":
        return np.asarray(np.char.strip(target) == "")
    if target.dtype.kind == "O":
        return np.array([v is None or v != v or not str(v).strip() for v in target], dtype=bool)
    return np.zeros(len(target), dtype=bool)


def as_groups(groups: ArrayLike | None, count: int) -> Index:
    """Return the number of the group of each set, `(S,)`; each set its own if there are none.

    Raises:
        ValueError: If the length is another, or a group is missing.
    """
    if groups is None:
        return np.arange(count)
    labels = np.asarray(groups)
    if labels.shape != (count,):
        raise ValueError(
            f"The groups have shape {labels.shape}, and there are {count} sets; give the group of "
            "each set, in their order."
        )
    if (missing := missing_labels(labels)).any():
        raise ValueError(
            f"The group is missing (NaN or empty) for {missing.sum()} of {count} sets, the first "
            f"being number {int(np.flatnonzero(missing)[0])}; folds keep groups together. Give a "
            "set without one a group of its own."
        )
    labels = labels.astype(str) if labels.dtype.kind == "O" else labels
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def spread_over_folds(y: NDArray[Any]) -> NDArray[Any]:
    """Return what folds hold in like proportion: classes, or whether there was an event.

    Example:
        >>> y = np.array([(True, 1.0), (False, 2.0)], [("event", bool), ("time", float)])
        >>> spread_over_folds(y).tolist()
        ['event', 'no event']
    """
    return y if y.dtype.names is None else np.where(y["event"], "event", "no event")


def folds(y: NDArray[Any], groups: Index, count: int, classes: bool, seed: int) -> Folds:
    """Divide sets into folds; no group is divided, and classes are spread evenly.

    Args:
        y: The target, `(S,)`.
        groups: Number of the group of each set, `(S,)`.
        count: Number of folds.
        classes: Whether the target is of classes.
        seed: Seed of the division.

    Raises:
        ValueError: If there are fewer groups than folds, in all or in a class.

    Example:
        >>> parts = folds(np.arange(6.0), np.array([0, 0, 1, 1, 2, 2]), 3, False, 0)
        >>> [test.tolist() for _, test in parts]
        [[4, 5], [2, 3], [0, 1]]
    """
    number = len(np.unique(groups))
    if count < 2 or number < count:
        raise ValueError(
            f"folds = {count} for {number} groups of sets; a fold holds a group or more, and "
            "there are at least two folds. Use fewer folds, or more groups."
        )
    selection = need("sklearn.model_selection", "sklearn")
    if not classes:
        splitter = selection.KFold(count, shuffle=True, random_state=seed)
        names = np.unique(groups)
        tests = (np.isin(groups, names[part]) for _, part in splitter.split(names))
        return [(np.flatnonzero(~test), np.flatnonzero(test)) for test in tests]
    labels = np.unique(y)
    for label in labels:
        own = len(np.unique(groups[y == label]))
        if own < count:
            many = (
                " A number with many values needs SetRegressor (--task regress)."
                if y.dtype.kind in "iuf"
                else ""
            )
            raise ValueError(
                f"Class {str(label)!r} occurs in {own} of {number} groups, and there are {count} "
                "folds; each fold needs a group of every class. Use fewer folds (--folds), leave "
                "the class out, or hold more sets out of the training of the encoder "
                f"(split.test=0.5 and split.stratify=COLUMN of `distembed fit`).{many}"
            )
    parts: Folds = []
    for attempt in range(20):  # scikit-learn before 1.8 often leaves a class out of a fold
        start = (seed + attempt) % 2**32
        splitter = selection.StratifiedGroupKFold(count, shuffle=True, random_state=start)
        parts = list(splitter.split(y, y, groups))
        if all(len(np.unique(y[test])) == len(labels) for _, test in parts):
            break
    return parts
