r"""Conditional flow matching from a conditional Gaussian base (Lipman et al., 2023).

The network regresses the velocity of residual atoms on a path of `generators.residual`. The flow
is the identity until the data ask for more, and a solver makes no error on a Gaussian, however few
its steps. Sampling integrates the velocity from noise at t = 0 by `generators.samplers.heun`, two
network calls a step.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import ConditionalGaussian
from distembed.generators.residual import ARC, LINE, residual_loss
from distembed.generators.samplers import check_calls, heun
from distembed.nn.backbone import backbone as build_backbone

__all__ = ["Flow"]

_BRIDGES = {"independent": ARC, "ot": LINE}


class Flow(nn.Module):
    """Flow matching, the default generator.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the velocity network.
        depth: Its number of residual blocks.
        calls: Network calls of a draw, even.
        coupling: `independent` noise, or noise matched to the atoms of its set by optimal
            transport, `ot`.
        backbone: The velocity network: `mlp`, or `unet` for images.

    Raises:
        ValueError: If `calls` is odd or below 2, or a name is unknown.

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
        coupling: Literal["independent", "ot"] = "independent",
        backbone: str = "mlp",
    ) -> None:
        super().__init__()
        check_calls(calls)
        if coupling not in _BRIDGES:
            raise ValueError(f"coupling is {coupling!r}; there are: 'independent', 'ot'.")
        self.event_shape, self.calls, self.bridge = tuple(event_shape), calls, _BRIDGES[coupling]
        self.base = ConditionalGaussian(math.prod(event_shape), latent, width)
        self.field = build_backbone(backbone, self.event_shape, latent, width, depth)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Start the base from the moments of training sets."""
        self.base.prepare(batch, z)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set: likelihood of the base, and what the velocity field gains, `(B,)`."""
        return residual_loss(
            self.base, lambda u, t: self.field(u, z, t, batch.expand), batch, z, rng, self.bridge
        )

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        gaussian = self.base(z)
        shape = (len(z), n, math.prod(self.event_shape))
        noise = torch.randn(shape, generator=rng, device=z.device)

        def velocity(u: Tensor, t: Tensor) -> Tensor:
            found: Tensor = self.field(u, z, t, _over_atoms)
            return found

        u = heun(velocity, noise, self.calls, rng, self.bridge.length)
        drawn: Tensor = gaussian.colour(u)
        return drawn.reshape(len(z), n, *self.event_shape)


def _over_atoms(v: Tensor) -> Tensor:
    return v.unsqueeze(1)
