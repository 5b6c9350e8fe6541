r"""How many network calls a sampler needs.

A flow and a diffusion are trained on mixtures in the plane and draw with 2 to 200 network calls,
an ancestral diffusion with 400 too. The error is the sliced W2 of 5,000 drawn points of each
held-out set to as many fresh ones, noise of sampling included, since users have it too; `floor` is
that of 5,000 other true ones.

- `long_run_error`: at the most calls.
- `calls_to_own`, `seconds_to_own`: from where on the error stays within 1.1 times that one.
- `calls_to_ancestral`, `seconds_to_ancestral`: within 1.1 times that of an ancestral diffusion of
  400 calls, and `fewer_calls`, 400 over the former.

A sampler that never arrives has no such row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from distembed.batch import SetBatch
from distembed.data.families import blobs
from distembed.divergences.sliced import SlicedW2
from distembed.embeddings import Embeddings
from distembed.evaluation.seeds import Score
from distembed.model import GDE
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["CALLS", "SAMPLERS", "Curve", "Reached", "race_of_samplers"]

CALLS = (2, 4, 6, 8, 12, 16, 20, 24, 32, 48, 100, 200)
"""Calls that are tried; the last is the long run."""
ANCESTRAL = 400
"""The long run of the ancestral diffusion: as many as it is used with."""
SLACK = 1.1
"""An error is reached at so many times the error of the long run."""
SAMPLERS = (
    ("diffusion_ancestral", "diffusion", "ancestral"),
    ("diffusion_ddim", "diffusion", "ddim"),
    ("diffusion_heun", "diffusion", "heun"),
    ("gde", "flow", None),
)
"""Label, generator and sampler; the first is what the others are compared with."""
LATENT, DRAWN, SETS, STEPS = 32, 5_000, 8, 600


@dataclass(frozen=True)
class Reached:
    """Where a sampler reaches an error: network calls, and seconds of a draw."""

    calls: int
    seconds: float


@dataclass(frozen=True)
class Curve:
    """Error and seconds of a draw at growing numbers of network calls.

    Attributes:
        calls: Numbers of calls, the last of them that of the long run.
        errors: Distance of what is drawn from the truth.
        seconds: What the draw took.
    """

    calls: Sequence[int]
    errors: Sequence[float]
    seconds: Sequence[float]

    @classmethod
    def of(cls, draw: Callable[[int], tuple[float, float]], calls: Sequence[int]) -> Curve:
        """Measure `draw(calls)`, which returns an error and seconds."""
        found = [draw(count) for count in calls]
        return cls(calls, [error for error, _ in found], [spent for _, spent in found])

    def reach(self, error: float) -> Reached | None:
        """Return the first number of calls from which on the error stays within the slack."""
        within = None
        backwards = zip(self.calls[::-1], self.errors[::-1], self.seconds[::-1], strict=True)
        for calls, found, seconds in backwards:
            if found > SLACK * error:
                break
            within = Reached(calls, seconds)
        return within


def race_of_samplers(quick: bool, threads: int, seed: int) -> Iterator[Score]:
    """Train, draw by every sampler, and yield where each arrives.

    Args:
        quick: Few sets, steps and calls: a look, not a result.
        threads: CPU threads.
        seed: Of distributions, points and weights.
    """
    sets, steps, tried, most = (4, 30, (2, 4), 8) if quick else (SETS, STEPS, CALLS, ANCESTRAL)
    train = blobs(2_000, 200, seed)
    held_out = blobs(sets, DRAWN, 1_000_000 + seed)
    points = held_out.batch(range(sets))
    fresh = held_out.batch(range(sets), DRAWN, stream(seed, "fresh"))
    settings = TrainConfig(steps=steps, warmup=steps // 5, patience=0, seed=seed, threads=threads)
    models = {
        name: GDE(generator=name, latent=LATENT).fit(train, settings, progress=False)
        for name in ("flow", "diffusion")
    }
    curves = {}
    for label, name, sampler in SAMPLERS:
        generator = cast(Any, models[name].network.generator)
        if sampler is not None:
            generator.sampler = sampler
        table = models[name].embed(points, covariance=False)
        calls = (*tried, most) if sampler == "ancestral" else tried
        curves[label] = Curve.of(_draw(models[name], table, fresh), calls)
    yield "floor", "long_run_error", float(SlicedW2()(points, fresh).mean())
    ancestral = curves[SAMPLERS[0][0]].errors[-1]
    for label, curve in curves.items():
        yield label, "long_run_error", curve.errors[-1]
        if own := curve.reach(curve.errors[-1]):
            yield label, "calls_to_own", own.calls
            yield label, "seconds_to_own", own.seconds
        if equal := curve.reach(ancestral):
            yield label, "calls_to_ancestral", equal.calls
            yield label, "seconds_to_ancestral", equal.seconds
            yield label, "fewer_calls", most / equal.calls


def _draw(model: GDE, table: Embeddings, fresh: SetBatch) -> Callable[[int], tuple[float, float]]:
    generator = cast(Any, model.network.generator)

    def draw(calls: int) -> tuple[float, float]:
        generator.calls = calls
        began = time.perf_counter()
        x = model.sample(table, DRAWN, 0)
        spent = time.perf_counter() - began
        return float(SlicedW2()(SetBatch.from_dense(torch.from_numpy(x)), fresh).mean()), spent

    return draw
