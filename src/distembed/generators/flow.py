r"""Conditional flow matching from a conditional Gaussian base (Lipman et al., 2023).

The network regresses the velocity of residual atoms on the path of `generators.residual`. The flow
is the identity until the data ask for more, and a solver makes no error on a Gaussian, however few
its steps. Sampling integrates $du / d\theta = v(u, t, z)$ over $\theta = \pi t / 2$ from noise at
t = 0 with Heun's method, two network calls a step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import ConditionalGaussian
from distembed.generators.residual import integrate, residual_loss
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
        return residual_loss(
            self.base, lambda u, t: self.field(u, z, t, batch.expand), batch, z, rng
        )

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        gaussian = self.base(z)
        shape = (len(z), n, math.prod(self.event_shape))
        noise = torch.randn(shape, generator=rng, device=z.device)
        u = integrate(lambda u, t: self.field(u, z, t, _over_atoms), noise, self.calls)
        drawn: Tensor = gaussian.colour(u)
        return drawn.reshape(len(z), n, *self.event_shape)


def _over_atoms(v: Tensor) -> Tensor:
    return v.unsqueeze(1)
