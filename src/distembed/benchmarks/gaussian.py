r"""Gaussians with known parameters, after the first experiment of GDE (arXiv 2505.18150, 4.1).

The prior: mean uniform in [0, 5]^d, covariance the inverse of a Wishart(df, scale I) draw. Three
tasks, on sets that no model was trained on:

- `gaussian_2d`: rank correlation of latent distance with the W2 of the true parameters over all
  pairs (`spearman_w2`), and over those with W2 < 1 (`spearman_w2_near`), where means do not
  decide everything.
- `gaussian_5d_scale1`, `gaussian_5d_scale01`: W2 between the true Gaussian and one with mean and
  covariance of the generated atoms (`w2`); the number of the paper, which adds the mean error to
  the *squared* covariance part and so nearly ignores covariance (`paper_w2`); and the energy
  distance of generated atoms to fresh ones (`energy`).

Covariances average I / (scale (df - d - 1)): 0.029 I at scale 1 and 0.29 I at scale 0.1. The
baseline `constant_cov` takes the mean of the atoms and that average for every set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.benchmarks.pair_distances import COSTLY
from distembed.benchmarks.truth import PairSettings, PairTruth, gaussian_w2
from distembed.data.synthetic.gaussians import Gaussians
from distembed.divergences.energy import Energy
from distembed.evaluation import BASELINES
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.nn.per_set import moments_per_set
from distembed.registry import applicable
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Settings", "geometry_scores", "recovery_scores"]


@dataclass(frozen=True)
class Settings:
    """Sizes and schedule.

    Attributes:
        training: The defaults but for the context, since sets of 500 and 10,000 atoms are encoded.
        arm: The model.
        latent: Dimension of the embedding.
        train_sets: Training sets.
        geometry: Held-out sets of `gaussian_2d`, and atoms of each.
        near: Pairs up to this W2 are near.
        pairs: Baselines: those of exact OT would take hours over 79,800 pairs.
        recovery: Held-out sets of the other tasks, and atoms of each that are encoded and drawn.
        energy_atoms: Atoms of each for the energy distance.
        sets_at_once: Sets that are drawn together, which decides their random numbers.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=2000, context=(16, 1024), every=250, validation=0.02, patience=0
        )
    )
    arm: Arm = Arm("gde")
    latent: int = 32
    train_sets: int = 20_000
    geometry: tuple[int, int] = (400, 500)
    near: float = 1.0
    pairs: PairSettings = PairSettings(
        tuple(n for n in applicable(BASELINES, "vectors") if n not in COSTLY)
    )
    recovery: tuple[int, int] = (100, 10_000)
    energy_atoms: int = 1_000
    sets_at_once: int = 20


def _data(
    d: int, df: int, scale: float, settings: Settings, seed: int
) -> tuple[Gaussians, Gaussians]:
    """Draw training and held-out sets in d dimensions, with df degrees of freedom and a scale."""
    prior = partial(Gaussians.prior, d=d, df=df, scale=scale)
    sets, atoms = settings.geometry if d == 2 else settings.recovery
    train = prior(settings.train_sets, size=settings.training.context[1], seed=seed)
    return train, prior(sets, size=atoms, seed=held_out_seed(seed))


def geometry_scores(model: GDE, test: Gaussians, settings: Settings) -> Iterator[Score]:
    """Yield rank correlations of distances with W2, over all pairs and over near ones."""
    truth = PairTruth.of(test, settings.pairs)
    z = {
        "gde": model.embed(truth.batch, covariance=False).z,
        "untrained": model.untrained().embed(truth.batch, covariance=False).z,
    }
    for metric, near in (("spearman_w2", None), ("spearman_w2_near", settings.near)):
        for name, embeddings in z.items():
            yield Score(metric, name, truth.correlation(embeddings, near))
        for name, value in truth.baselines(near).items():
            yield Score(metric, name, value)


def recovery_scores(model: GDE, test: Gaussians, settings: Settings) -> Iterator[Score]:
    """Yield errors of generated atoms, beside the atoms themselves and a constant covariance."""
    scores: dict[tuple[str, str], list[Tensor]] = {}

    def add(method: str, part: slice, mean: Tensor, cov: Tensor) -> None:
        for metric, values in zip(
            ("w2", "paper_w2"), gaussian_w2(mean, cov, test, part), strict=True
        ):
            scores.setdefault((method, metric), []).append(values)

    models = {"gde": model, "untrained": model.untrained()}
    average, limit = test.cov.mean(0), settings.energy_atoms
    for start in range(0, len(test), settings.sets_at_once):
        part = slice(start, start + settings.sets_at_once)
        index = range(len(test))[part]
        atoms = test.batch(index)
        fresh = test.batch(index, test.size, stream(test.seed, "fresh", start))
        fresh = fresh.subsample(limit, stream(test.seed, "few", start))
        mean, cov = moments_per_set(atoms)
        add("floor", part, mean, cov)
        add("constant_cov", part, mean, average.expand_as(cov))
        subsample = atoms.subsample(limit, stream(test.seed, "more", start))
        scores.setdefault(("floor", "energy"), []).append(Energy()(subsample, fresh))
        for name, fitted in models.items():
            drawn = torch.from_numpy(fitted.reconstruct(atoms, test.size, start))
            add(name, part, *moments_per_set(SetBatch.from_dense(drawn)))
            energy = Energy()(SetBatch.from_dense(drawn[:, :limit]), fresh)
            scores.setdefault((name, "energy"), []).append(energy)
    for (method, metric), values in scores.items():
        yield Score(metric, method, float(torch.cat(values).mean()))


def _measure(
    scores: Callable[[GDE, Gaussians, Settings], Iterator[Score]], trial: Trial[Settings]
) -> Iterator[Score]:
    train, test = trial.data()
    fitted = trial.fit(trial.settings.arm.model(trial.settings.latent), train)
    results = scores(fitted.model, test, trial.settings)
    yield from trial.report("all methods", results, fitted.seconds)


_geometry, _recovery = (partial(_measure, scores) for scores in (geometry_scores, recovery_scores))
TASKS = {
    "gaussian_2d": Task(_geometry, partial(_data, 2, 10, 1.0)),
    "gaussian_5d_scale1": Task(_recovery, partial(_data, 5, 40, 1.0)),
    "gaussian_5d_scale01": Task(_recovery, partial(_data, 5, 40, 0.1)),
}
BENCH = Bench(
    "gaussian",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=4, every=4, warmup=1, context=(8, 16), batch=4, target=4, patience=0
            ),
            latent=8,
            train_sets=30,
            geometry=(12, 60),
            recovery=(12, 60),
        ),
        "quick": Settings(
            TrainConfig(steps=300, context=(16, 1024), every=100, validation=0.02, patience=0),
            train_sets=2000,
            geometry=(40, 500),
            recovery=(40, 10_000),
        ),
        "full": Settings(),
    },
)
