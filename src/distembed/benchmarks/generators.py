r"""Every generator on families whose distributions are known.

Sets have 500 points in training and 1,000 where a model is examined. A model embeds the points of
a held-out set and draws 1,000 new ones, which are compared with 1,000 fresh points of the truth:

- `energy`: the energy distance, on every task.
- `w2`: on Gaussians, between the true Gaussian and one with mean and covariance of the drawn
  points, and `paper_w2`, the number of the GDE paper (mean error plus *squared* covariance part);
  in the plane, exact optimal transport between 500 drawn and 500 fresh points.
- `bad_modes`: on rings, how many of the eight modes have, within three deviations, not between
  half and twice their mass; `off_modes` is the share of points that are near none.
- `ms_per_step`.
- On `blobs` also `draw_seconds`, of 100,000 points of one set, and `..._equal_seconds`, the same
  numbers when training may take as long as that of `gde` did.

`gde` is the default encoder and generator; other methods name the generator. Beside them stand
`mean_cov`, a Gaussian with mean and covariance of the encoded points, `untrained`, the default
before its first step, and `floor`, the encoded points themselves. `wormhole` has 64 points and is
to be compared with `floor_64`, as many of the encoded points.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.seeds import SECONDS, Score, chosen_from, environment, measured_rows
from distembed.benchmarks.timed import Timed, fit_timed
from distembed.data.synthetic.base import Known
from distembed.data.synthetic.families import (
    MODES,
    RING_WIDTH,
    blobs,
    counts,
    low_rank,
    moons,
    rings,
)
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.divergences.bures import bures_w2
from distembed.divergences.energy import Energy
from distembed.divergences.exact import ExactW2
from distembed.model.gde import GDE
from distembed.nn.per_set import moments_per_set
from distembed.rng import stream
from distembed.training.config import TrainConfig
from distembed.training.objectives import PairDistances

__all__ = ["ARMS", "TASKS", "Arm", "Task", "bench"]

CONFIG = TrainConfig(steps=300, every=150, patience=0, context=(16, 500))
"""The defaults but for a short schedule, a fifth of it warm-up, and contexts up to all points."""
LATENT, TRAIN_SETS, POINTS, EXAMINED, MANY = 32, 5_000, 500, 1_000, 100_000
FIXED = 64
"""Points of the Wormhole, whose divergence compares all of them with each other in every step."""
FAIR = ("blobs",)
"""Tasks on which seconds are compared, at the price of a second training; at the usual steps."""


@dataclass(frozen=True)
class Arm:
    """A generator and its options, under a name that stands in tables.

    Attributes:
        label: The name.
        generator: Name of the member.
        options: Its options.
        counts: Whether it takes counts, instead of vectors; or both, where None.
        wormhole: Whether distances are trained beside it, and only `FIXED` points can be drawn.
    """

    label: str
    generator: str
    options: Mapping[str, Any] = field(default_factory=dict)
    counts: bool | None = False
    wormhole: bool = False

    def model(self) -> GDE:
        """Return an untrained model."""
        return GDE(generator={"name": self.generator, **self.options}, latent=LATENT)


ARMS = (
    Arm("gde", "flow", counts=None),
    Arm("diffusion", "diffusion"),
    Arm("vae", "vae"),
    Arm("gan", "gan"),
    Arm("implicit", "implicit"),
    Arm("explicit_gaussian", "explicit", counts=None),
    Arm("explicit_mixture", "explicit", {"likelihood": "mixture"}),
    Arm("explicit_flow", "explicit", {"likelihood": "flow"}),
    Arm("wormhole", "wormhole", {"atoms": FIXED}, wormhole=True),
    Arm("explicit_poisson", "explicit", {"likelihood": "poisson"}, counts=True),
    Arm("explicit_nb", "explicit", {"likelihood": "negative_binomial"}, counts=True),
    Arm("vae_nb", "vae", {"likelihood": "negative_binomial"}, counts=True),
)
"""The package's default comes first: its training sets the seconds of the others."""


@dataclass(frozen=True)
class Task:
    """A prior, from a number of sets, of points of each, and a seed.

    Attributes:
        prior: Draws distributions.
        counts: Whether atoms are counts.
        wormhole: Whether the Wormhole takes part, whose steps are ten times as slow as others'.
        sets: Held-out sets.
    """

    prior: Callable[[int, int, int], Known]
    counts: bool = False
    wormhole: bool = False
    sets: int = 40


def _gaussian(scale: float) -> Callable[[int, int, int], Known]:
    def prior(sets: int, points: int, seed: int) -> Known:
        return Gaussians.prior(sets, 5, 40, scale, size=points, seed=seed)

    return prior


TASKS = {
    "gaussian_5d_scale1": Task(_gaussian(1.0), wormhole=True),
    "gaussian_5d_scale01": Task(_gaussian(0.1), wormhole=True),
    "blobs": Task(blobs),
    "rings": Task(rings),
    "moons": Task(moons),
    "low_rank_50d": Task(low_rank),
    "counts_10d": Task(counts, counts=True),
}


@dataclass(frozen=True)
class _Exam:
    """Held-out sets: what is embedded, and what samples are compared with."""

    sets: Known
    points: SetBatch
    fresh: SetBatch

    @classmethod
    def of(cls, task: Task, seed: int) -> _Exam:
        sets = task.prior(task.sets, EXAMINED, 1_000_000 + seed)
        index = range(task.sets)
        return cls(
            sets, sets.batch(index), sets.batch(index, EXAMINED, stream(seed, "fresh points"))
        )

    @property
    def dense(self) -> Tensor:
        """The encoded points, `(S, n, D)`."""
        return self.points.x.view(len(self.points), EXAMINED, -1)

    def grades(self, method: str, x: Tensor) -> Iterator[Score]:
        """Compare points `(S, n, D)` with the truth."""
        drawn = SetBatch.from_dense(x.to(self.fresh.x.dtype))
        yield method, "energy", float(Energy()(drawn, self.fresh).mean())
        if isinstance(self.sets, Gaussians):
            mean, cov = moments_per_set(drawn)
            w2 = bures_w2(mean, cov, self.sets.mean, self.sets.cov)
            shift = (mean - self.sets.mean).norm(dim=1)
            yield method, "w2", float(w2.mean())
            yield method, "paper_w2", float((shift + w2.square() - shift.square()).mean())
        elif x.shape[2] == 2:
            few, truth = (
                SetBatch.from_dense(b.x.view(len(b), -1, 2)[:, : EXAMINED // 2])
                for b in (drawn, self.fresh)
            )
            yield method, "w2", float(ExactW2()(few, truth).mean())
        if isinstance(self.sets, Mixtures) and self.sets.mean.shape[1] == MODES:
            near = torch.cdist(x.double(), self.sets.mean) < 3 * RING_WIDTH
            share = near.double().mean(1) * MODES / (1 - math.exp(-9 / 2))
            bad = (share < 0.5) | (share > 2)
            yield method, "bad_modes", float(bad.sum(1).double().mean())
            yield method, "off_modes", float((~near.any(2)).double().mean())

    def model(self, method: str, model: GDE, n: int = EXAMINED) -> Iterator[Score]:
        """Grade n points that a model draws of each set."""
        return self.grades(method, torch.from_numpy(model.reconstruct(self.points, n, 0)))

    def beside(self, untrained: GDE) -> Iterator[Score]:
        """Grade what a model is to be compared with."""
        yield from self.model("untrained", untrained)
        dense = self.dense
        yield from self.grades("floor", dense)
        mean, cov = moments_per_set(self.points)
        factor = torch.linalg.cholesky(cov + 1e-9 * torch.eye(cov.shape[1], dtype=cov.dtype))
        noise = torch.randn(dense.shape, generator=stream(0, "mean_cov"), dtype=cov.dtype)
        yield from self.grades("mean_cov", mean[:, None] + noise @ factor.mT)


def _draw_seconds(model: GDE, points: SetBatch, n: int) -> float:
    z = model.embed(points.select([0]), covariance=False).z
    model.sample(z[0], 10)
    began = time.perf_counter()
    model.sample(z[0], n)
    return time.perf_counter() - began


def _fit(arm: Arm, train: Known, config: TrainConfig, steps: int) -> Timed:
    objectives = (PairDistances(),) if arm.wormhole else ()
    return fit_timed(arm.model(), train, config, steps, objectives)


def _compete(
    name: str,
    task: Task,
    seed: int,
    config: TrainConfig,
    train_sets: int,
    fair: bool,
    log: Callable[[str], None],
) -> Iterator[Score]:
    """Fit every generator that takes such data, and yield what it scores."""
    exam, train = _Exam.of(task, seed), task.prior(train_sets, POINTS, seed)
    own = config.model_copy(update={"seed": seed})
    gde: Timed | None = None
    for arm in ARMS:
        if arm.counts not in (None, task.counts) or arm.wormhole > task.wormhole:
            continue
        run = _fit(arm, train, own, config.steps)
        n = FIXED if arm.wormhole else EXAMINED
        scores = list(exam.model(arm.label, run.model, n))
        scores.append((arm.label, "ms_per_step", 1000 * run.seconds / run.steps))
        if arm.wormhole:
            yield from exam.grades(f"floor_{FIXED}", exam.dense[:, :FIXED])
        if gde is None:
            gde = run
            yield (*SECONDS, run.seconds)
        if fair:
            if not arm.wormhole:
                spent = _draw_seconds(run.model, exam.points, MANY)
                scores.append((arm.label, "draw_seconds", spent))
            same = run if arm is ARMS[0] else _fit(arm, train, own, run.steps_in(gde.seconds))
            for method, metric, value in exam.model(arm.label, same.model, n):
                scores.append((method, f"{metric}_equal_seconds", value))
        log(f"{name}, {arm.label}: " + ", ".join(f"{k} {v:.4g}" for _, k, v in scores))
        yield from scores
    if gde is not None:
        yield from exam.beside(gde.model.untrained())


def bench(
    *,
    quick: bool = False,
    seeds: int = 3,
    steps: int | None = None,
    jobs: int = 1,
    tasks: Sequence[str] | None = None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Run the tasks; each seed changes distributions, points and weights.

    Args:
        quick: Few steps, few sets: a look, not a result.
        seeds: Number of seeds.
        steps: Of training, in the place of the usual number.
        jobs: Processes.
        tasks: Names of tasks; all where left out.
        log: Called with lines of progress.

    Returns:
        The record of design: bench, environment, config, rows.

    Raises:
        ValueError: If a task is unknown.
    """
    judged = chosen_from(TASKS, tasks)
    config, train_sets = CONFIG.model_copy(update={"steps": steps or CONFIG.steps}), TRAIN_SETS
    fair = FAIR if steps is None else ()
    if quick:
        config, train_sets = CONFIG.model_copy(update={"steps": 30, "every": 30}), 300
        judged = {name: replace(task, sets=8) for name, task in judged.items()}

    def measure(name: str, task: Task, seed: int) -> Iterator[Score]:
        return _compete(name, task, seed, config, train_sets, name in fair, log)

    rows = measured_rows(judged, seeds, measure, log, jobs)
    return {
        "bench": "generators",
        "environment": environment(jobs),
        "config": {
            "latent": LATENT,
            "generators": {a.label: {"name": a.generator, **a.options} for a in ARMS},
            "train_sets": train_sets,
            "held_out_sets": {name: task.sets for name, task in judged.items()},
            "points": {"training": POINTS, "examined": EXAMINED},
            "equal_seconds": fair,
            **config.model_dump(mode="json", exclude={"seed"}),
            "warmup": "a fifth of the steps",
        },
        "rows": rows,
    }
