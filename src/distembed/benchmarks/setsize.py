r"""One distribution, seen through sets of growing size: the second figure of the GDE paper.

The default model is trained on a prior. Then one distribution that it has not seen is sampled
into 200 sets of each size m, and each is embedded:

- `w2_m...`: W2 of generated points to the true distribution, in units of the data, beside
  `points`, what the m points themselves are from it, and `floor`, as many true points as are
  generated. On `gaussian_2d` by the moments of points; on `digits` exact, the truth being a
  mixture of all held-out scans of three digits, from which sets draw with replacement.
- `sd1_m...` and `sd2_m...`: the standard deviations of z along the two axes in which the clouds
  are widest, the same axes at every m (those of $\sum_m m\,Cov(z_m)$).
- `slope1` and `slope2`: of log sd in log m. A central limit theorem for z makes it -1/2
  (arXiv 2505.18150, section 3).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.seeds import SECONDS, Score, chosen_from, environment, measured_rows
from distembed.data.synthetic.gaussians import Gaussians
from distembed.divergences.bures import bures_w2
from distembed.divergences.exact import ExactW2
from distembed.model.gde import GDE
from distembed.nn.per_set import moments_per_set
from distembed.protocols import Collection
from distembed.report.curves import Draw, colours, log_log, panels
from distembed.rng import stream
from distembed.sets.construct import mixtures
from distembed.sets.digits import digit_pools
from distembed.training.config import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TASKS", "Task", "bench"]

CONFIG = TrainConfig(steps=800, every=200, patience=0, validation=0.02)
"""The defaults but for a schedule of fixed length."""
LATENT, SIZES, AT_ONCE = 32, (10, 50, 100, 500, 5_000), 20


class Truth(Protocol):
    """One distribution."""

    def draw(self, sets: int, m: int, rng: torch.Generator) -> Tensor:
        """Draw m points of each set, `(B, m, *event)`."""

    def error(self, x: Tensor) -> Tensor:
        """W2 of each set of points `(B, n, *event)` to this distribution, `(B,)`."""


@dataclass(frozen=True)
class _Gaussian:
    one: Gaussians

    def draw(self, sets: int, m: int, rng: torch.Generator) -> Tensor:
        return self.one.draw(torch.zeros(sets, dtype=torch.int64), m, rng)

    def error(self, x: Tensor) -> Tensor:
        mean, cov = moments_per_set(SetBatch.from_dense(x))
        return bures_w2(mean, cov, self.one.mean, self.one.cov)


@dataclass(frozen=True)
class _Atoms:
    """A distribution on finitely many atoms."""

    one: SetBatch

    def draw(self, sets: int, m: int, rng: torch.Generator) -> Tensor:
        rows = torch.multinomial(self.one.w, sets * m, replacement=True, generator=rng)
        return self.one.x[rows].reshape(sets, m, *self.one.event_shape)

    def error(self, x: Tensor) -> Tensor:
        return torch.cat([ExactW2()(self._merged(points), self.one) for points in x])

    @staticmethod
    def _merged(x: Tensor) -> SetBatch:
        """Equal points are one of more weight: transport is solved on few."""
        atoms, count = x.unique(dim=0, return_counts=True)
        return SetBatch.from_list([atoms], [count.to(x.dtype)])


@dataclass(frozen=True)
class Task:
    """One prior.

    Attributes:
        prior: Draws sets to train on, and a distribution that is in none of them.
        judged: Sets of each size that are reconstructed.
        sets: Sets of each size that are embedded.
        drawn: Points that are generated of each that is reconstructed.
    """

    prior: Callable[[int], tuple[Collection, Truth]]
    judged: int
    sets: int = 200
    drawn: int = 1_000


def _gaussian_2d(seed: int) -> tuple[Collection, Truth]:
    # of few atoms no W2 is calibrated, which nothing here asks for; fresh ones are drawn
    train = Gaussians.prior(TRAIN_SETS["gaussian_2d"], 2, 10, size=32, seed=seed)
    return train, _Gaussian(Gaussians.prior(1, 2, 10, seed=1_000_000 + seed))


def _digits(seed: int) -> tuple[Collection, Truth]:
    train_pool, test_pool = digit_pools()
    train = mixtures(train_pool, TRAIN_SETS["digits"], 3, rng=seed)
    rng = stream(seed, "digits to test")
    three = test_pool.select(torch.randperm(len(test_pool), generator=rng)[:3].numpy())
    atoms = three.batch(range(3))
    share = -torch.log1p(-torch.rand(3, generator=rng))
    w = atoms.w * (share / share.sum())[atoms.owner]
    return train, _Atoms(SetBatch(atoms.x, w, torch.tensor([0, len(w)])).checked())


TRAIN_SETS = {"gaussian_2d": 5_000, "digits": 1_000}
TASKS = {"gaussian_2d": Task(_gaussian_2d, 50), "digits": Task(_digits, 10, drawn=500)}


@dataclass(frozen=True)
class _Clouds:
    """Embeddings of one distribution, on the two axes in which they spread most."""

    seen: Mapping[int, np.ndarray]

    @classmethod
    def of(cls, z: Mapping[int, np.ndarray]) -> _Clouds:
        # a cloud shrinks as the root of m, so that scaled by it every size has a say
        spread = sum(m * np.cov(cloud.T) for m, cloud in z.items())
        axes = np.linalg.eigh(spread)[1][:, :-3:-1]
        centre = z[max(z)].mean(0)
        return cls({m: (cloud - centre) @ axes for m, cloud in z.items()})

    def scores(self) -> Iterator[Score]:
        sizes = np.log(list(self.seen))
        for axis in range(2):
            sd = [float(cloud[:, axis].std(ddof=1)) for cloud in self.seen.values()]
            for m, value in zip(self.seen, sd, strict=True):
                yield "gde", f"sd{axis + 1}_m{m}", value
            yield "gde", f"slope{axis + 1}", float(np.polyfit(sizes, np.log(sd), 1)[0])

    def draw(self, axes: Axes) -> None:
        for (m, cloud), colour in zip(self.seen.items(), colours(len(self.seen)), strict=True):
            axes.scatter(
                cloud[:, 0], cloud[:, 1], s=6, color=colour, label=f"m = {m}", linewidths=0
            )
        axes.set(title="embeddings of one distribution", xlabel="first axis", ylabel="second axis")
        axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))


def _examine(
    model: GDE, task: Task, truth: Truth, seed: int, clouds: dict[int, np.ndarray]
) -> Iterator[Score]:
    """Yield errors at each size, and fill in the embeddings."""
    own = truth.draw(task.judged, task.drawn, stream(seed, "own"))
    floor = float(truth.error(own).mean())
    for m in SIZES:
        rng, rows, points = stream(seed, "points", m), [], []
        for start in range(0, task.sets, AT_ONCE):
            x = truth.draw(min(AT_ONCE, task.sets - start), m, rng)
            table = model.embed(SetBatch.from_dense(x), covariance=False)
            rows.append(table.z)
            if (left := task.judged - start) > 0:
                drawn = model.sample(table.select(range(min(left, len(x)))), task.drawn, rng)
                points.append((x[:left], torch.from_numpy(drawn)))
        clouds[m] = np.concatenate(rows).astype(np.float64)
        for name, part in (("points", 0), ("gde", 1)):
            errors = torch.cat([truth.error(pair[part]) for pair in points])
            yield name, f"w2_m{m}", float(errors.mean())
        yield "floor", f"w2_m{m}", floor
    yield from _Clouds.of(clouds).scores()


def bench(
    *,
    quick: bool = False,
    seeds: int = 3,
    tasks: Sequence[str] | None = None,
    plots: Path | None = None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Run the tasks; each seed changes training sets, weights and the held-out distribution.

    Args:
        quick: Few steps: a look, not a result.
        seeds: Number of seeds.
        tasks: Names of tasks; all where left out.
        plots: Folder for a figure a task, of the last seed's clouds.
        log: Called with lines of progress.

    Returns:
        The record of design: bench, environment, config, rows.

    Raises:
        ValueError: If a task is unknown.
    """
    chosen = chosen_from(TASKS, tasks)
    few = {"steps": 200, "every": 200, "warmup": 40}
    config = CONFIG.model_copy(update=few) if quick else CONFIG
    clouds: dict[str, dict[int, np.ndarray]] = {}

    def measure(name: str, task: Task, seed: int) -> Iterator[Score]:
        train, truth = task.prior(seed)
        began = time.perf_counter()
        settings = config.model_copy(update={"seed": seed})
        model = GDE(latent=LATENT).fit(train, settings, progress=False)
        yield (*SECONDS, time.perf_counter() - began)
        clouds[name] = {}
        scores = list(_examine(model, task, truth, seed, clouds[name]))
        log(f"{name}: " + ", ".join(f"{k} {v:.3g}" for m, k, v in scores if m == "gde"))
        yield from scores

    rows = measured_rows(chosen, seeds, measure, log)
    if plots is not None:
        for name in chosen:
            draws = [*_lines(rows, name), _Clouds.of(clouds[name]).draw]
            log(f"wrote {panels(plots / f'setsize_{name}.svg', draws)}")
    return {
        "bench": "setsize",
        "environment": environment(),
        "config": {
            "latent": LATENT,
            "train_sets": {name: TRAIN_SETS[name] for name in chosen},
            "sets": {name: TASKS[name].sets for name in chosen},
            "reconstructed": {name: TASKS[name].judged for name in chosen},
            "drawn": {name: TASKS[name].drawn for name in chosen},
            "sizes": list(SIZES),
            **config.model_dump(mode="json", exclude={"seed"}),
        },
        "rows": rows,
    }


def _lines(rows: Sequence[Mapping[str, Any]], task: str) -> list[Draw]:
    cells = {(r["method"], r["metric"]): r["value"] for r in rows if r["task"] == task}

    def line(method: str, metric: str) -> list[float]:
        return [cells[method, f"{metric}_m{m}"] for m in SIZES]

    errors = {name: line(name, "w2") for name in ("gde", "points", "floor")}
    spread = {f"axis {k}": line("gde", f"sd{k}") for k in (1, 2)}
    return [
        log_log(task, "W2 to the truth", SIZES, errors),
        log_log("sets of one distribution", "sd of z", SIZES, spread),
    ]
