r"""What a pooling does to sets of another size than those of training.

Every model is trained on the same sets of exactly 100 atoms, and read at m = 10 to 10,000:

- `w2_m...`: the reconstruction, in W2 to the true distribution. On `gaussian_5d`, which is the
  prior of the bench `gaussian`, between the true parameters and mean and covariance of generated
  points; on `mixture_2d`, three components in the plane, the exact one of generated and of as
  many fresh points. `points` is what the m atoms themselves would give, `floor` what as many
  points of the truth as are generated would.
- `drift_m...`: how far z moves from its size of training, by points that are independent,

      drift(m) = ( E |z_m - z_100|^2 / tr Cov(z_100) )^{1/2},

  over held-out sets. At m = 100 it is the noise of two samples.

Poolings differ in the last pooling of `deepsets` and in nothing else: the mean is fed back, and
relative atoms and moments, which no pooling touches, are off (in `attention` too). `gde` is the
default with all of it. `sum` and `max` are negative controls. A model is used as a user would:
`GDE.sample` knows how many atoms made z.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.seeds import SECONDS, Score, chosen_from, environment, measured_rows
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.data.synthetic.wishart import inverse_wishart
from distembed.divergences.bures import bures_w2
from distembed.divergences.exact import ExactW2
from distembed.encoders.statistics import Mean, Stages
from distembed.model.gde import GDE
from distembed.nn.per_set import moments_per_set
from distembed.report.curves import Draw, log_log, panels
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["METHODS", "TASKS", "MaxPooling", "SumPooling", "Task", "bench"]

TRAINED_AT = 100
CONFIG = TrainConfig(
    steps=500, warmup=100, context=(TRAINED_AT, TRAINED_AT), every=250, validation=0.02, patience=0
)
"""The defaults but for one context size and a short schedule."""
LATENT, TRAIN_SETS, SIZES = 32, 5_000, (10, 30, 100, 300, 1_000, 10_000)
NOMINAL = 32
"""Atoms of a training set on paper: fresh ones are drawn, and of few, no W2 is calibrated."""
FAR = 1e4
"""Generated coordinates beyond this, or not finite, are counted as there."""


class SumPooling:
    """A negative control: the sum over atoms, which sees their number."""

    columns: ClassVar[int] = 1
    passes: ClassVar[int | None] = 1
    normal: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        """Pool `(N, H)` to `(B, H)`."""
        ((mean,),) = yield (Mean(h),)
        return mean * batch.sizes.unsqueeze(1)


class MaxPooling:
    """A negative control: the maximum, whose limit is an extreme-value one."""

    columns: ClassVar[int] = 1
    passes: ClassVar[int | None] = None
    normal: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        """Pool `(N, H)` to `(B, H)`."""
        values, log_w = batch.dense(h)
        yield from ()
        return values.masked_fill(log_w.isneginf().unsqueeze(2), -torch.inf).amax(1)


_BARE = {"relative": False}
METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gde": ("joined", {}),
    **{
        name: ("deepsets", {"pooling": name, "feedback": "mean", **_BARE})
        for name in ("mean", "median", "moments", "logmeanexp")
    },
    "attention": ("attention", _BARE),
    "sum": ("deepsets", {"pooling": SumPooling(), "feedback": "mean", **_BARE}),
    "max": ("deepsets", {"pooling": MaxPooling(), "feedback": "mean", **_BARE}),
}
"""Encoder and options."""


@dataclass(frozen=True)
class Task:
    """One prior and the W2 of samples to its truth.

    Attributes:
        prior: Draws distributions, from their number and a seed.
        error: W2 of samples `(B, n, D)` to the truth; where it has no formula, of at most so many
            to as many fresh points.
        sets: Held-out sets.
        drawn: Points of each that are generated.
    """

    prior: Callable[[int, int], Gaussians | Mixtures]
    error: Callable[[Any, Tensor, int, torch.Generator], Tensor]
    sets: int
    drawn: int = 1_000


def _gaussian_5d(sets: int, seed: int) -> Gaussians:
    return Gaussians.prior(sets, 5, 40, size=NOMINAL, seed=seed)


def _mixture_2d(sets: int, seed: int) -> Mixtures:
    rng = stream(seed, "mixture 2d")
    mean = 5 * torch.rand(sets, 3, 2, generator=rng, dtype=torch.float64)
    cov = inverse_wishart(sets * 3, 2, 10, rng).unflatten(0, (sets, 3))
    weights = -torch.log1p(-torch.rand(sets, 3, generator=rng, dtype=torch.float64))
    return Mixtures(weights, mean, cov, NOMINAL, seed)


def _to_gaussian(truth: Gaussians, x: Tensor, _: int, __: torch.Generator) -> Tensor:
    mean, cov = moments_per_set(SetBatch.from_dense(x))
    return bures_w2(mean, cov, truth.mean, truth.cov)


def _to_fresh(truth: Mixtures, x: Tensor, count: int, rng: torch.Generator) -> Tensor:
    fresh = truth.batch(range(len(truth)), count, rng)
    return ExactW2()(SetBatch.from_dense(x).subsample(count, rng), fresh)


TASKS = {
    "gaussian_5d": Task(_gaussian_5d, _to_gaussian, 40),
    "mixture_2d": Task(_mixture_2d, _to_fresh, 10),
}


def _drift(z: np.ndarray, reference: np.ndarray) -> float:
    spread = reference.astype(np.float64).var(0, ddof=1).sum()
    moved = np.square(z.astype(np.float64) - reference).sum(1).mean()
    return float(np.sqrt(moved / spread))


@dataclass(frozen=True)
class _Exam:
    """What all models of a seed are asked: the same points."""

    task: Task
    truth: Any
    points: Mapping[int, SetBatch]
    reference: SetBatch
    seed: int

    @classmethod
    def of(cls, task: Task, seed: int) -> _Exam:
        truth = task.prior(task.sets, 1_000_000 + seed)
        every = range(len(truth))
        points = {m: truth.batch(every, m, stream(seed, "points", m)) for m in SIZES}
        reference = truth.batch(every, TRAINED_AT, stream(seed, "reference"))
        return cls(task, truth, points, reference, seed)

    def error(self, x: Tensor) -> float:
        x = torch.nan_to_num(x, FAR, FAR, -FAR).clamp(-FAR, FAR)
        rng = stream(self.seed, "fresh")
        return float(self.task.error(self.truth, x, self.task.drawn, rng).mean())

    def beside(self) -> Iterator[Score]:
        """Yield what the m points are worth, and as many points of the truth as are generated."""
        drawn = self.truth.batch(range(len(self.truth)), self.task.drawn, stream(self.seed, "own"))
        floor = self.error(drawn.x.unflatten(0, (len(drawn), -1)))
        for m, batch in self.points.items():
            yield "points", f"w2_m{m}", self.error(batch.x.unflatten(0, (len(batch), m)))
            yield "floor", f"w2_m{m}", floor

    def grades(self, method: str, model: GDE) -> Iterator[Score]:
        """Yield what a model makes of sets of every size."""
        reference = model.embed(self.reference, covariance=False).z
        drifts = []
        for m, batch in self.points.items():
            table = model.embed(batch, covariance=False)
            drawn = torch.from_numpy(model.sample(table, self.task.drawn, self.seed))
            yield method, f"w2_m{m}", self.error(drawn)
            drifts.append((method, f"drift_m{m}", _drift(table.z, reference)))
        yield from drifts


def bench(
    *,
    quick: bool = False,
    seeds: int = 3,
    tasks: Sequence[str] | None = None,
    plots: Path | None = None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Run the tasks; each seed changes distributions, points and weights.

    Args:
        quick: Few steps, few sets: a look, not a result.
        seeds: Number of seeds.
        tasks: Names of tasks; all where left out.
        plots: Folder for a figure a task.
        log: Called with lines of progress.

    Returns:
        The record of design: bench, environment, config, rows.

    Raises:
        ValueError: If a task is unknown.
    """
    config, judged = CONFIG, chosen_from(TASKS, tasks)
    if quick:
        config = CONFIG.model_copy(update={"steps": 60, "every": 60, "warmup": 12})
        judged = {k: replace(t, sets=max(5, t.sets // 4), drawn=300) for k, t in judged.items()}

    def measure(name: str, task: Task, seed: int) -> Iterator[Score]:
        exam, train = _Exam.of(task, seed), task.prior(TRAIN_SETS, seed)
        settings = config.model_copy(update={"seed": seed})
        yield from exam.beside()
        for method, (encoder, options) in METHODS.items():
            began = time.perf_counter()
            model = GDE({"name": encoder, **options}, latent=LATENT)
            model.fit(train, settings, progress=False)
            if method == "gde":
                yield (*SECONDS, time.perf_counter() - began)
            own = list(exam.grades(method, model))
            log(f"{name}, {method}: " + ", ".join(f"{k} {v:.3g}" for _, k, v in own))
            yield from own

    rows = measured_rows(judged, seeds, measure, log)
    if plots is not None:
        for name in judged:
            log(f"wrote {panels(plots / f'pooling_{name}.svg', _figure(rows, name))}")
    return {
        "bench": "pooling",
        "environment": environment(),
        "config": {
            "latent": LATENT,
            "encoders": {
                name: {"name": encoder, **{k: _plain(v) for k, v in options.items()}}
                for name, (encoder, options) in METHODS.items()
            },
            "train_sets": TRAIN_SETS,
            "held_out_sets": {name: task.sets for name, task in judged.items()},
            "drawn": {name: task.drawn for name, task in judged.items()},
            "sizes": list(SIZES),
            **config.model_dump(mode="json", exclude={"seed"}),
        },
        "rows": rows,
    }


def _plain(option: Any) -> Any:
    return option if isinstance(option, bool | str) else type(option).__name__


def _figure(rows: Sequence[Mapping[str, Any]], task: str) -> list[Draw]:
    cells = {(r["method"], r["metric"]): r["value"] for r in rows if r["task"] == task}

    def lines(metric: str) -> dict[str, list[float]]:
        names = dict.fromkeys(m for m, k in cells if k.startswith(metric))
        return {n: [cells[n, f"{metric}_m{m}"] for m in SIZES] for n in names}

    return [
        log_log(task, "W2 of the reconstruction", SIZES, lines("w2")),
        log_log(f"{task}, trained at m = {TRAINED_AT}", "drift of z", SIZES, lines("drift")),
    ]
