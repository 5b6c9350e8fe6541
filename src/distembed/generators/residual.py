r"""What a flow and a diffusion both learn: the velocity of residual atoms on a path from noise.

Residual atoms u of the conditional Gaussian base are joined to noise e by the trigonometric path

    u_t = cos(pi t / 2) e + sin(pi t / 2) u,      v = cos(pi t / 2) u - sin(pi t / 2) e,

v its derivative by the angle. The path keeps unit variance: where the base is exact, E[v | u_t] is
zero, and the network has nothing to learn (Albergo and Vanden-Eijnden, 2023, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.generators.base import ConditionalGaussian

__all__ = ["integrate", "residual_loss"]


def residual_loss(
    base: ConditionalGaussian,
    field: Callable[[Tensor, Tensor], Tensor],
    batch: SetBatch,
    z: Tensor,
    rng: torch.Generator,
) -> Tensor:
    """Score each set: the likelihood of the base, and what a velocity field gains over none.

    Args:
        base: The conditional Gaussian.
        field: Velocity of `(u_t, t)`, `(N, D), (N,) -> (N, D)`.
        batch: The sets.
        z: Their embeddings, `(B, L)`.
        rng: Source of noise and times.

    Returns:
        `(B,)`; the gain is $|f - v|^2 - |v|^2$. The plain error falls where the base is too wide
        and u is small, and validation would choose such a base.
    """
    gaussian = base(z)
    u = gaussian.whiten(batch).detach()
    e = torch.randn(u.shape, generator=rng, device=u.device, dtype=u.dtype)
    t = torch.rand(len(u), generator=rng, device=u.device, dtype=u.dtype)
    angle = (torch.pi / 2 * t).unsqueeze(1)
    path, velocity = angle.cos() * e + angle.sin() * u, angle.cos() * u - angle.sin() * e
    found = field(path, t)
    gain = batch.mean((found * (found - 2 * velocity)).mean(1))
    return base.negative_log_likelihood(batch, gaussian) + gain


def integrate(velocity: Callable[[Tensor, Tensor], Tensor], u: Tensor, calls: int) -> Tensor:
    """Follow a velocity from noise at t = 0 to residual atoms at t = 1, by Heun's method.

    Where the velocity is zero, as it is on a Gaussian, there is no error at any number of calls.

    Args:
        velocity: Of `(u, t)`, t a scalar.
        u: Noise, `(B, n, D)`.
        calls: Evaluations of the velocity, two a step.
    """
    steps = calls // 2
    h = torch.pi / 2 / steps
    times = torch.linspace(0, 1, steps + 1, device=u.device)
    for t, after in zip(times[:-1], times[1:], strict=True):
        first = velocity(u, t)
        second = velocity(u + h * first, after)
        u = u + h / 2 * (first + second)
    return u
