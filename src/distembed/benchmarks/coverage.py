r"""Coverage of 95 % confidence intervals, by the number of atoms.

A default model is trained on a prior for a short schedule. Then 1,000 distributions that it has
not seen, over three seeds, are each sampled into a set of m atoms, and a second time, half of them
after a step of $1 / \sqrt m$ towards the next distribution. The metrics, one of each for every m:

- `z`: the share of coordinates whose interval $z_k \pm t\, se_k$ contains the limit z(P);
- `distance`: the share of pairs of different distributions whose interval for the limit of the
  latent distance contains it; `near` that of the pairs a step apart, and `same` that of two sets
  of one distribution, whose distance is zero;
- `w2_coverage`: the share of the first kind of pairs whose interval for W2 contains the true W2,
  on `gaussian_5d` (formula of Bures) and on `digits` (exact transport between distributions on
  finitely many scans); for a mixture of three Gaussians W2 has no formula, and is left out;
- `trace`: mean of tr V over the mean of $|z - z(P)|^2$, one if the covariance is right;
- `width` and `w2_width`: the median of an interval's length over the true distance.

**The truth of z.** The embedding is a function of a distribution. A distribution on finitely many
scans is a weighted set, so its limit is exact. A mixture of Gaussians is put on 4,096 points of a
scrambled Sobol net, mapped to each of its components; `limit_error` is the root mean square
difference between the limits of two scramblings, over the standard error at m = 1,000. A value of
0.2 would take 0.5 % off a coverage.

**Standard errors.** A coverage of 95 % over 500 independent pairs has one of 1.0 %, as `near` and
`same` have over all seeds. `distance` and `w2_coverage` take every set in two pairs, a ring of
1,000, where misses of neighbours correlate by 0.07: theirs is 0.74 %. `z` is over 2,000 sets, with
an error below 0.5 % however the coordinates of a set depend on each other. The error of `trace` is
1 to 3 %.

`gde` is the model, `untrained` the same before its first step; W2 is left out of the latter,
because its distances were never calibrated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.benchmarks.curves import Draw, colours
from distembed.benchmarks.truth import ground_unit
from distembed.data.synthetic.families import blobs
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.data.synthetic.limits import NormalMixtures, PooledMixtures, Source
from distembed.evaluation.result import Score
from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE
from distembed.protocols import Collection
from distembed.report.style import REAL
from distembed.rng import stream
from distembed.sets.digit_pools import digit_pools
from distembed.sets.mixtures import mixtures
from distembed.training.config import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BENCH", "TASKS", "Coverage", "Settings"]


@dataclass(frozen=True)
class Settings:
    """Sizes and schedule.

    Attributes:
        training: The defaults but for a short schedule; the population model and the calibration
            are fitted to the 100 validation sets.
        arm: The model.
        latent: Dimension of the embedding.
        train_sets: Training sets.
        sets: Held-out distributions of each seed, each sampled twice.
        sizes: Atoms of a held-out set.
        level: Nominal coverage.
        sets_at_once: Distributions that are embedded together.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=300, warmup=60, every=100, validation=0.05, patience=0
        )
    )
    arm: Arm = Arm("gde")
    latent: int = 32
    train_sets: int = 2_000
    sets: int = 334
    sizes: tuple[int, ...] = (20, 50, 100, 300, 1_000)
    level: float = 0.95
    sets_at_once: int = 64


Data = tuple[Collection, Source]
"""Training sets and held-out distributions."""


def _gaussian_5d(settings: Settings, seed: int) -> Data:
    prior = partial(Gaussians.prior, d=5, df=10, size=settings.training.context[1])
    test = prior(settings.sets, seed=held_out_seed(seed))
    components = Mixtures(torch.ones(settings.sets, 1), test.mean[:, None], test.cov[:, None])
    return prior(settings.train_sets, seed=seed), NormalMixtures(components)


def _mixture_2d(settings: Settings, seed: int) -> Data:
    prior = partial(blobs, size=settings.training.context[1])
    test = prior(settings.sets, seed=held_out_seed(seed))
    return prior(settings.train_sets, seed=seed), NormalMixtures(test)


def _digits(settings: Settings, seed: int) -> Data:
    train, test = digit_pools()
    rng = stream(held_out_seed(seed), "digits to test")
    order = torch.rand(settings.sets, len(test), generator=rng, dtype=torch.float64).argsort(1)
    share = -torch.log1p(-torch.rand(settings.sets, 3, generator=rng, dtype=torch.float64))
    whole = test.batch(range(len(test)))
    source = PooledMixtures(whole, order[:, :3], share / share.sum(1, keepdim=True))
    return mixtures(train, settings.train_sets, 3, rng=seed), source


@dataclass(frozen=True)
class Coverage:
    """Coverage of the intervals of one model on held-out distributions.

    Attributes:
        method: Name of the model in tables.
        model: The model.
        source: The distributions.
        trial: Sizes, level, and the seed of the sets that are drawn.
    """

    method: str
    model: GDE
    source: Source
    trial: Trial[Settings]

    def scores(self, w2: np.ndarray | None) -> Iterator[Score]:
        """Yield coverages at every size, those of W2 if it is given for each and the next."""
        n = len(self.source)
        every, here = torch.arange(n), np.arange(n)
        same, near = every.tensor_split([n // 2])
        ring, again = np.stack([here, (here + 1) % n], 1), np.stack([here, here + n], 1)
        limits = self.limits(self.source, every)
        apart = np.linalg.norm(limits - np.roll(limits, -1, 0), axis=1)
        for m in self.trial.settings.sizes:
            rng, step = stream(self.trial.seed, "sets", m), self.source.moved(m**-0.5)
            first, second = (self.source.draw(index, m, rng) for index in (every, same))
            x = torch.cat([first, second, step.draw(near, m, rng)])
            truth = np.concatenate([limits, limits[same], self.limits(step, near)])
            gap = np.linalg.norm(limits - truth[n:], axis=1)
            table = self.model.embed(SetBatch.from_dense(x))
            yield from self._of_z(table, truth, m)
            yield from self._of_pairs(table, ring, apart, m, ("distance", "width"))
            yield from self._of_pairs(table, again[same], gap[same], m, ("same",))
            yield from self._of_pairs(table, again[near], gap[near], m, ("near",))
            if w2 is not None:
                names = ("w2_coverage", "w2_width")
                yield from self._of_pairs(table, ring, w2, m, names, calibrated=True)
        yield from self._of_limits(table, limits)

    def limits(self, source: Source, index: Tensor, scrambling: int = 0) -> np.ndarray:
        """Embed the distributions themselves, `(B, L)`."""
        rows = [
            self.model.embed(source.points(part, scrambling), covariance=False).z
            for part in index.split(self.trial.settings.sets_at_once)
        ]
        return np.concatenate(rows).astype(np.float64)

    def _of_z(self, table: Embeddings, truth: np.ndarray, m: int) -> Iterator[Score]:
        assert table.df is not None
        gap, half = table.z - truth, student.ppf((1 + self.trial.settings.level) / 2, table.df)
        inside = abs(gap) <= half[:, None] * table.standard_errors
        task = self.trial.at(m)
        yield Score("z", self.method, float(inside.mean()), task=task)
        noise = np.trace(table.covariances, axis1=1, axis2=2).mean()
        yield Score("trace", self.method, float(noise / (gap**2).sum(1).mean()), task=task)

    def _of_pairs(
        self,
        table: Embeddings,
        pairs: np.ndarray,
        truth: np.ndarray,
        m: int,
        names: tuple[str, ...],
        calibrated: bool = False,
    ) -> Iterator[Score]:
        """Yield the coverage of pairs, and the median width if it has a name."""
        level, task = self.trial.settings.level, self.trial.at(m)
        interval = self.model.distance_intervals(table, pairs, level=level, calibrated=calibrated)
        inside = (interval.low <= truth) & (truth <= interval.high)
        yield Score(names[0], self.method, float(inside.mean()), task=task)
        for name in names[1:]:
            width = np.median((interval.high - interval.low) / truth)
            yield Score(name, self.method, float(width), task=task)

    def _of_limits(self, table: Embeddings, limits: np.ndarray) -> Iterator[Score]:
        """Compare limits with those of another scrambling, in standard errors of the last sets."""
        index = torch.arange(min(self.trial.settings.sets_at_once, len(limits)))
        gap = (limits[index] - self.limits(self.source, index, scrambling=1)) / 2**0.5
        square = (gap / table.standard_errors[index]) ** 2
        yield Score("limit_error", self.method, float(square.mean() ** 0.5))


def _measure(trial: Trial[Settings]) -> Iterator[Score]:
    settings = trial.settings
    train, source = trial.data()
    fitted = trial.fit(settings.arm.model(settings.latent), train)
    model = fitted.model
    every = torch.arange(settings.sets)
    w2 = source.w2(every, every.roll(-1))
    ground = None if w2 is None else w2.double().numpy() * ground_unit(model)
    for method, one, truth in (("gde", model, ground), ("untrained", model.untrained(), None)):
        scores = Coverage(method, one, source, trial).scores(truth)
        yield from trial.report(method, scores, fitted.seconds)


def _figures(scores: Sequence[Score], settings: Settings) -> Mapping[str, Sequence[Draw]]:
    tasks = dict.fromkeys(s.task.rpartition("_m")[0] for s in scores)
    return {"coverage.svg": [_panel(scores, task, settings) for task in tasks if task]}


def _panel(scores: Sequence[Score], task: str, settings: Settings) -> Draw:
    """Return what draws coverage against m: the model's lines are full, others dashed."""
    values = {(s.task, s.method, s.metric): s.value for s in scores}
    metrics = ("z", "distance", "near", "same", "w2_coverage")

    def draw(axes: Axes) -> None:
        axes.axhspan(settings.level - 0.02, settings.level + 0.02, color=REAL, alpha=0.2, lw=0)
        axes.axhline(settings.level, color=REAL, linewidth=0.8)
        for metric, colour in zip(metrics, colours(len(metrics)), strict=True):
            for method, style in (("gde", "-"), ("untrained", "--")):
                if (f"{task}_m{settings.sizes[0]}", method, metric) in values:
                    y = [values[f"{task}_m{m}", method, metric] for m in settings.sizes]
                    label = metric if method == "gde" else f"{metric}, {method}"
                    marks: dict[str, Any] = {"marker": "o", "markersize": 3}
                    axes.plot(settings.sizes, y, style, color=colour, label=label, **marks)
        axes.set(title=task, xlabel="atoms m", ylabel="coverage", xscale="log")
        axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))

    return draw


TASKS = {
    "gaussian_5d": Task(_measure, _gaussian_5d),
    "mixture_2d": Task(_measure, _mixture_2d),
    "digits": Task(_measure, _digits),
}
BENCH = Bench(
    "coverage",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(steps=2, every=2, batch=4, target=4, warmup=1, patience=0),
            latent=4,
            train_sets=14,
            sets=8,
            sizes=(20, 120),
        ),
        "quick": Settings(
            TrainConfig(steps=100, warmup=20, every=100, validation=0.2, patience=0),
            train_sets=500,
            sets=40,
        ),
        "full": Settings(),
    },
    _figures,
)
