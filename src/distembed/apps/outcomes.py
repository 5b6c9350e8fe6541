"""Labels of held-out sets, predicted by one head from embeddings and from simple features.

Every head is a ridge or a logistic regression whose choices are made on inner folds of training
sets, which keep groups together (`distembed.heads`). `joined` has the embedding and the features
of the smallest inner loss. Intervals are over resampled held-out sets, or whole units of them, the
same for all methods.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.apps.intervals import Units, unit_resamples
from distembed.evaluation.bootstrap import BootstrapEstimate, mean
from distembed.evaluation.result import Score, compare
from distembed.heads.estimators import SetClassifier, SetRegressor
from distembed.heads.joined import join_features
from distembed.model.embeddings import Embeddings
from distembed.rng import stream

__all__ = ["Inputs", "Outcome", "Predictions", "balanced_accuracy", "predicted", "ranked"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """A label of sets.

    Attributes:
        name: Its name.
        train: Labels of the training sets, `(S,)`; text for classes.
        test: Labels of the held-out sets, `(H,)`.
        groups: What inner folds keep together, `(S,)`; None if each set is a group.
        units: What is resampled as a whole, `(H,)`, such as the bin of a part: parts of one bin
            have one label, and say less than as many bins; one array a kind if there are several.
    """

    name: str
    train: NDArray[Any]
    test: NDArray[Any]
    groups: NDArray[Any] | None = None
    units: Units = None

    @property
    def classes(self) -> bool:
        """Whether the label is a class."""
        return bool(self.train.dtype.kind == "U")


@dataclass(frozen=True)
class Inputs:
    """Features of training and held-out sets: tables of embeddings, or arrays `(S, F)`."""

    train: Any
    test: Any

    def rotated(self) -> Inputs:
        """Return arrays of more columns than training sets on the axes of the training sets.

        The slopes of a ridge or a logistic regression lie in the span of the training sets, so
        that it is the same, and faster, where one scale serves all columns.

        Example:
            >>> wide = Inputs(np.eye(3, 50), np.ones((2, 50))).rotated()
            >>> wide.train.shape, wide.test.shape
            ((3, 2), (2, 2))
        """
        if isinstance(self.train, Embeddings) or self.train.shape[1] < len(self.train):
            return self
        centre = self.train.mean(0)
        _, spread, axes = np.linalg.svd(self.train - centre, full_matrices=False)
        axes = axes[spread > 1e-10 * spread.max()]
        return Inputs(*((part - centre) @ axes.T for part in (self.train, self.test)))


@dataclass(frozen=True)
class Predictions:
    """Scores of an outcome, and the predictions behind them.

    Attributes:
        scores: One number a metric and method.
        values: Predictions of the held-out sets by method: numbers `(H,)`, or probabilities of
            the classes `(H, C)`.
        labels: The classes; empty for numbers.
    """

    scores: tuple[Score, ...]
    values: Mapping[str, Array] = field(default_factory=dict)
    labels: NDArray[Any] = field(default_factory=lambda: np.empty(0))


def predicted(
    outcome: Outcome, inputs: Mapping[str, Inputs], *, folds: int = 5, seed: int = 0
) -> Predictions:
    """Fit a head on each input, and score it on held-out sets.

    Args:
        outcome: The label.
        inputs: Features by method, embeddings of the model under `gde`.
        folds: Inner folds.
        seed: Seed of inner folds and resamples.

    Example:
        >>> x = np.linspace(-1, 1, 40)[:, None]
        >>> y = np.where(x[:, 0] > 0, "b", "a")
        >>> inputs = {"gde": Inputs(x, x[::3]), "zero": Inputs(0 * x, 0 * x[::3])}
        >>> result = predicted(Outcome("sign", y, y[::3]), inputs)
        >>> [s.value for s in result.scores if s.metric == "balanced_accuracy"][:2]
        [1.0, 0.5]
    """
    values, losses = {}, {}
    inputs = {name: table.rotated() for name, table in inputs.items()}
    for name, table in inputs.items():
        losses[name], values[name] = _fitted(outcome, table, folds, seed)
    rivals = [name for name in inputs if name not in ("gde", "untrained")]
    own = inputs["gde"]
    if rivals and isinstance(own.train, Embeddings):
        best = inputs[min(rivals, key=lambda name: losses[name])]
        both = Inputs(*(_joined(*pair) for pair in zip(_pair(own), _pair(best), strict=True)))
        values["joined"] = _fitted(outcome, both, folds, seed)[1]
    scores = _class_scores if outcome.classes else _number_scores
    rng = stream(seed, "held-out sets", outcome.name)
    counts = unit_resamples(len(outcome.test), outcome.units, 1000, rng)
    labels = np.unique(outcome.train) if outcome.classes else np.empty(0)
    rows = [replace(s, task=outcome.name) for s in scores(outcome, values, labels, counts)]
    return Predictions(tuple(rows), values, labels)


def ranked(
    task: str,
    positive: NDArray[np.bool_],
    values: Mapping[str, Array],
    seed: int = 0,
    units: Units = None,
) -> list[Score]:
    """Score how well numbers tell two kinds of sets apart, by the area under the ROC curve.

    Args:
        task: Name of the outcome.
        positive: Which sets are of the second kind, `(H,)`.
        values: A number of each set by method, `gde` among them.
        seed: Seed of the resamples.
        units: What is resampled as a whole.

    Example:
        >>> own = {"gde": np.array([0.1, 0.2, 0.3, 0.4])}
        >>> ranked("tumour", np.array([False, True, False, True]), own)[0].value
        0.75
    """
    counts = unit_resamples(len(positive), units, 1000, stream(seed, "held-out sets", task))
    estimates = {name: _auc(positive, v, counts) for name, v in values.items()}
    return [replace(s, task=task) for s in compare("auc", estimates, {})]


def balanced_accuracy(y: NDArray[Any], chosen: NDArray[Any], counts: Array) -> BootstrapEstimate:
    """Average the recall over the classes of held-out sets, with resamples `counts (R, H)`.

    A class that a resample lacks is left out of its mean.
    """
    hit = (y == chosen).astype(np.float64)
    classes = [y == label for label in np.unique(y)]
    with np.errstate(invalid="ignore"):
        each = [(counts[:, own] @ hit[own]) / counts[:, own].sum(1) for own in classes]
        draws = np.nanmean(each, axis=0) if len(counts) else np.empty(0)
    return BootstrapEstimate(float(np.mean([hit[own].mean() for own in classes])), draws)


def _fitted(outcome: Outcome, inputs: Inputs, folds: int, seed: int) -> tuple[float, Array]:
    """Fit a head; return its loss on inner folds and the predictions of held-out sets."""
    kind = SetClassifier if outcome.classes else SetRegressor
    head: Any = kind(folds=folds, random_state=seed)
    with warnings.catch_warnings():
        # classes that a line divides have no optimum without a penalty; inner folds choose one
        warnings.filterwarnings("ignore", "lbfgs failed to converge")
        head.fit(inputs.train, outcome.train, outcome.groups)
    prediction = head.predict_proba if outcome.classes else head.predict
    return float(head.choice_.loss), prediction(inputs.test)


def _pair(inputs: Inputs) -> tuple[Any, Any]:
    return inputs.train, inputs.test


def _joined(table: Embeddings, features: Any) -> Embeddings:
    columns = features.z if isinstance(features, Embeddings) else np.asarray(features)
    return join_features(table, columns)


def _class_scores(
    outcome: Outcome, values: Mapping[str, Array], labels: NDArray[Any], counts: Array
) -> list[Score]:
    y = outcome.test
    estimates = {k: balanced_accuracy(y, labels[p.argmax(1)], counts) for k, p in values.items()}
    scores = compare("balanced_accuracy", estimates, {})
    if len(labels) == 2 and len(np.unique(y)) == 2:
        areas = {k: _auc(y == labels[1], p[:, 1], counts) for k, p in values.items()}
        scores = compare("auc", areas, {}) + scores
    return scores


def _number_scores(
    outcome: Outcome, values: Mapping[str, Array], labels: NDArray[Any], counts: Array
) -> list[Score]:
    y, centre = outcome.test, outcome.train.mean()
    base = np.square(y - centre)
    shares, errors = {}, {}
    for name, prediction in values.items():
        error = np.square(y - prediction)
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = 1 - (counts @ error) / (counts @ base)
            shares[name] = BootstrapEstimate(float(1 - error.sum() / base.sum()), draws)
        errors[name] = mean(np.abs(y - prediction), counts)
    return compare("r2", shares, {}) + compare("mae", errors, {})


def _auc(positive: NDArray[np.bool_], values: Array, counts: Array) -> BootstrapEstimate:
    """Return the share of pairs of the two kinds that are in order; ties count half."""
    first, second = values[~positive], values[positive]
    order = (second[:, None] > first) + 0.5 * (second[:, None] == first)
    a, b = counts[:, positive], counts[:, ~positive]
    with np.errstate(invalid="ignore"):
        draws = np.einsum("ri,ij,rj->r", a, order, b, optimize=True) / (a.sum(1) * b.sum(1))
    return BootstrapEstimate(float(order.mean()), draws)
