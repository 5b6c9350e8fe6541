r"""Gaussians with known parameters, after the first experiment of GDE (arXiv 2505.18150, 4.1).

The prior: mean uniform in [0, 5]^d, covariance the inverse of a Wishart(df, scale I) draw. Three
tasks, on sets that no model was trained on:

- `gaussian_2d`: rank correlation of latent distance with the W2 of the true parameters over all
  pairs (`spearman_w2`), and over those with W2 < 1 (`spearman_w2_near`), where means do not
  decide everything.
- `gaussian_5d_scale1`, `gaussian_5d_scale01`: W2 between the true Gaussian and one with mean and
  covariance of the generated points (`w2`); the paper's number, which adds the mean error to the
  *squared* covariance part and so almost ignores covariance (`paper_w2`); and the energy distance
  of generated points to fresh ones (`energy`).

Covariances average I / (scale (df - d - 1)): 0.029 I at scale 1 and 0.29 I at scale 0.1. The
baseline `constant_cov` takes the mean of the points and that average for every set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.seeds import SECONDS, Score, chosen_from, environment, measured_rows
from distembed.data.synthetic.gaussians import Gaussians
from distembed.divergences.bures import bures_w2
from distembed.divergences.energy import Energy
from distembed.evaluation import BASELINES
from distembed.evaluation.bootstrap import spearman
from distembed.geometry.distance import latent_distances
from distembed.model.gde import GDE
from distembed.nn.per_set import moments_per_set
from distembed.registry import lookup
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["TASKS", "Task", "bench"]

CONFIG = TrainConfig(steps=2000, context=(16, 1024), every=250, validation=0.02, patience=0)
"""The defaults but for the context, since sets of 500 and 10,000 points are encoded."""
LATENT, TRAIN_SETS = 32, 20_000
COSTLY = ("ot", "ot_standardised")
"""Baselines that would take hours over 79,800 pairs."""


@dataclass(frozen=True)
class Task:
    """One prior and what is measured on it.

    Attributes:
        d: Dimensions.
        df: Degrees of freedom of the Wishart distribution.
        scale: Its scale.
        sets: Held-out sets.
        points: Points of each that are encoded, and drawn.
        score: Measures a model.
    """

    d: int
    df: int
    scale: float
    sets: int
    points: int
    score: Callable[[GDE, Gaussians], Iterator[Score]]

    def prior(self, sets: int, points: int, seed: int) -> Gaussians:
        """Draw sets of so many points from the prior."""
        return Gaussians.prior(sets, self.d, self.df, self.scale, size=points, seed=seed)


def _geometry(model: GDE, test: Gaussians) -> Iterator[Score]:
    i, j = np.triu_indices(len(test), 1)
    pairs = np.stack([i, j], 1)
    truth = test.w2(i, j)
    once = np.ones((1, len(test)))
    batch = test.batch(range(len(test)))
    distances = {
        "gde": latent_distances(model.embed(batch, covariance=False).z)[i, j],
        "untrained": latent_distances(model.untrained().embed(batch, covariance=False).z)[i, j],
    }
    for name in BASELINES:
        if name not in COSTLY:
            baseline = lookup(BASELINES, name, "baseline")()
            distances[name] = baseline(batch, torch.from_numpy(pairs)).numpy()
    for name, found in distances.items():
        yield name, "spearman_w2", spearman(found, truth, pairs, once).value
        yield name, "spearman_w2_near", spearman(found, truth, pairs, once, near=1.0).value


def _recovery(model: GDE, test: Gaussians) -> Iterator[Score]:
    mean, cov = test.mean.double(), test.cov.double()
    scores: dict[tuple[str, str], list[Tensor]] = {}
    energy = Energy()

    def add(method: str, part: slice, found_mean: Tensor, found_cov: Tensor) -> None:
        true_mean, true_cov = mean[part], cov[part]
        w2 = bures_w2(found_mean, found_cov, true_mean, true_cov)
        shift = (found_mean - true_mean).norm(dim=1)
        scores.setdefault((method, "w2"), []).append(w2)
        paper = shift + (w2.square() - shift.square()).clamp_min(0)
        scores.setdefault((method, "paper_w2"), []).append(paper)

    models = {"gde": model, "untrained": model.untrained()}
    average = cov.mean(0)
    for start in range(0, len(test), 20):
        part = slice(start, start + 20)
        index = range(len(test))[part]
        points = test.batch(index)
        fresh = test.batch(index, test.size, stream(test.seed, "fresh", start))
        point_mean, point_cov = moments_per_set(points)
        add("floor", part, point_mean, point_cov)
        add("constant_cov", part, point_mean, average.expand_as(point_cov))
        few = fresh.subsample(1000, stream(test.seed, "few", start))
        scores.setdefault(("floor", "energy"), []).append(
            energy(points.subsample(1000, stream(test.seed, "more", start)), few)
        )
        for name, judged in models.items():
            drawn = torch.from_numpy(judged.reconstruct(points, test.size, start))
            add(name, part, *moments_per_set(SetBatch.from_dense(drawn)))
            scores.setdefault((name, "energy"), []).append(
                energy(SetBatch.from_dense(drawn[:, :1000]), few)
            )
    for (method, metric), values in scores.items():
        yield method, metric, float(torch.cat(values).mean())


TASKS = {
    "gaussian_2d": Task(2, 10, 1.0, 400, 500, _geometry),
    "gaussian_5d_scale1": Task(5, 40, 1.0, 100, 10_000, _recovery),
    "gaussian_5d_scale01": Task(5, 40, 0.1, 100, 10_000, _recovery),
}


def bench(
    *,
    quick: bool = False,
    seeds: int = 3,
    tasks: Sequence[str] | None = None,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Run the tasks; each seed changes training sets, weights and held-out sets.

    Args:
        quick: Few steps, few sets: a look, not a result.
        seeds: Number of seeds.
        tasks: Names of tasks; all where left out.
        log: Called with lines of progress.

    Returns:
        The record of design: bench, environment, config, rows.

    Raises:
        ValueError: If a task is unknown.
    """
    config = CONFIG.model_copy(update={"steps": 300, "every": 100}) if quick else CONFIG
    train_sets, few = (2000, 40) if quick else (TRAIN_SETS, 0)
    judged = {
        name: replace(task, sets=few or task.sets)
        for name, task in chosen_from(TASKS, tasks).items()
    }

    def measure(name: str, task: Task, seed: int) -> Iterator[Score]:
        began = time.perf_counter()
        train = task.prior(train_sets, CONFIG.context[1], seed)
        model = GDE(latent=LATENT).fit(train, config.model_copy(update={"seed": seed}))
        yield (*SECONDS, time.perf_counter() - began)
        log(f"{name}, seed {seed}: measuring")
        scores = list(task.score(model, task.prior(task.sets, task.points, 1_000_000 + seed)))
        log(f"{name}: " + " ".join(f"{k} {v:.4f}" for m, k, v in scores if m == "gde"))
        yield from scores

    rows = measured_rows(judged, seeds, measure, log)
    return {
        "bench": "gaussian",
        "environment": environment(),
        "config": {
            "latent": LATENT,
            "train_sets": train_sets,
            "held_out_sets": {name: task.sets for name, task in judged.items()},
            "left_out": {"gaussian_2d": list(COSTLY)},
            **config.model_dump(mode="json", exclude={"seed"}),
        },
        "rows": rows,
    }
