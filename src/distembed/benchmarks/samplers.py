r"""Network calls that a sampler needs.

Twice: with a flow and a diffusion that are trained on mixtures in the plane, where a sampler is
good enough once its error hides behind the network's; and with the exact velocity of a ring of
narrow modes, where there is no other error than its own. Draws take 2 to 200 calls, and those of
the ancestral diffusion 400 too. The error is the sliced W2 of 5,000 drawn atoms of each set to as
many fresh ones, noise of sampling included, since users have it too; `floor` is that of other true
atoms.

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
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.benchmarks.bench import Arm, Bench, Task, Trial, held_out_seed
from distembed.data.synthetic.base import Known
from distembed.data.synthetic.families import blobs
from distembed.divergences.sliced import SlicedW2
from distembed.evaluation.result import Score
from distembed.generators.flow import Flow
from distembed.generators.samplers import SAMPLERS
from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.training.config import TrainConfig

__all__ = ["BENCH", "TASKS", "Arrival", "Curve", "Ring", "Settings"]


@dataclass(frozen=True)
class Ring:
    """Narrow Gaussian modes on a circle; mean 0 and covariance I.

    Attributes:
        modes: Number of modes.
        width: Standard deviation of each.
    """

    modes: int = 8
    width: float = 0.1

    @property
    def means(self) -> Tensor:
        """Means of the modes, `(K, 2)` float64."""
        angle = 2 * math.pi * torch.arange(self.modes, dtype=torch.float64) / self.modes
        return math.sqrt(2 * (1 - self.width**2)) * torch.stack([angle.cos(), angle.sin()], 1)

    def atoms(self, noise: Tensor, rng: torch.Generator) -> Tensor:
        """Turn standard normal noise `(..., 2)` into atoms."""
        mode = torch.randint(self.modes, noise.shape[:-1], generator=rng)
        return self.means.to(noise)[mode] + self.width * noise

    def velocity(self, u: Tensor, t: Tensor) -> Tensor:
        r"""Return the velocity of `generators.samplers` at points `(..., 2)`.

        A mode $N(\mu_k, s^2)$ is $N(\sin\theta\,\mu_k, c^2)$ at the angle $\theta$, with
        $c^2 = \cos^2\theta + s^2 \sin^2\theta$, and there

            v_k = cos(theta) mu_k + sin(theta) cos(theta) (s^2 - 1) / c^2 (u - sin(theta) mu_k).
        """
        means = self.means.to(u)
        signal, noise = (torch.pi / 2 * t).sin(), (torch.pi / 2 * t).cos()
        variance = noise.square() + (self.width * signal).square()
        gap = u.unsqueeze(-2) - signal * means
        share = (-gap.square().sum(-1, keepdim=True) / (2 * variance)).softmax(-2)
        slope = signal * noise * (self.width**2 - 1) / variance
        return (share * (noise * means + slope * gap)).sum(-2)


@dataclass(frozen=True)
class Settings:
    """Sizes, schedule and arms.

    Attributes:
        training: The defaults but for a short schedule.
        arms: Trained models.
        samplers: Label, arm and sampler of each curve; the first is what the others are compared
            with, and None is the sampler of the arm itself.
        ring: The distribution with an exact velocity.
        latent: Dimension of the embedding.
        train_sets: Training sets, and atoms of each.
        sets: Held-out sets.
        drawn: Atoms that are drawn of each.
        calls: Network calls; the last is the long run.
        ancestral_calls: The long run of the ancestral diffusion.
        slack: An error is reached at so many times the error of the long run.
    """

    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=600, warmup=120, patience=0, threads=2)
    )
    arms: tuple[Arm, ...] = (Arm("flow"), Arm("diffusion", generator="diffusion"))
    samplers: tuple[tuple[str, str, str | None], ...] = (
        ("diffusion_ancestral", "diffusion", "ancestral"),
        ("diffusion_ddim", "diffusion", "ddim"),
        ("diffusion_heun", "diffusion", "heun"),
        ("gde", "flow", None),
    )
    ring: Ring = Ring()
    latent: int = 32
    train_sets: tuple[int, int] = (2_000, 200)
    sets: int = 8
    drawn: int = 5_000
    calls: tuple[int, ...] = (2, 4, 6, 8, 12, 16, 20, 24, 32, 48, 100, 200)
    ancestral_calls: int = 400
    slack: float = 1.1


class Arrival(NamedTuple):
    """Network calls and seconds of a draw at which a sampler reaches an error."""

    calls: int
    seconds: float


@dataclass(frozen=True)
class Curve:
    """Error and seconds of a draw at growing numbers of network calls.

    Attributes:
        calls: Numbers of calls, the last of them that of the long run.
        errors: Distance of the draw from the truth.
        seconds: Wall time of the draw.
    """

    calls: Sequence[int]
    errors: Sequence[float]
    seconds: Sequence[float]

    @classmethod
    def of(cls, draw: Callable[[int], tuple[float, float]], calls: Sequence[int]) -> Curve:
        """Measure `draw(calls)`, which returns an error and seconds."""
        results = [draw(count) for count in calls]
        return cls(calls, [error for error, _ in results], [seconds for _, seconds in results])

    def reach(self, error: float, slack: float = 1.1) -> Arrival | None:
        """Return the first number of calls from which on errors stay within `slack * error`."""
        arrival = None
        backwards = zip(self.calls[::-1], self.errors[::-1], self.seconds[::-1], strict=True)
        for calls, value, seconds in backwards:
            if value > slack * error:
                break
            arrival = Arrival(calls, seconds)
        return arrival


def _timed_error(draw: Callable[[], Tensor], truth: SetBatch) -> tuple[float, float]:
    """Return the sliced W2 of drawn atoms `(S, n, D)` to the truth, and the time of the draw."""
    began = time.perf_counter()
    x = draw()
    seconds = time.perf_counter() - began
    return float(SlicedW2()(SetBatch.from_dense(x), truth).mean()), seconds


def _arrivals(curves: Mapping[str, Curve], ancestral: str, settings: Settings) -> Iterator[Score]:
    """Yield where each sampler reaches its own long run, and that of the ancestral one."""
    for label, curve in curves.items():
        yield Score("long_run_error", label, curve.errors[-1])
        if own := curve.reach(curve.errors[-1], settings.slack):
            yield Score("calls_to_own", label, own.calls)
            yield Score("seconds_to_own", label, own.seconds)
        if equal := curve.reach(curves[ancestral].errors[-1], settings.slack):
            yield Score("calls_to_ancestral", label, equal.calls)
            yield Score("seconds_to_ancestral", label, equal.seconds)
            yield Score("fewer_calls", label, settings.ancestral_calls / equal.calls)


def _calls(sampler: str | None, settings: Settings) -> tuple[int, ...]:
    more = (settings.ancestral_calls,) if sampler == "ancestral" else ()
    return (*settings.calls, *more)


def _blobs(settings: Settings, seed: int) -> tuple[Known, Known]:
    test = blobs(settings.sets, settings.drawn, held_out_seed(seed))
    return blobs(*settings.train_sets, seed), test


def _trained(trial: Trial[Settings]) -> Iterator[Score]:
    """Train, draw by every sampler, and yield where each arrives."""
    settings = trial.settings
    train, test = trial.data()
    atoms = test.batch(range(settings.sets))
    fresh = test.batch(range(settings.sets), settings.drawn, stream(trial.seed, "fresh"))
    models, seconds = {}, 0.0
    for arm in settings.arms:
        fitted = trial.fit(arm.model(settings.latent), train)
        models[arm.label] = fitted.model
        seconds += fitted.seconds
    curves = {}
    for label, name, sampler in settings.samplers:
        if sampler is not None:
            flow = cast(Flow, models[name].network.generator)
            flow.sampling = replace(flow.sampling, sampler=sampler)
        table = models[name].embed(atoms, covariance=False)
        draw = _model_draw(models[name], table, fresh, settings)
        curves[label] = Curve.of(draw, _calls(sampler, settings))
    scores = list(_arrivals(curves, settings.samplers[0][0], settings))
    scores.append(Score("long_run_error", "floor", float(SlicedW2()(atoms, fresh).mean())))
    yield from trial.report("all samplers", scores, seconds)


def _model_draw(
    model: GDE, table: Embeddings, fresh: SetBatch, settings: Settings
) -> Callable[[int], tuple[float, float]]:
    flow = cast(Flow, model.network.generator)

    def draw(calls: int) -> tuple[float, float]:
        flow.sampling = replace(flow.sampling, calls=calls)
        count = settings.drawn
        return _timed_error(lambda: torch.from_numpy(model.sample(table, count, 0)), fresh)

    return draw


def _exact(trial: Trial[Settings]) -> Iterator[Score]:
    """Draw by every sampler from the exact velocity, and yield where each arrives."""
    settings, ring = trial.settings, trial.settings.ring
    rng = stream(trial.seed, "ring")
    noise, x, fresh = torch.randn(3, settings.sets, settings.drawn, 2, generator=rng)
    atoms, truth = (SetBatch.from_dense(ring.atoms(e, rng)) for e in (x, fresh))

    def draw_by(sampler: str) -> Callable[[int], tuple[float, float]]:
        def draw(calls: int) -> tuple[float, float]:
            own = stream(trial.seed, "ring", calls)
            return _timed_error(lambda: SAMPLERS[sampler](ring.velocity, noise, calls, own), truth)

        return draw

    curves = {name: Curve.of(draw_by(name), _calls(name, settings)) for name in SAMPLERS}
    scores = list(_arrivals(curves, "ancestral", settings))
    scores.append(Score("long_run_error", "floor", float(SlicedW2()(atoms, truth).mean())))
    yield from trial.report("all samplers", scores)


TASKS = {
    "trained networks": Task(_trained, _blobs),
    "exact velocity": Task(_exact),
}
BENCH = Bench(
    "samplers",
    TASKS,
    {
        "tiny": Settings(
            TrainConfig(steps=2, warmup=1, every=2, batch=4, target=4, context=(8, 16), threads=1),
            latent=8,
            train_sets=(20, 20),
            sets=2,
            drawn=300,
            calls=(2, 4, 8),
            ancestral_calls=16,
        ),
        "quick": Settings(
            TrainConfig(steps=30, warmup=6, patience=0, threads=2),
            sets=4,
            calls=(2, 4, 8),
            ancestral_calls=16,
        ),
        "full": Settings(),
    },
    serial=True,
)
