r"""Samplers of a flow: from noise at t = 0 to residual atoms at t = 1, along a velocity.

On the trigonometric path $u_t = \cos\theta\, e + \sin\theta\, u$, $\theta = \pi t / 2$, the
velocity $v = du_t / d\theta$ determines both ends of a path, $u = \sin\theta\, u_t + \cos\theta\,
v$ and $e = \cos\theta\, u_t - \sin\theta\, v$. Three solvers use it, in n equal steps of
$h = \pi / 2n$:

- `heun`: the trapezoid rule for $du / d\theta = v$, of second order, with two network calls a step
  (Karras et al., 2022, section 3). It is exact where v = 0, as on a Gaussian, at any number of
  calls.
- `ddim`: computes the next point from both ends, $\cos h\,u_t + \sin h\,v$ (Song et al., 2021,
  eq. 12), of first order, with one call a step. The mean of a shifted Gaussian is exact, but each
  step multiplies deviations by $\cos h$ where v = 0: by 0.962 over 32 steps.
- `ancestral`: the posterior $q(u_s | u_t, \hat u)$ of the noising process (Ho et al., 2020,
  eq. 6-7), which adds fresh noise; of first order, and accurate from some hundred calls on.

With the exact velocity of a mixture of two narrow modes, in sets of 1000 atoms, the errors are
within 1.1 of those of 200 calls after 8 (`heun`), 20 (`ddim`) and over 160 (`ancestral`) calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "SAMPLERS",
    "Sampler",
    "Sampling",
    "Velocity",
    "ancestral",
    "ddim",
    "heun",
    "trapezoid",
]

Velocity = Callable[[Tensor, Tensor], Tensor]
"""The velocity of atoms `(B, n, D)` at a scalar t."""

Sampler = Callable[[Velocity, Tensor, int, torch.Generator], Tensor]
"""A solver `(velocity, noise, calls, rng)`, which returns residual atoms `(B, n, D)`."""


def heun(velocity: Velocity, u: Tensor, calls: int, rng: torch.Generator | None = None) -> Tensor:
    """Integrate a velocity by Heun's method.

    Args:
        velocity: The derivative of u by the angle, a function of `(u, t)`.
        u: Noise, `(B, n, D)`.
        calls: Evaluations of the velocity, two a step.
        rng: Not used.
    """
    return trapezoid(velocity, u, calls // 2)


def trapezoid(velocity: Velocity, u: Tensor, steps: int, backward: bool = False) -> Tensor:
    """Integrate a velocity from t = 0 to 1 by Heun's method, or backward from t = 1 to 0.

    The one inverts the other up to the error of the method, of order h^2.

    Args:
        velocity: The derivative of u by the angle, a function of `(u, t)`.
        u: Noise at t = 0, or residual atoms at t = 1, `(B, n, D)`.
        steps: Steps, two evaluations of the velocity each.
        backward: Whether to start at t = 1.
    """
    h = (-1 if backward else 1) * torch.pi / 2 / steps
    times = torch.linspace(0, 1, steps + 1, dtype=u.dtype, device=u.device)
    times = times.flip(0) if backward else times
    for t, after in zip(times[:-1], times[1:], strict=True):
        first = velocity(u, t)
        second = velocity(u + h * first, after)
        u = u + h / 2 * (first + second)
    return u


def ddim(velocity: Velocity, u: Tensor, calls: int, rng: torch.Generator | None = None) -> Tensor:
    """Rotate by an angle h per call; the arguments are those of `heun`."""
    h = torch.tensor(torch.pi / 2 / calls, dtype=u.dtype, device=u.device)
    for t in torch.linspace(0, 1, calls + 1, dtype=u.dtype, device=u.device)[:-1]:
        u = h.cos() * u + h.sin() * velocity(u, t)
    return u


def ancestral(velocity: Velocity, u: Tensor, calls: int, rng: torch.Generator) -> Tensor:
    """Draw from the posterior of the noising process at each call; `rng` draws fresh noise."""
    times = torch.linspace(0, 1, calls + 1, dtype=u.dtype, device=u.device)
    for t, after in zip(times[:-1], times[1:], strict=True):
        angle, next_angle = torch.pi / 2 * t, torch.pi / 2 * after
        signal, noise = angle.sin(), angle.cos()
        next_signal, next_noise = next_angle.sin(), next_angle.cos()
        clean = signal * u + noise * velocity(u, t)
        ratio = signal / next_signal
        added = (noise.square() - (ratio * next_noise).square()).clamp_min(0)
        mean = ratio * (next_noise / noise).square() * u
        mean = mean + next_signal * added / noise.square() * clean
        fresh = torch.randn(u.shape, generator=rng, dtype=u.dtype, device=u.device)
        u = mean + added.sqrt() * next_noise / noise * fresh
    return u


SAMPLERS: dict[str, Sampler] = {"heun": heun, "ddim": ddim, "ancestral": ancestral}


@dataclass(frozen=True)
class Sampling:
    """How a flow draws atoms; it may be replaced after training, except for `dropout`.

    Attributes:
        sampler: A name of `SAMPLERS`.
        calls: Network calls of a draw; guidance doubles them.
        guidance: Weight of classifier-free guidance; 1 is without guidance.
        dropout: Probability that a set is shown without its embedding in training, which guidance
            needs.

    Raises:
        ValueError: If the sampler is unknown or a number is out of range.

    Example:
        >>> Sampling("ddim", calls=20).calls
        20
    """

    sampler: str = "heun"
    calls: int = 16
    guidance: float = 1.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            names = ", ".join(map(repr, SAMPLERS))
            raise ValueError(f"sampler is {self.sampler!r}; there are: {names}.")
        if self.calls < 1 or (self.sampler == "heun" and self.calls % 2):
            raise ValueError(
                f"calls = {self.calls}; a draw takes at least one network call, and with 'heun' "
                "an even number: Heun's method takes two network calls a step."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(
                f"dropout = {self.dropout}; it is the fraction of sets that are shown without "
                "their embedding, in [0, 1). 0.1 is usual."
            )
        if self.guidance != 1 and not self.dropout:
            raise ValueError(
                f"guidance = {self.guidance} with dropout = 0: guidance extrapolates from the "
                "average set, which a network learns only if some sets are trained without "
                "embeddings. Set dropout, 0.1 is usual, or guidance = 1."
            )
