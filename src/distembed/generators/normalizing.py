r"""A normalising flow of rational-quadratic splines (Durkan et al., 2019), by zuko.

    log p(u | z) = log N(f(u; z); 0, I) + log |det df/du|

f stacks autoregressive transforms, whose monotonic splines are the identity outside [-5, 5] and,
at the start, about the identity inside. Up to `AUTOREGRESSIVE_UP_TO` dimensions each number has
a spline of its own given those before it, and the inverse takes one network call a dimension;
above, half of the numbers move the other half, and the inverse takes two. zuko draws from
torch's global generator; here noise of the caller's generator goes through zuko's inverse.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.registry import need

__all__ = ["SplineFlow"]

AUTOREGRESSIVE_UP_TO = 8


class SplineFlow(nn.Module):
    """A conditional density of vectors about N(0, I).

    Args:
        dim: Dimension D.
        latent: Dimension L of the embedding.
        width: Width of the networks.
        depth: Number of transforms.

    Raises:
        ImportError: If zuko is not installed; the extra `flows` brings it.
    """

    def __init__(self, dim: int, latent: int, width: int, depth: int) -> None:
        super().__init__()
        zuko = need("zuko", "flows")
        self.dim = dim
        self.flow = zuko.flows.NSF(
            dim,
            latent,
            transforms=depth,
            hidden_features=(width, width),
            passes=None if dim <= AUTOREGRESSIVE_UP_TO else 2,
            activation=nn.SiLU,
        )
        for transform in self.flow.transform.transforms:
            last = transform.hyper[-1]
            nn.init.zeros_(last.bias)
            last.weight.data.mul_(0.1)

    def log_prob(self, batch: SetBatch, u: Tensor, z: Tensor) -> Tensor:
        """Return nats of atoms `(N, D)` that belong to the sets of a batch, `(N,)`."""
        noise, log_det = self.flow(batch.expand(z)).transform.call_and_ladj(u)
        found: Tensor = log_det - noise.square().sum(1) / 2 - self.dim * math.log(2 * math.pi) / 2
        return found

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n vectors of each set, `(B, n, D)`."""
        noise = torch.randn(len(z), n, self.dim, generator=rng, device=z.device)
        wide = z.unsqueeze(1).expand(-1, n, -1)
        drawn: Tensor = self.flow(wide).transform.inv(noise)
        return drawn
