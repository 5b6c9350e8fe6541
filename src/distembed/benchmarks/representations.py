r"""Distances of samples by several methods, judged by the labels of neighbours, as patpy does.

No method sees labels, and all see all sets: a GDE is trained on all of them. The label of a set is
predicted from its k nearest sets of other groups (a share of votes, or a mean). Methods:

- `gde`: latent distances of the default model; `untrained`: those of the same model before.
- `pseudobulk`: distances of means.
- `mean_cov`: distances of means and root covariances.
- `composition`: distances of the shares of 32 clusters by k-means.
- `knn_kl`: symmetrised divergences by 25 neighbours, as of GloScope
  (`distembed.benchmarks.knn_divergence`).
- `random`: distances of random vectors, which is chance.

Scores are `auc` of two classes and `r2` of numbers. Intervals are of a bootstrap over groups of
sets, with predictions as they are; a value and the ends of its interval are means over seeds. The
gain of `gde` is over the method of the best score, chosen afterwards, on the same resamples.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from distembed.benchmarks.bench import Bench, Task, Trial, missing_data
from distembed.benchmarks.cohort_data import COHORTS, CohortReader
from distembed.benchmarks.cohort_inputs import INPUTS, Atoms
from distembed.benchmarks.knn_divergence import knn_divergences
from distembed.evaluation.cohort import Cohort
from distembed.evaluation.result import Score
from distembed.heads.folds import as_groups
from distembed.model.gde import GDE
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Settings", "auc", "neighbour_predictions"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """Sizes and schedule, one for all tasks.

    Attributes:
        training: The defaults but for a shorter schedule of fixed length.
        neighbours: Sets that predict a label.
        draws: Resamples of the bootstrap.
        sets: Most sets of a cohort.
        atoms: Most atoms of a set.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=200, warmup=40, every=100, patience=0, metric_steps=100
        )
    )
    neighbours: int = 10
    draws: int = 999
    sets: int = 500
    atoms: int = 150


def neighbour_predictions(distances: Array, y: Array, groups: Index, k: int) -> Array:
    """Predict the number of each set by the mean of its k nearest sets of other groups, `(S,)`.

    Sets at equal distances are taken in the order of their rows.

    Example:
        >>> distances = np.abs(np.subtract.outer(np.arange(3.0), np.arange(3.0)))
        >>> neighbour_predictions(distances, np.array([1.0, 5.0, 9.0]), np.arange(3), 1).tolist()
        [5.0, 1.0, 5.0]
    """
    others = np.where(groups[:, None] == groups, np.inf, distances)
    nearest = others.argsort(axis=1, kind="stable")[:, :k]
    if not np.isfinite(np.take_along_axis(others, nearest, 1)).all():
        raise ValueError(f"k = {k}, and a set has fewer sets of other groups. Lower k.")
    predictions: Array = y[nearest].mean(1)
    return predictions


def auc(y: Array, prediction: Array) -> float:
    """Return the area under the ROC curve of classes 0 and 1; NaN where one has no set.

    Example:
        >>> auc(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.5, 0.5, 0.9]))
        0.875
    """
    ones = y > 0
    positive, negative = ones.sum(), (~ones).sum()
    if not positive or not negative:
        return float("nan")
    above = rankdata(prediction)[ones].sum() - positive * (positive + 1) / 2
    return float(above / (positive * negative))


def _r2(y: Array, prediction: Array) -> float:
    return float(1 - np.square(y - prediction).mean() / y.var())


@dataclass(frozen=True)
class _Judge:
    """Labels and resamples, the same for every method.

    Attributes:
        y: Numbers, or classes as 0 and 1, `(S,)`.
        classes: Whether they are classes.
        groups: Number of the group of each set, `(S,)`.
        settings: Sizes.
        seed: Of the resamples.
    """

    y: Array
    classes: bool
    groups: Index
    settings: Settings
    seed: int

    @property
    def metric(self) -> str:
        """Name of the score."""
        return "auc" if self.classes else "r2"

    def values(self, distances: Array) -> Array:
        """Return the score of a method, and then those of all resamples, `(1 + R,)`."""
        score = auc if self.classes else _r2
        k = self.settings.neighbours
        prediction = neighbour_predictions(distances, self.y, self.groups, k)
        rng, number = np.random.default_rng(self.seed), int(self.groups.max()) + 1
        members = [np.flatnonzero(self.groups == g) for g in range(number)]
        scores = [score(self.y, prediction)]
        for _ in range(self.settings.draws):
            rows = np.concatenate([members[g] for g in rng.integers(number, size=number)])
            scores.append(score(self.y[rows], prediction[rows]))
        return np.array(scores)

    def score(self, metric: str, method: str, values: Array) -> Score:
        """Return a score with its percentile interval."""
        low, high = np.nanquantile(values[1:], [0.025, 0.975])
        return Score(metric, method, float(values[0]), float(low), float(high))


def _baselines(cohort: Cohort, seed: int) -> Iterator[tuple[str, Callable[[], Array]]]:
    """Yield the distances of methods without a model, each computed when it is called."""
    atoms = Atoms(cohort.sets, np.arange(len(cohort.sets)))
    yield "pseudobulk", lambda: _euclidean(atoms.every.mean(atoms.every.x.double()).numpy())
    for name in ("mean_cov", "composition"):
        yield name, partial(lambda name: _euclidean(INPUTS[name](atoms)), name)
    yield "knn_kl", lambda: knn_divergences(atoms.every)
    rng = np.random.default_rng(seed)
    yield "random", lambda: _euclidean(rng.normal(size=(len(cohort.sets), 30)))


def _euclidean(points: NDArray[Any]) -> Array:
    distances: Array = squareform(pdist(points.astype(np.float64)))
    return distances


def _cohort(reader: CohortReader, settings: Settings, seed: int) -> Cohort:
    """Read a cohort; its sets are the same for every seed, which trains anew."""
    return reader.read(settings.atoms, 0).thinned(settings.sets, np.random.default_rng(0))


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    cohort: Cohort = trial.data()
    target = cohort.target
    y = np.unique(target, return_inverse=True)[1] if cohort.classes else target
    groups = as_groups(cohort.groups, len(cohort.sets))
    judge = _Judge(y.astype(np.float64), cohort.classes, groups, trial.settings, trial.seed)
    values = {n: judge.values(of()) for n, of in _baselines(cohort, trial.seed)}
    rows = [judge.score(judge.metric, name, value) for name, value in values.items()]
    yield from trial.report("baselines", rows)
    began = time.perf_counter()
    with warnings.catch_warnings():
        # remarks on a short training are no news to the reader of a table
        warnings.filterwarnings("ignore", "The generator ignores z|Embeddings hardly differ")
        model = trial.fit(GDE(), cohort.sets).model
    seconds = time.perf_counter() - began
    own = {"gde": model, "untrained": model.untrained()}
    values |= {n: judge.values(_latent(m, cohort)) for n, m in own.items()}
    best = max((n for n in values if n not in own), key=lambda name: values[name][0])
    rows = [judge.score(judge.metric, name, values[name]) for name in own]
    rows += [judge.score("gain", name, values[name] - values[best]) for name in own]
    yield from trial.report(f"the best baseline is {best}", rows, seconds)


def _latent(model: GDE, cohort: Cohort) -> Array:
    distances: Array = model.distances(model.embed(cohort.sets), calibrated=False)
    return distances


def combine(trials: Iterable[Iterable[Score]]) -> list[Score]:
    """Average values and the ends of intervals over seeds."""
    cells: dict[tuple[str, str, str], list[Score]] = {}
    for score in (s for trial in trials for s in trial):
        cells.setdefault((score.task, score.method, score.metric), []).append(score)
    return [_averaged(scores) for scores in cells.values()]


def _averaged(scores: list[Score]) -> Score:
    value, low, high = np.mean([(s.value, s.low, s.high) for s in scores], axis=0).tolist()
    seconds = [s.seconds for s in scores if s.seconds is not None]
    mean = float(np.mean(seconds)) if seconds else None
    return replace(scores[0], value=value, low=low, high=high, seeds=len(scores), seconds=mean)


def _task(reader: CohortReader) -> Task[Settings]:
    folder = reader.folder
    missing = (lambda: None) if folder is None else partial(missing_data, folder)
    return Task(_measure, partial(_cohort, reader), missing)


TASKS = {
    name: _task(COHORTS[name])
    for name in ("third_moment", "kidney_egfr", "kidney_age", "cells_features", "flow_dose")
}
BENCH = Bench(
    "representations",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(steps=2, every=2, warmup=0, batch=4, target=4, patience=0, metric_steps=2),
            neighbours=3,
            draws=19,
            sets=24,
            atoms=20,
        ),
        "quick": Settings(
            TrainConfig(steps=20, warmup=4, every=20, patience=0, metric_steps=20),
            draws=199,
            sets=48,
            atoms=30,
        ),
        "full": Settings(),
    },
    combine=combine,
)
