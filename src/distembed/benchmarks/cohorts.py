r"""Prediction on cohorts: embeddings beside simple features, under the same heads and folds.

The tasks are those of `distembed.benchmarks.cohort_data`, the features those of
`distembed.benchmarks.cohort_inputs`. The methods beside them:

- `gde`: the default model, trained on the training sets of the fold;
- `untrained`: the same model before training;
- `joined`: its embedding with the features of the smallest loss on inner folds;
- `supervised`: deep sets that are trained on the label (`distembed.benchmarks.supervised`).

Each repeat divides the cohort into folds that keep groups together. In a fold everything is fitted
to its training sets: the model, the scales, the features, the heads and their inner choices. A
head is a ridge or a logistic regression with the corrections for errors of z; the penalty and the
correction are chosen on inner folds. A seed is a repeat. Scores: `auc` of two classes,
`balanced_accuracy` of more, `r2` of numbers.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.benchmarks.bench import Arm, Bench, Task, Trial, missing_data
from distembed.benchmarks.cohort_data import COHORTS, CohortReader
from distembed.benchmarks.cohort_inputs import INPUTS, SEQUENCE_INPUTS, Atoms
from distembed.benchmarks.cohort_scores import combine_folds, fold_score
from distembed.benchmarks.supervised import Supervised, supervised_prediction
from distembed.evaluation.cohort import Cohort
from distembed.evaluation.result import Score
from distembed.heads.estimators import SetClassifier, SetRegressor
from distembed.heads.folds import as_groups, folds
from distembed.heads.joined import join_features
from distembed.heads.scores import scores_of_classes
from distembed.heads.take import take
from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE
from distembed.sets.collection import Sets
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Samples", "Settings", "cohort_task"]

Index = NDArray[np.int64]
Samples = Callable[[GDE, Sets, int], Iterator[Score]]
"""Scores of a model on held-out sets, from a seed."""


@dataclass(frozen=True)
class Settings:
    """Sizes and schedules, one for all tasks.

    Attributes:
        training: The defaults but for a shorter schedule of fixed length.
        supervised: How deep sets are trained on a label.
        arms: The model.
        folds: Number of folds, unless the design of a cohort has its own.
        most_folds: Most folds of such a design.
        inner_folds: Folds by which a head chooses.
        sets: Most sets of a cohort.
        atoms: Most atoms of a set.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=200, warmup=40, every=100, patience=0, metric_steps=100
        )
    )
    supervised: Supervised = Supervised()
    arms: tuple[Arm, ...] = (Arm("gde"),)
    folds: int = 5
    most_folds: int = 10
    inner_folds: int = 5
    sets: int = 500
    atoms: int = 150


@dataclass(frozen=True)
class _Fold:
    """One fold of a cohort.

    Attributes:
        cohort: The cohort.
        train: Numbers of the training sets.
        test: Numbers of the test sets.
        groups: Group of each set, `(S,)`.
        seed: Seed of inner folds.
        count: Number of folds.
        inner: Number of inner folds.
    """

    cohort: Cohort
    train: Index
    test: Index
    groups: Index
    seed: int
    count: int
    inner: int

    @property
    def codes(self) -> NDArray[Any]:
        """The target of all sets, classes as numbers, `(S,)`."""
        y = self.cohort.target
        if not self.cohort.classes:
            return y
        return np.unique(y, return_inverse=True)[1].astype(np.int64)

    def score(
        self, method: str, prediction: NDArray[np.float64], seconds: float | None = None
    ) -> Score:
        """Score predictions of the test sets, numbers or probabilities of the classes."""
        y, note = self.cohort.target, str(self.count)
        if not self.cohort.classes:
            value = fold_score(y[self.test], prediction, float(y.var()))
            return Score("r2", method, value, note=note, seconds=seconds)
        labels = np.unique(y)
        scores = scores_of_classes(y[self.test], prediction, labels)
        name = "auc" if len(labels) == 2 else "balanced_accuracy"
        return Score(name, method, scores[name], note=note, seconds=seconds)

    def head(self, table: Any) -> tuple[float, NDArray[np.float64]]:
        """Fit a head to training sets; return its inner loss and predictions of the test sets."""
        y, kind = self.cohort.target, SetClassifier if self.cohort.classes else SetRegressor
        head: Any = kind(folds=self.inner, random_state=self.seed)
        head.fit(take(table, self.train), y[self.train], self.groups[self.train])
        new = take(table, self.test)
        prediction = head.predict_proba(new) if self.cohort.classes else head.predict(new)
        return head.choice_.loss, prediction


def cohort_task(reader: CohortReader, samples: Samples | None = None) -> Task[Settings]:
    """Return the task that predicts the labels of a cohort.

    Args:
        reader: Reads the cohort.
        samples: Yields further scores of the model of a fold on its test sets.
    """
    folder = reader.folder
    return Task(
        partial(_measure, samples),
        partial(_cohort, reader),
        (lambda: None) if folder is None else partial(missing_data, folder),
    )


def _cohort(reader: CohortReader, settings: Settings, seed: int) -> Cohort:
    """Read a cohort; its sets are the same for every seed, which divides them anew."""
    return reader.read(settings.atoms, 0).thinned(settings.sets, np.random.default_rng(0))


def _measure(samples: Samples | None, trial: Trial[Settings]) -> Iterator[Score]:
    """Score every method on every fold of one repeat."""
    cohort: Cohort = trial.data()
    groups = as_groups(cohort.groups, len(cohort.sets))
    count = min(cohort.folds or trial.settings.folds, trial.settings.most_folds)
    parts = folds(cohort.target, groups, count, cohort.classes, trial.seed)
    for number, (train, test) in enumerate(parts, 1):
        inner = trial.settings.inner_folds
        fold = _Fold(cohort, train, test, groups, trial.seed, len(parts), inner)
        label = f"fold {number} of {len(parts)}"
        scores = list(_fold_scores(trial, fold, samples))
        seconds = next(score.seconds for score in scores if score.method == "gde")
        yield from trial.report(label, scores, seconds)


def _fold_scores(trial: Trial[Settings], fold: _Fold, samples: Samples | None) -> Iterator[Score]:
    """Fit everything to the training sets of a fold, and score it on the others."""
    sets = fold.cohort.sets
    atoms = Atoms(sets, fold.train)
    losses: dict[str, float] = {}
    inputs = SEQUENCE_INPUTS if sets.atoms.name == "tokens" else INPUTS
    features = {name: function(atoms) for name, function in inputs.items()}
    for name, table in features.items():
        losses[name], prediction = fold.head(table)
        yield fold.score(name, prediction)
    supervised = supervised_prediction(
        atoms.every, fold.codes, fold.train, fold.groups, trial.settings.supervised, trial.seed
    )
    yield fold.score("supervised", supervised[fold.test])
    began = time.perf_counter()
    (arm,) = trial.settings.arms
    with warnings.catch_warnings():
        # remarks on a short training are no news to the reader of a table
        warnings.filterwarnings("ignore", "The generator ignores z|Embeddings hardly differ")
        model = trial.fit_arm(arm, sets.select(fold.train), None).model
    tables = {"gde": model.embed(sets), "untrained": model.untrained().embed(sets)}
    seconds = time.perf_counter() - began
    best = min(losses, key=lambda name: losses[name])
    tables["joined"] = join_features(tables["gde"], _columns(features[best]))
    for name, table in tables.items():
        yield fold.score(name, fold.head(table)[1], seconds)
    if samples is not None:
        for score in samples(model, sets.select(fold.test), trial.seed):
            yield replace(score, task=f"{trial.name}_samples", note=str(fold.count))


def _columns(features: Any) -> NDArray[Any]:
    return features.z if isinstance(features, Embeddings) else np.asarray(features)


TASKS = {name: cohort_task(reader) for name, reader in COHORTS.items()}
BENCH = Bench(
    "cohorts",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(steps=2, every=2, warmup=0, batch=4, target=4, patience=0, metric_steps=2),
            Supervised(steps=4, every=2, batch=4),
            folds=2,
            most_folds=2,
            inner_folds=2,
            sets=24,
            atoms=20,
        ),
        "quick": Settings(
            TrainConfig(steps=20, warmup=4, every=20, patience=0, metric_steps=20),
            Supervised(steps=40, every=20),
            folds=2,
            most_folds=2,
            inner_folds=2,
            sets=48,
            atoms=30,
        ),
        "full": Settings(),
    },
    combine=combine_folds,
)
