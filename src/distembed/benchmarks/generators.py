r"""Every generator on families whose distributions are known.

Sets have 500 atoms in training and 1,000 where a model is scored. A model embeds the atoms of a
held-out set and draws 1,000 new ones, which are compared with 1,000 fresh atoms of the truth:

- `energy_unbiased`: the energy distance without the bias of finite samples; `energy` is the
  plug-in estimate. On every task.
- `w2`: on Gaussians, between the true Gaussian and one with mean and covariance of the drawn
  atoms, and `paper_w2`, the number of the GDE paper (mean error plus *squared* covariance part);
  in the plane, exact optimal transport between 500 drawn and 500 fresh atoms.
- `bad_modes`: on rings, how many of the eight modes have, within three deviations, not between
  half and twice their mass; `off_modes` is the share of atoms that are near none.
- `ms_per_step`.
- On `blobs` also `draw_seconds`, of 100,000 atoms of one set, and `..._equal_seconds`, the same
  numbers when training may take as long as that of `gde` did.

`gde` is the default encoder and generator; other methods name the generator. Beside them stand
`mean_cov`, a Gaussian with mean and covariance of the encoded atoms, `untrained`, the default
before its first step, and `floor`, the encoded atoms themselves. `wormhole` has 64 atoms and is
to be compared with `floor_64`, as many of the encoded atoms.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.benchmarks.fitting import FittedModel
from distembed.benchmarks.held_out import HeldOut
from distembed.benchmarks.truth import gaussian_w2, w2_to_truth
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
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.nn.per_set import moments_per_set
from distembed.rng import stream
from distembed.training.config import TrainConfig
from distembed.training.objectives import PairDistances

__all__ = ["BENCH", "TASKS", "Settings", "mode_scores"]

_GAUSSIAN = ("gaussian_5d_scale1", "gaussian_5d_scale01")
_VECTORS = (*_GAUSSIAN, "blobs", "rings", "moons", "low_rank_50d")
_COUNTS = ("counts_10d",)


def _arm(label: str, name: str, tasks: tuple[str, ...], likelihood: str | None = None) -> Arm:
    options = {} if likelihood is None else {"likelihood": likelihood}
    return Arm(label, generator={"name": name, **options}, tasks=tasks)


def _wormhole(atoms: int) -> Arm:
    # its steps are ten times as slow as those of others
    decoder = {"name": "wormhole", "atoms": atoms}
    return Arm("wormhole", generator=decoder, tasks=_GAUSSIAN, objectives=(PairDistances(),))


@dataclass(frozen=True)
class Settings:
    """Sizes, schedule and arms.

    Attributes:
        training: The defaults but for a short schedule, and contexts up to all atoms.
        arms: Generators. The package's default comes first: its training sets the seconds of the
            others.
        latent: Dimension of the embedding.
        train_sets: Training sets.
        train_atoms: Atoms of each.
        sets: Held-out sets.
        atoms: Atoms of each that are embedded, drawn and compared with.
        wormhole_atoms: Atoms that the Wormhole draws: its divergence compares all of them with
            each other in every step.
        timed_atoms: Atoms whose drawing is timed.
        equal_seconds: Tasks on which seconds are compared, at the price of a second training.
        metrics: Metrics of samples on every task.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=300, warmup=60, every=150, patience=0, context=(16, 500)
        )
    )
    arms: tuple[Arm, ...] = (
        Arm("gde"),
        _arm("diffusion", "diffusion", _VECTORS),
        _arm("vae", "vae", _VECTORS),
        _arm("gan", "gan", _VECTORS),
        _arm("implicit", "implicit", _VECTORS),
        _arm("explicit_gaussian", "explicit", ()),
        _arm("explicit_mixture", "explicit", _VECTORS, "mixture"),
        _arm("explicit_flow", "explicit", _VECTORS, "flow"),
        _wormhole(64),
        _arm("explicit_poisson", "explicit", _COUNTS, "poisson"),
        _arm("explicit_nb", "explicit", _COUNTS, "negative_binomial"),
        _arm("vae_nb", "vae", _COUNTS, "negative_binomial"),
    )
    latent: int = 32
    train_sets: int = 5_000
    train_atoms: int = 500
    sets: int = 40
    atoms: int = 1_000
    wormhole_atoms: int = 64
    timed_atoms: int = 100_000
    equal_seconds: tuple[str, ...] = ("blobs",)
    metrics: tuple[str, ...] = ("energy_unbiased", "energy")


def _gaussian(scale: float, sets: int, size: int, seed: int) -> Known:
    return Gaussians.prior(sets, 5, 40, scale, size=size, seed=seed)


def _data(
    prior: Callable[[int, int, int], Known], settings: Settings, seed: int
) -> tuple[Known, Known]:
    train = prior(settings.train_sets, settings.train_atoms, seed)
    return train, prior(settings.sets, settings.atoms, held_out_seed(seed))


def mode_scores(method: str, drawn: SetBatch, truth: Mixtures) -> Iterator[Score]:
    """Yield the number of modes whose mass is wrong by a factor of two, and of stray atoms.

    Within three deviations in the plane lies a share $1 - e^{-9/2}$ of a mode.
    """
    x = drawn.x.view(len(drawn), -1, 2).double()
    near = torch.cdist(x, truth.mean) < 3 * RING_WIDTH
    share = near.double().mean(1) / (truth.weights * (1 - math.exp(-9 / 2)))
    bad = (share < 0.5) | (share > 2)
    yield Score("bad_modes", method, float(bad.sum(1).double().mean()))
    yield Score("off_modes", method, float((~near.any(2)).double().mean()))


@dataclass(frozen=True)
class _Judge:
    """Held-out sets of known distributions."""

    truth: Known
    held_out: HeldOut

    @classmethod
    def of(cls, truth: Known, trial: Trial[Settings]) -> _Judge:
        index = range(len(truth))
        fresh = truth.batch(index, truth.size, stream(trial.seed, "fresh points"))
        return cls(truth, HeldOut(truth.batch(index), fresh, trial.settings.metrics))

    def scores(self, method: str, drawn: SetBatch) -> Iterator[Score]:
        """Compare samples with fresh atoms and with the true parameters."""
        yield from self.held_out.scores(method, drawn)
        if isinstance(self.truth, Gaussians):
            moments = moments_per_set(drawn)
            errors = gaussian_w2(*moments, self.truth, slice(None))
            for metric, values in zip(("w2", "paper_w2"), errors, strict=True):
                yield Score(metric, method, float(values.mean()))
        elif drawn.event_shape == (2,):
            half = self.truth.size // 2
            a, b = (_first(batch, half) for batch in (drawn, self.held_out.target))
            yield Score("w2", method, float(w2_to_truth(a, self.truth, b).mean()))
        if isinstance(self.truth, Mixtures) and self.truth.mean.shape[1] == MODES:
            yield from mode_scores(method, drawn, self.truth)

    def model(self, method: str, model: GDE, count: int | None = None) -> Iterator[Score]:
        """Compare samples of a model."""
        yield from self.scores(method, self.held_out.draw(model, count))

    def references(self, untrained: GDE) -> Iterator[Score]:
        """Compare the untrained model, the floor, and Gaussians."""
        yield from self.model("untrained", untrained)
        for name, drawn in self.held_out.references().items():
            yield from self.scores(name, drawn)


def _first(batch: SetBatch, count: int) -> SetBatch:
    """Return the first atoms of each set of one size."""
    return SetBatch.from_dense(batch.x.unflatten(0, (len(batch), -1))[:, :count])


def _draw_seconds(model: GDE, atoms: SetBatch, count: int) -> float:
    z = model.embed(atoms.select([0]), covariance=False).z
    model.sample(z[0], 10)
    began = time.perf_counter()
    model.sample(z[0], count)
    return time.perf_counter() - began


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    """Fit every generator that takes part, and yield its scores."""
    settings = trial.settings
    train, truth = trial.data()
    judge = _Judge.of(truth, trial)

    def fit(arm: Arm, steps: int) -> FittedModel:
        return trial.fit_arm(arm, train, settings.latent, steps)

    default: FittedModel | None = None
    for arm in settings.arms:
        if not arm.enters(trial.name):
            continue
        fitted = fit(arm, settings.training.steps)
        first = default is None
        default = default or fitted
        count = settings.wormhole_atoms if arm.label == "wormhole" else None
        scores = list(judge.model(arm.label, fitted.model, count))
        scores.append(Score("ms_per_step", arm.label, fitted.ms_per_step))
        if count is not None:
            floor = _first(judge.held_out.context, count)
            yield from judge.scores(f"floor_{count}", floor)
        if trial.name in settings.equal_seconds:
            if count is None:
                context = judge.held_out.context
                seconds = _draw_seconds(fitted.model, context, settings.timed_atoms)
                scores.append(Score("draw_seconds", arm.label, seconds))
            if not first:
                fitted = fit(arm, fitted.steps_in(default.step_seconds))
            for score in judge.model(arm.label, fitted.model, count):
                scores.append(replace(score, metric=f"{score.metric}_equal_seconds"))
        yield from trial.report(arm.label, scores, default.step_seconds)
    if default is not None:
        yield from judge.references(default.model.untrained())


TASKS = {
    "gaussian_5d_scale1": Task(_measure, partial(_data, partial(_gaussian, 1.0))),
    "gaussian_5d_scale01": Task(_measure, partial(_data, partial(_gaussian, 0.1))),
    "blobs": Task(_measure, partial(_data, blobs)),
    "rings": Task(_measure, partial(_data, rings)),
    "moons": Task(_measure, partial(_data, moons)),
    "low_rank_50d": Task(_measure, partial(_data, low_rank)),
    "counts_10d": Task(_measure, partial(_data, counts)),
}
BENCH = Bench(
    "generators",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=2, every=2, warmup=0, batch=4, target=4, context=(8, 16), patience=0
            ),
            arms=(
                Arm("gde"),
                _arm("explicit_gaussian", "explicit", ()),
                _wormhole(10),
                _arm("explicit_nb", "explicit", _COUNTS, "negative_binomial"),
            ),
            latent=8,
            train_sets=30,
            train_atoms=20,
            sets=3,
            atoms=20,
            wormhole_atoms=10,
            timed_atoms=50,
        ),
        "quick": Settings(
            TrainConfig(steps=30, warmup=6, every=30, patience=0, context=(16, 500)),
            train_sets=300,
            sets=8,
        ),
        "full": Settings(),
    },
)
