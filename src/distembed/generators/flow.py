r"""Conditional flow matching from a conditional Gaussian base.

Residual atoms u of the base are joined to noise e by the trigonometric path

    u_t = cos(pi t / 2) e + sin(pi t / 2) u,      v = du_t / dt,

and a network regresses $v$ on $(u_t, t, z)$ (Lipman et al., 2023; the path: Albergo and
Vanden-Eijnden, 2023, section 3.1). The path keeps unit variance, so where the base is exact
$E[v | u_t] = 0$: the flow is the identity until the data ask for more, and a solver makes no error
on a Gaussian, however few its steps. Sampling integrates $\dot u = v(u, t, z)$ from e at t = 0
with Heun's method, two network calls a step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import ConditionalGaussian
from distembed.nn.film import FiLMNet

__all__ = ["Flow"]


class Flow(nn.Module):
    """Flow matching, the default generator.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the velocity network.
        depth: Its number of residual blocks.
        calls: Network calls of a draw, even.

    Raises:
        ValueError: If `calls` is odd or below 2.

    Example:
        >>> flow = Flow((2,), latent=4)
        >>> flow.sample(torch.zeros(3, 4), 5, torch.Generator()).shape
        torch.Size([3, 5, 2])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 128,
        depth: int = 3,
        calls: int = 16,
    ) -> None:
        super().__init__()
        if calls < 2 or calls % 2:
            raise ValueError(f"calls = {calls}; Heun's method takes two network calls a step.")
        self.event_shape, self.calls = tuple(event_shape), calls
        dim = math.prod(event_shape)
        self.base = ConditionalGaussian(dim, latent, width)
        self.field = FiLMNet(dim, latent, width, depth)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Start the base from the moments of training sets."""
        self.base.prepare(batch, z)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set: likelihood of the base, and what the velocity field gains, `(B,)`."""
        gaussian = self.base(z)
        nll = self.base.negative_log_likelihood(batch, gaussian)
        u = gaussian.whiten(batch).detach()
        e = torch.randn(u.shape, generator=rng, device=u.device, dtype=u.dtype)
        t = torch.rand(len(u), generator=rng, device=u.device, dtype=u.dtype)
        angle = (torch.pi / 2 * t).unsqueeze(1)
        path, velocity = angle.cos() * e + angle.sin() * u, angle.cos() * u - angle.sin() * e
        field = self.field(path, z, t, batch.expand)
        # the error less that of a zero field, |f - v|^2 - |v|^2: a wider base would shrink the
        # plain error, and validation would choose it for that
        return nll + batch.mean((field * (field - 2 * velocity)).mean(1))

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        gaussian = self.base(z)
        shape = (len(z), n, math.prod(self.event_shape))
        u = torch.randn(shape, generator=rng, device=z.device)
        steps = self.calls // 2
        h = torch.pi / 2 / steps

        def velocity(u: Tensor, step: float) -> Tensor:
            t = torch.full((), step / steps, device=u.device)
            out: Tensor = self.field(u, z, t, lambda v: v.unsqueeze(1))
            return out

        for k in range(steps):
            first = velocity(u, k)
            second = velocity(u + h * first, k + 1)
            u = u + h / 2 * (first + second)
        drawn: Tensor = gaussian.colour(u)
        return drawn.reshape(len(z), n, *self.event_shape)
