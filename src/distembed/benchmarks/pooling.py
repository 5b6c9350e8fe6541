r"""Poolings on sets of another size than those of training.

Every model is trained on the same sets of exactly 100 atoms, and embeds sets of m = 10 to 10,000:

- `w2_m...`: the reconstruction, in W2 to the true distribution. On `gaussian_5d`, which is the
  prior of the bench `gaussian`, between the true parameters and mean and covariance of generated
  atoms; on `mixture_2d`, three components in the plane, exactly between generated and as many
  fresh atoms. `points` is the same of the m atoms themselves, `floor` that of as many atoms of the
  true distribution as are generated.
- `drift_m...`: the distance of z from its value at the size of training, on independent atoms,

      drift(m) = ( E |z_m - z_100|^2 / tr Cov(z_100) )^{1/2},

  over held-out sets. At m = 100 it is the noise of two samples.

Poolings differ in the last pooling of `deepsets` and in nothing else: the mean is fed back. `gde`
is the default. `sum` and `max` are negative controls. `GDE.sample` receives the number of
atoms behind each z, as it does in use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.benchmarks.curves import Draw, log_log
from distembed.benchmarks.truth import w2_to_truth
from distembed.data.synthetic.families import blobs
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.encoders.statistics import Mean, Stages
from distembed.evaluation.result import Score
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "HeldOutSizes", "MaxPooling", "Settings", "SumPooling", "drift"]


class SumPooling:
    """Sum over atoms: a negative control, which depends on their number."""

    columns: ClassVar[int] = 1
    passes: ClassVar[int | None] = 1
    normal: ClassVar[bool] = False
    smooth: ClassVar[bool] = True

    def __call__(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        """Pool `(N, H)` to `(B, H)`."""
        ((mean,),) = yield (Mean(h),)
        return mean * batch.sizes.unsqueeze(1)


class MaxPooling:
    """Maximum over atoms: a negative control, whose limit is an extreme-value one."""

    columns: ClassVar[int] = 1
    passes: ClassVar[int | None] = None
    normal: ClassVar[bool] = False
    smooth: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        """Pool `(N, H)` to `(B, H)`."""
        values, log_w = batch.dense(h)
        yield from ()
        return values.masked_fill(log_w.isneginf().unsqueeze(2), -torch.inf).amax(1)


def _bare(label: str, pooling: Any) -> Arm:
    """Return a deep-sets encoder that is a function of one pooling of the atoms."""
    return Arm(label, {"name": "deepsets", "pooling": pooling})


@dataclass(frozen=True)
class Settings:
    """Sizes, schedule and arms.

    Attributes:
        training: The defaults but for one context size and a short schedule.
        arms: Encoders.
        latent: Dimension of the embedding.
        train_sets: Training sets.
        nominal: Atoms of a training set on paper: fresh ones are drawn at every step.
        sizes: Atoms of a held-out set.
        sets: Held-out sets by task.
        drawn: Atoms that are generated of each set.
        bound: Generated coordinates beyond this, or not finite, are counted as there.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=500, warmup=100, context=(100, 100), every=250, validation=0.02, patience=0
        )
    )
    arms: tuple[Arm, ...] = (
        Arm("gde"),
        _bare("mean", "mean"),
        _bare("median", "median"),
        _bare("moments", "moments"),
        _bare("logmeanexp", "logmeanexp"),
        Arm("attention", "attention"),
        _bare("sum", SumPooling()),
        _bare("max", MaxPooling()),
    )
    latent: int = 32
    train_sets: int = 5_000
    nominal: int = 32
    sizes: tuple[int, ...] = (10, 30, 100, 300, 1_000, 10_000)
    sets: Mapping[str, int] = field(default_factory=lambda: {"gaussian_5d": 40, "mixture_2d": 10})
    drawn: int = 1_000
    bound: float = 1e4


Truth = Gaussians | Mixtures
Prior = Callable[[int, int, int], Truth]
"""Distributions from their number, nominal atoms of a set, and a seed."""


def _gaussian_5d(sets: int, size: int, seed: int) -> Gaussians:
    return Gaussians.prior(sets, 5, 40, size=size, seed=seed)


def _data(name: str, prior: Prior, settings: Settings, seed: int) -> tuple[Truth, Truth]:
    train = prior(settings.train_sets, settings.nominal, seed)
    return train, prior(settings.sets[name], settings.nominal, held_out_seed(seed))


def drift(z: NDArray[Any], reference: NDArray[Any]) -> float:
    """Return the root mean square change of embeddings `(S, L)`, over their spread over sets."""
    spread = reference.astype(np.float64).var(0, ddof=1).sum()
    change = np.square(z.astype(np.float64) - reference).sum(1).mean()
    return float(np.sqrt(change / spread))


@dataclass(frozen=True)
class HeldOutSizes:
    """Sets of every size from the same distributions.

    Attributes:
        truth: The distributions.
        atoms: Sets of each size.
        reference: Independent sets of the size of training.
        settings: Sizes.
        seed: Of all that is drawn.
    """

    truth: Truth
    atoms: Mapping[int, SetBatch]
    reference: SetBatch
    settings: Settings
    seed: int

    @classmethod
    def of(cls, truth: Truth, settings: Settings, seed: int) -> HeldOutSizes:
        """Draw the sets."""
        every, trained_at = range(len(truth)), settings.training.context[1]
        atoms = {m: truth.batch(every, m, stream(seed, "points", m)) for m in settings.sizes}
        reference = truth.batch(every, trained_at, stream(seed, "reference"))
        return cls(truth, atoms, reference, settings, seed)

    def error(self, x: Tensor) -> float:
        """Return the mean W2 of atoms `(S, n, D)` to the truth."""
        bound, count = self.settings.bound, self.settings.drawn
        drawn = SetBatch.from_dense(torch.nan_to_num(x, bound, bound, -bound).clamp(-bound, bound))
        rng = stream(self.seed, "fresh")
        fresh = self.truth.batch(range(len(self.truth)), count, rng)
        if isinstance(self.truth, Mixtures):
            drawn = drawn.subsample(count, rng)
        return float(w2_to_truth(drawn, self.truth, fresh).mean())

    def references(self) -> Iterator[Score]:
        """Yield the error of the atoms themselves, and of as many atoms as are generated."""
        count = self.settings.drawn
        true = self.truth.batch(range(len(self.truth)), count, stream(self.seed, "own"))
        floor = self.error(true.x.unflatten(0, (len(true), -1)))
        for m, batch in self.atoms.items():
            error = self.error(batch.x.unflatten(0, (len(batch), m)))
            yield Score(f"w2_m{m}", "points", error)
            yield Score(f"w2_m{m}", "floor", floor)

    def scores(self, method: str, model: GDE) -> Iterator[Score]:
        """Yield errors of reconstructions from sets of every size, then drifts of z."""
        reference = model.embed(self.reference, covariance=False).z
        drifts = []
        for m, batch in self.atoms.items():
            table = model.embed(batch, covariance=False)
            drawn = torch.from_numpy(model.sample(table, self.settings.drawn, self.seed))
            yield Score(f"w2_m{m}", method, self.error(drawn))
            drifts.append(Score(f"drift_m{m}", method, drift(table.z, reference)))
        yield from drifts


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    train, truth = trial.data()
    held_out = HeldOutSizes.of(truth, trial.settings, trial.seed)
    yield from held_out.references()
    for arm in trial.settings.arms:
        fitted = trial.fit(arm.model(trial.settings.latent), train)
        scores = held_out.scores(arm.label, fitted.model)
        yield from trial.report(arm.label, scores, fitted.seconds)


def _figures(scores: Sequence[Score], settings: Settings) -> dict[str, Sequence[Draw]]:
    """Return a figure of each task: errors and drifts against the size of a set."""
    tasks = dict.fromkeys(s.task for s in scores)
    figures: dict[str, Sequence[Draw]] = {}
    suffix = f"trained at m = {settings.training.context[1]}"
    for task in tasks:
        values = {(s.method, s.metric): s.value for s in scores if s.task == task}

        def lines(metric: str, values: Mapping[Any, float] = values) -> dict[str, list[float]]:
            names = dict.fromkeys(m for m, k in values if k.startswith(metric))
            return {n: [values[n, f"{metric}_m{m}"] for m in settings.sizes] for n in names}

        figures[f"pooling_{task}.svg"] = [
            log_log(task, "W2 of the reconstruction", settings.sizes, lines("w2")),
            log_log(f"{task}, {suffix}", "drift of z", settings.sizes, lines("drift")),
        ]
    return figures


TASKS = {
    "gaussian_5d": Task(_measure, partial(_data, "gaussian_5d", _gaussian_5d)),
    "mixture_2d": Task(_measure, partial(_data, "mixture_2d", blobs)),
}
BENCH = Bench(
    "pooling",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(
                steps=2, every=2, batch=4, target=4, warmup=1, context=(100, 100), patience=0
            ),
            arms=(Arm("gde"), _bare("mean", "mean"), _bare("sum", SumPooling())),
            latent=8,
            train_sets=20,
            sizes=(10, 100, 200),
            sets={"gaussian_5d": 3, "mixture_2d": 3},
            drawn=10,
        ),
        "quick": Settings(
            TrainConfig(
                steps=60, warmup=12, every=60, context=(100, 100), validation=0.02, patience=0
            ),
            sets={"gaussian_5d": 10, "mixture_2d": 5},
            drawn=300,
        ),
        "full": Settings(),
    },
    _figures,
)
