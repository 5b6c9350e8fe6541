r"""How many network calls a sampler needs.

Twice: with a flow and a diffusion that are trained on mixtures in the plane, where a sampler is
good enough once its error hides behind the network's; and with the exact velocity of a ring of
narrow modes, where there is no other error than its own. Draws take 2 to 200 calls, of the
ancestral diffusion 400 too. The error is the sliced W2 of 5,000 drawn points of each set to as
many fresh ones, noise of sampling included, since users have it too; `floor` is that of other true
ones.

- `long_run_error`: at the most calls.
- `calls_to_own`, `seconds_to_own`: from where on the error stays within 1.1 times that one.
- `calls_to_ancestral`, `seconds_to_ancestral`: within 1.1 times that of an ancestral diffusion of
  400 calls, and `fewer_calls`, 400 over the former.

A sampler that never arrives has no such row.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.seeds import Score
from distembed.data.synthetic.families import blobs
from distembed.divergences.sliced import SlicedW2
from distembed.generators.samplers import SAMPLERS
from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["CALLS", "Curve", "Reached", "ring_velocity", "race_of_samplers", "race_on_a_ring"]

CALLS = (2, 4, 6, 8, 12, 16, 20, 24, 32, 48, 100, 200)
"""Calls that are tried; the last is the long run."""
ANCESTRAL = 400
"""The long run of the ancestral diffusion: as many as it is used with."""
SLACK = 1.1
"""An error is reached at so many times the error of the long run."""
TRAINED = (
    ("diffusion_ancestral", "diffusion", "ancestral"),
    ("diffusion_ddim", "diffusion", "ddim"),
    ("diffusion_heun", "diffusion", "heun"),
    ("gde", "flow", None),
)
"""Label, generator and sampler; the first is what the others are compared with."""
MODES, WIDTH = 8, 0.1
"""Of the ring, whose covariance is the identity."""
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
    for label, name, sampler in TRAINED:
        generator = cast(Any, models[name].network.generator)
        if sampler is not None:
            generator.sampling = replace(generator.sampling, sampler=sampler)
        table = models[name].embed(points, covariance=False)
        calls = (*tried, most) if sampler == "ancestral" else tried
        curves[label] = Curve.of(_draw(models[name], table, fresh), calls)
    yield "floor", "long_run_error", float(SlicedW2()(points, fresh).mean())
    yield from _arrivals(curves, TRAINED[0][0], most)


def race_on_a_ring(quick: bool, seed: int) -> Iterator[Score]:
    """Draw by every sampler from a velocity that is known, and yield where each arrives.

    Args:
        quick: Few sets and calls: a look, not a result.
        seed: Of noise and points.
    """
    sets, tried, most = (2, (2, 4, 8), 16) if quick else (SETS, CALLS, ANCESTRAL)
    rng = stream(seed, "ring")
    noise, points, fresh = torch.randn(3, sets, DRAWN, 2, generator=rng)
    points, fresh = (_on_ring(e, rng) for e in (points, fresh))
    truth = SetBatch.from_dense(fresh)

    def drawing(sampler: str) -> Callable[[int], tuple[float, float]]:
        def draw(calls: int) -> tuple[float, float]:
            began = time.perf_counter()
            x = SAMPLERS[sampler](ring_velocity, noise, calls, stream(seed, "ring", calls))
            spent = time.perf_counter() - began
            return float(SlicedW2()(SetBatch.from_dense(x), truth).mean()), spent

        return draw

    curves = {
        name: Curve.of(drawing(name), (*tried, most) if name == "ancestral" else tried)
        for name in SAMPLERS
    }
    yield "floor", "long_run_error", float(SlicedW2()(SetBatch.from_dense(points), truth).mean())
    yield from _arrivals(curves, "ancestral", most)


def ring_velocity(u: Tensor, t: Tensor) -> Tensor:
    r"""Velocity of `generators.samplers` where atoms are on the ring, `(..., 2)`.

    A mode $N(\mu_k, s^2)$ is $N(\sin\theta\,\mu_k, c^2)$ at the angle $\theta$, with
    $c^2 = \cos^2\theta + s^2 \sin^2\theta$, and there

        v_k = cos(theta) mu_k + sin(theta) cos(theta) (s^2 - 1) / c^2 (u - sin(theta) mu_k).
    """
    signal, noise = (torch.pi / 2 * t).sin(), (torch.pi / 2 * t).cos()
    variance = noise.square() + (WIDTH * signal).square()
    gap = u.unsqueeze(-2) - signal * _modes().to(u)
    share = (-gap.square().sum(-1, keepdim=True) / (2 * variance)).softmax(-2)
    slope = signal * noise * (WIDTH**2 - 1) / variance
    return (share * (noise * _modes().to(u) + slope * gap)).sum(-2)


def _modes() -> Tensor:
    angle = 2 * math.pi * torch.arange(MODES, dtype=torch.float64) / MODES
    return math.sqrt(2 * (1 - WIDTH**2)) * torch.stack([angle.cos(), angle.sin()], 1)


def _on_ring(e: Tensor, rng: torch.Generator) -> Tensor:
    return _modes().to(e)[torch.randint(MODES, e.shape[:-1], generator=rng)] + WIDTH * e


def _arrivals(curves: Mapping[str, Curve], ancestral: str, most: int) -> Iterator[Score]:
    """Yield where each sampler reaches its own long run, and that of the ancestral one."""
    for label, curve in curves.items():
        yield label, "long_run_error", curve.errors[-1]
        if own := curve.reach(curve.errors[-1]):
            yield label, "calls_to_own", own.calls
            yield label, "seconds_to_own", own.seconds
        if equal := curve.reach(curves[ancestral].errors[-1]):
            yield label, "calls_to_ancestral", equal.calls
            yield label, "seconds_to_ancestral", equal.seconds
            yield label, "fewer_calls", most / equal.calls


def _draw(model: GDE, table: Embeddings, fresh: SetBatch) -> Callable[[int], tuple[float, float]]:
    generator = cast(Any, model.network.generator)

    def draw(calls: int) -> tuple[float, float]:
        generator.sampling = replace(generator.sampling, calls=calls)
        began = time.perf_counter()
        x = model.sample(table, DRAWN, 0)
        spent = time.perf_counter() - began
        return float(SlicedW2()(SetBatch.from_dense(torch.from_numpy(x)), fresh).mean()), spent

    return draw
