r"""Distances where training sets are dense, rare or absent.

Families of `distembed.benchmarks.uneven` have a parameter whose density over training sets has a
clump, a gap and a thin tail. Pairs of held-out sets are grouped, a task for each group:

- `clump`, `inside`: both sets where training sets are dense, or of ordinary density;
- `edge`: one at the edge of the gap;  `across`: on both sides of the gap;
- `gap`: one in the gap, where no training set is;  `tail`: one in the thin tail.

The metrics are `spearman_w2`, `relative_error` of calibrated distances, and coverage and width of
95 % intervals for W2 (`w2_coverage`, `w2_width`). `error_density` is the rank correlation, over
all pairs, of the relative error with the density of training sets around a pair (the geometric
mean of its two densities): negative where distances are better in dense regions.

`gde` is the default; `latent` and `untrained` are plain distances |z_1 - z_2| of its embeddings,
after and before training; `reweighted` is the default on a third of the training sets, chosen with
probabilities inverse to the true density; `bures` is the plug-in W2 of Gaussians.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.benchmarks.truth import ground_unit, mixture_net_w2
from distembed.benchmarks.uneven import (
    Prior,
    density,
    flattened,
    gaussians,
    grouped_pairs,
    held_out_parameters,
    training_parameters,
    triangles,
)
from distembed.data.synthetic.gaussians import Gaussians
from distembed.evaluation.baselines import BuresDistance
from distembed.evaluation.result import Score
from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE
from distembed.sets.collection import Sets
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Settings", "Uneven"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """Sizes and schedule.

    Attributes:
        training: The defaults but for a short schedule.
        arm: The model.
        latent: Dimension of the embedding.
        train_sets: Training sets.
        atoms: Atoms of every set.
        sets: Held-out sets of a region.
        pairs: Most pairs of a group.
        net: Points of the net of a mixture, for its W2.
        reweighted: Share of the training sets that the re-weighted training keeps.
        level: Nominal coverage.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=600, warmup=120, every=200, patience=0)
    )
    arm: Arm = Arm("gde")
    latent: int = 32
    train_sets: int = 3_000
    atoms: int = 200
    sets: int = 30
    pairs: int = 100
    net: int = 384
    reweighted: float = 1 / 3
    level: float = 0.95


@dataclass(frozen=True)
class Uneven:
    """Training sets, and held-out pairs by group with their W2.

    Attributes:
        train: Training sets.
        parameters: Parameter of each of them.
        batch: Held-out sets.
        test_parameters: Parameter of each of them.
        pairs: Rows of the two sets of each pair, by group.
        w2: Their W2, by group.
    """

    train: Sets
    parameters: torch.Tensor
    batch: SetBatch
    test_parameters: torch.Tensor
    pairs: Mapping[str, NDArray[np.int64]]
    w2: Mapping[str, Array]


def _data(prior: Prior, settings: Settings, seed: int) -> Uneven:
    s, s_test = (
        training_parameters(settings.train_sets, seed),
        held_out_parameters(settings.sets, held_out_seed(seed)),
    )
    train = prior(s, settings.atoms, seed)
    test = prior(s_test, settings.atoms, held_out_seed(seed))
    pairs = grouped_pairs(settings.sets, settings.pairs, seed)
    every = np.concatenate(list(pairs.values()))
    w2 = (
        test.w2(*every.T)
        if isinstance(test, Gaussians)
        else mixture_net_w2(test, every, settings.net)
    )
    ends = np.cumsum([len(p) for p in pairs.values()])[:-1]
    parts = dict(zip(pairs, np.split(w2, ends), strict=True))
    kept = Sets.from_batch(train.batch(range(len(train))), train.atoms)
    return Uneven(kept, s, test.batch(range(len(test))), s_test, pairs, parts)


@dataclass(frozen=True)
class _Judge:
    """Held-out pairs, which score distances by group.

    Attributes:
        trial: The trial.
        problem: The pairs and their W2.
    """

    trial: Trial[Settings]
    problem: Uneven

    def by_group(self, matrix: Array) -> Mapping[str, Array]:
        """Return the distances of the pairs of each group from those of all sets, `(S, S)`."""
        return {group: matrix[p[:, 0], p[:, 1]] for group, p in self.problem.pairs.items()}

    def ranks(self, method: str, distances: Mapping[str, Array]) -> Iterator[Score]:
        """Yield the rank correlation with W2 in each group."""
        for group, values in distances.items():
            value = spearmanr(values, self.problem.w2[group]).statistic
            yield Score("spearman_w2", method, float(value), task=self._task(group))

    def errors(self, method: str, distances: Mapping[str, Array]) -> Iterator[Score]:
        """Yield relative errors of distances in units of W2, and what density explains."""
        errors = {g: np.abs(values / self.problem.w2[g] - 1) for g, values in distances.items()}
        for group, error in errors.items():
            value = float(np.median(error))
            yield Score("relative_error", method, value, task=self._task(group))
        level = density(self.problem.test_parameters)
        sides = [level[torch.from_numpy(p)].prod(1) for p in self.problem.pairs.values()]
        value = spearmanr(np.concatenate(list(errors.values())), torch.cat(sides)).statistic
        yield Score("error_density", method, float(value))

    def intervals(self, method: str, model: GDE, table: Embeddings) -> Iterator[Score]:
        """Yield coverage and median width of intervals for W2."""
        level, unit = self.trial.settings.level, ground_unit(model)
        for group, pairs in self.problem.pairs.items():
            w2 = unit * self.problem.w2[group]
            interval = model.distance_intervals(table, pairs, level=level)
            inside = (interval.low <= w2) & (w2 <= interval.high)
            yield Score("w2_coverage", method, float(inside.mean()), task=self._task(group))
            width = np.median((interval.high - interval.low) / w2)
            # an interval without an upper end has no width
            if np.isfinite(width):
                yield Score("w2_width", method, float(width), task=self._task(group))

    def model(self, method: str, model: GDE) -> Iterator[Score]:
        """Yield all scores of a trained model, in units of the data's W2."""
        table = model.embed(self.problem.batch)
        distances = self.by_group(model.distances(table) / ground_unit(model))
        yield from self.ranks(method, distances)
        yield from self.errors(method, distances)
        yield from self.intervals(method, model, table)

    def plain(self, method: str, model: GDE) -> Iterator[Score]:
        """Yield the rank correlations of latent distances without units or correction."""
        table = model.embed(self.problem.batch, covariance=False)
        yield from self.ranks(method, self.by_group(model.distances(table, calibrated=False)))

    def bures(self) -> Iterator[Score]:
        """Yield the scores of the W2 of Gaussians with the moments of the atoms."""
        distances = {
            group: BuresDistance()(self.problem.batch, torch.from_numpy(pairs)).numpy()
            for group, pairs in self.problem.pairs.items()
        }
        yield from self.ranks("bures", distances)
        yield from self.errors("bures", distances)

    def _task(self, group: str) -> str:
        return f"{self.trial.name}_{group}"


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    problem: Uneven = trial.data()
    settings, judge = trial.settings, _Judge(trial, problem)
    fitted = trial.fit_arm(settings.arm, problem.train, settings.latent)
    yield from trial.report("gde", judge.model("gde", fitted.model), fitted.seconds)
    yield from judge.plain("latent", fitted.model)
    yield from judge.plain("untrained", fitted.model.untrained())
    rows = flattened(problem.parameters, settings.reweighted, trial.seed)
    other = trial.fit_arm(settings.arm, problem.train.select(rows), settings.latent)
    yield from trial.report("reweighted", judge.model("reweighted", other.model))
    yield from judge.bures()


TASKS = {
    "gaussian_2d": Task(_measure, partial(_data, gaussians)),
    "triangle_2d": Task(_measure, partial(_data, triangles)),
}
BENCH = Bench(
    "sparse",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=2, every=2, warmup=0, batch=4, target=4, context=(8, 16), validation=0
            ),
            latent=8,
            train_sets=120,
            atoms=60,
            sets=4,
            pairs=6,
            net=24,
        ),
        "quick": Settings(
            TrainConfig(steps=50, warmup=10, every=50, patience=0),
            train_sets=600,
            sets=15,
            pairs=40,
            net=192,
        ),
        "full": Settings(),
    },
)
