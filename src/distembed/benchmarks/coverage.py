r"""How often 95 % error bars hold the truth, by the number of atoms.

A default model is trained on a prior for a few steps. Then 1,000 distributions that it has not
seen, over all seeds, are each sampled into a set of m atoms, and a second time, half of them
after a step of $1 / \sqrt m$ towards the next distribution. The metrics, one of each for every m:

- `z`: the share of coordinates whose interval $z_k \pm t\, se_k$ holds the limit z(P);
- `distance`: the share of pairs of different distributions whose interval for the limit of the
  latent distance holds it; `near` that of the pairs a step apart, and `same` that of two sets of
  one distribution, whose distance is zero;
- `w2`: the share of the first kind of pairs whose interval for W2 holds the true W2, on
  `gaussian_5d` (formula of Bures) and on `digits` (exact transport between distributions on
  finitely many scans); of three Gaussians W2 has no formula, and is left out;
- `trace`: mean of tr V over the mean of $|z - z(P)|^2$, one if the covariance is right;
- `width` and `w2_width`: the median of an interval's length over the true distance.

**The truth of z.** The embedding is a function of a distribution. One on finitely many scans
is a weighted set, so its limit is exact. A mixture of Gaussians is put on 4,096 points of a
scrambled Sobol net, mapped to each of its parts; `limit_error` is the error that another
scrambling finds in this limit, root mean square, over the standard error at m = 1,000. At 0.2 it
would take 0.5 % off a coverage.

**Standard errors.** A coverage of 95 % over 500 independent pairs has one of 1.0 %, as `near` and
`same` have over all seeds. `distance` and `w2` take every set in two pairs, a ring of 1,000, where
misses of neighbours correlate by 0.07: theirs is 0.74 %. `z` is over 2,000 sets, in error by less
than 0.5 % however the coordinates of a set depend on each other. `trace` is known to 1 to 3 %.

`gde` is the model, `untrained` the same before its first step; of that one W2 is left out, because
its distances were never calibrated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.seeds import (
    SECONDS,
    Score,
    by_size,
    chosen_from,
    environment,
    measured_rows,
)
from distembed.data.synthetic.families import blobs
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.data.synthetic.limits import POINTS, NormalMixtures, PooledMixtures, Source
from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE
from distembed.protocols import Collection
from distembed.report.curves import Draw, colours, panels
from distembed.report.style import REAL
from distembed.rng import stream
from distembed.sets.construct import mixtures
from distembed.sets.digits import digit_pools
from distembed.training.config import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TASKS", "Task", "bench"]

CONFIG = TrainConfig(steps=300, warmup=60, every=100, validation=0.05, patience=0)
"""The defaults but for a short schedule; 100 held-out sets tell what is usual."""
LATENT, TRAIN_SETS, SETS, SIZES = 32, 2_000, 1_000, (20, 50, 100, 300, 1_000)
LEVEL, AT_ONCE = 0.95, 64


@dataclass(frozen=True)
class Task:
    """One prior: `train(sets, seed)` draws sets, `test(sets, seed)` distributions."""

    train: Callable[[int, int], Collection]
    test: Callable[[int, int], Source]


def _gaussians(sets: int, seed: int) -> Gaussians:
    return Gaussians.prior(sets, 5, 10, size=CONFIG.context[1], seed=seed)


def _test_gaussians(sets: int, seed: int) -> Source:
    one = _gaussians(sets, seed)
    return NormalMixtures(Mixtures(torch.ones(sets, 1), one.mean[:, None], one.cov[:, None]))


def _blobs(sets: int, seed: int) -> Mixtures:
    return blobs(sets, CONFIG.context[1], seed)


def _scans(sets: int, seed: int) -> Source:
    pool, rng = digit_pools()[1], stream(seed, "digits to test")
    every = torch.rand(sets, len(pool), generator=rng, dtype=torch.float64)
    share = -torch.log1p(-torch.rand(sets, 3, generator=rng, dtype=torch.float64))
    whole = pool.batch(range(len(pool)))
    return PooledMixtures(whole, every.argsort(1)[:, :3], share / share.sum(1, keepdim=True))


TASKS = {
    "gaussian_5d": Task(_gaussians, _test_gaussians),
    "mixture_2d": Task(_blobs, lambda sets, seed: NormalMixtures(_blobs(sets, seed))),
    "digits": Task(lambda sets, seed: mixtures(digit_pools()[0], sets, 3, rng=seed), _scans),
}


def _limits(model: GDE, source: Source, index: Tensor, seed: int = 0) -> np.ndarray:
    """Embed the distributions themselves, `(B, L)`."""
    rows = [
        model.embed(source.points(some, seed), covariance=False).z for some in index.split(AT_ONCE)
    ]
    return np.concatenate(rows).astype(np.float64)


@dataclass(frozen=True)
class _Exam:
    """A model, and the distributions it is asked about."""

    method: str
    model: GDE
    source: Source
    seed: int

    def scores(self, w2: np.ndarray | None) -> Iterator[Score]:
        """Yield coverages at every m, those of W2 where it is given for each and the next."""
        n = len(self.source)
        every, here = torch.arange(n), np.arange(n)
        same, near = every.tensor_split([n // 2])
        ring, again = np.stack([here, (here + 1) % n], 1), np.stack([here, here + n], 1)
        limits = _limits(self.model, self.source, every)
        apart = np.linalg.norm(limits - np.roll(limits, -1, 0), axis=1)
        for m in SIZES:
            rng, step = stream(self.seed, "sets", m), self.source.moved(m**-0.5)
            first, second = (self.source.draw(index, m, rng) for index in (every, same))
            x = torch.cat([first, second, step.draw(near, m, rng)])
            truth = np.concatenate([limits, limits[same], _limits(self.model, step, near)])
            gap = np.linalg.norm(limits - truth[n:], axis=1)
            table = self.model.embed(SetBatch.from_dense(x))
            yield from self._of_z(table, truth, m)
            yield from self._of_pairs(table, ring, apart, m, ("distance", "width"))
            yield from self._of_pairs(table, again[same], gap[same], m, ("same",))
            yield from self._of_pairs(table, again[near], gap[near], m, ("near",))
            if w2 is not None:
                names = ("w2", "w2_width")
                yield from self._of_pairs(table, ring, w2, m, names, calibrated=True)
        yield from self._of_limits(table, limits)

    def _of_z(self, table: Embeddings, truth: np.ndarray, m: int) -> Iterator[Score]:
        assert table.df is not None
        gap, half = table.z - truth, student.ppf((1 + LEVEL) / 2, table.df)
        held = abs(gap) <= half[:, None] * table.standard_errors
        yield self.method, f"z_m{m}", float(held.mean())
        noise = np.trace(table.covariances, axis1=1, axis2=2).mean()
        yield self.method, f"trace_m{m}", float(noise / (gap**2).sum(1).mean())

    def _of_pairs(
        self,
        table: Embeddings,
        pairs: np.ndarray,
        truth: np.ndarray,
        m: int,
        names: tuple[str, ...],
        calibrated: bool = False,
    ) -> Iterator[Score]:
        found = self.model.distance_intervals(table, pairs, level=LEVEL, calibrated=calibrated)
        held = (found.low <= truth) & (truth <= found.high)
        yield self.method, f"{names[0]}_m{m}", float(held.mean())
        for name in names[1:]:
            yield self.method, f"{name}_m{m}", float(np.median((found.high - found.low) / truth))

    def _of_limits(self, table: Embeddings, limits: np.ndarray) -> Iterator[Score]:
        """Compare limits with those of another net, in standard errors of the last sets."""
        few = torch.arange(min(AT_ONCE, len(limits)))
        gap = (limits[few] - _limits(self.model, self.source, few, seed=1)) / 2**0.5
        square = (gap / table.standard_errors[few]) ** 2
        yield self.method, "limit_error", float(square.mean() ** 0.5)


def _unit(model: GDE) -> float:
    """Length in the ground space of one unit of the data: all features have one scale."""
    shape = model.event_shape
    ends = model.atom_transform(torch.stack([torch.zeros(shape), torch.ones(shape)]))
    return float((ends[1] - ends[0]).mean())


def bench(
    *,
    quick: bool = False,
    seeds: int = 3,
    jobs: int = 1,
    tasks: Sequence[str] | None = None,
    plots: Path | None = None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Run the tasks; each seed changes training sets, weights and held-out distributions.

    Args:
        quick: Few steps, few sets: a look, not a result.
        seeds: Number of seeds, which share the held-out distributions out among them.
        jobs: Processes.
        tasks: Names of tasks; all where left out.
        plots: Folder for a figure of coverages against m.
        log: Called with lines of progress.

    Returns:
        The record of design: bench, environment, config, rows.

    Raises:
        ValueError: If a task is unknown.
    """
    chosen = chosen_from(TASKS, tasks)
    few = {"steps": 100, "every": 100, "warmup": 20, "validation": 0.2}
    config = CONFIG.model_copy(update=few) if quick else CONFIG
    train_sets = TRAIN_SETS // 4 if quick else TRAIN_SETS
    sets = -(-(SETS // 25 if quick else SETS) // seeds)

    def measure(name: str, task: Task, seed: int) -> Iterator[Score]:
        began = time.perf_counter()
        settings = config.model_copy(update={"seed": seed})
        model = GDE(latent=LATENT).fit(task.train(train_sets, seed), settings, progress=False)
        yield (*SECONDS, time.perf_counter() - began)
        source = task.test(sets, 1_000_000 + seed)
        every = torch.arange(sets)
        w2 = source.w2(every, every.roll(-1))
        ground = None if w2 is None else w2.double().numpy() * _unit(model)
        for method, one, truth in (("gde", model, ground), ("untrained", model.untrained(), None)):
            scores = list(_Exam(method, one, source, seed).scores(truth))
            log(f"{name}, {method}: " + ", ".join(f"{k} {v:.3f}" for _, k, v in scores))
            yield from scores

    rows = measured_rows(chosen, seeds, measure, log, jobs)
    if plots is not None:
        draws = [_coverages(rows, name) for name in chosen]
        log(f"wrote {panels(plots / 'coverage.svg', draws)}")
    return {
        "bench": "coverage",
        "environment": environment(jobs),
        "config": {
            "latent": LATENT,
            "level": LEVEL,
            "train_sets": train_sets,
            "held_out_sets": f"{sets} a seed, twice",
            "sizes": list(SIZES),
            "points": POINTS,
            **config.model_dump(mode="json", exclude={"seed"}),
        },
        "rows": by_size(rows),
    }


def _coverages(rows: Sequence[Mapping[str, Any]], task: str) -> Draw:
    """Return what draws coverages against m: the model's lines are full, others dashed."""
    cells = {(r["method"], r["metric"]): r["value"] for r in rows if r["task"] == task}
    kinds = ("z", "distance", "near", "same", "w2")

    def draw(axes: Axes) -> None:
        axes.axhspan(0.93, 0.97, color=REAL, alpha=0.2, linewidth=0)
        axes.axhline(LEVEL, color=REAL, linewidth=0.8)
        for kind, colour in zip(kinds, colours(len(kinds)), strict=True):
            for method, style in (("gde", "-"), ("untrained", "--")):
                if (method, f"{kind}_m{SIZES[0]}") in cells:
                    y = [cells[method, f"{kind}_m{m}"] for m in SIZES]
                    label = kind if method == "gde" else f"{kind}, {method}"
                    axes.plot(SIZES, y, style, color=colour, marker="o", markersize=3, label=label)
        axes.set(title=task, xlabel="atoms m", ylabel="coverage", xscale="log")
        axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))

    return draw
