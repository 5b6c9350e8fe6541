r"""A normalising flow of rational-quadratic splines (Durkan et al., 2019), by zuko.

    log p(u | z) = log N(f(u; z); 0, I) + log |det df/du|

f stacks autoregressive transforms, whose monotonic splines are the identity outside [-5, 5] and,
at the start, nearly the identity inside. In few dimensions each number has a spline of its own
given those before it, and the inverse takes one network call per dimension; in many, half of the
numbers transform the other half, and the inverse takes two. zuko draws from torch's global
generator; here noise of the caller's generator passes through zuko's inverse.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.registry import need

__all__ = ["SplineFlow"]


class SplineFlow(nn.Module):
    """A conditional density of vectors that starts near N(0, I).

    Args:
        dim: Dimension D.
        latent: Dimension L of the embedding.
        width: Width of the networks.
        depth: Number of transforms.
        autoregressive_up_to: Largest dimension in which transforms are autoregressive; above,
            they couple two halves.

    Raises:
        ImportError: If zuko is not installed; the extra `flows` brings it.
    """

    def __init__(
        self, dim: int, latent: int, width: int, depth: int, autoregressive_up_to: int = 8
    ) -> None:
        super().__init__()
        zuko = need("zuko", "flows")
        self.dim = dim
        self.flow = zuko.flows.NSF(
            dim,
            latent,
            transforms=depth,
            hidden_features=(width, width),
            passes=None if dim <= autoregressive_up_to else 2,
            activation=nn.SiLU,
        )
        for transform in self.flow.transform.transforms:
            last = transform.hyper[-1]
            nn.init.zeros_(last.bias)
            last.weight.data.mul_(0.1)

    def log_prob(self, batch: SetBatch, u: Tensor, z: Tensor) -> Tensor:
        """Return log densities in nats of the atoms u `(N, D)` of a batch, `(N,)`."""
        noise, log_det = self.flow(batch.expand(z)).transform.call_and_ladj(u)
        nats: Tensor = log_det - noise.square().sum(1) / 2 - self.dim * math.log(2 * math.pi) / 2
        return nats

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n vectors of each set, `(B, n, D)`."""
        noise = torch.randn(len(z), n, self.dim, generator=rng, device=z.device)
        return self.atoms(noise, z)

    def noise(self, u: Tensor, z: Tensor) -> Tensor:
        """Return the noise of vectors u `(B, n, D)`, from which `atoms` returns them."""
        e: Tensor = self._transform(z, u.shape[1])(u)
        return e

    def atoms(self, e: Tensor, z: Tensor) -> Tensor:
        """Return the vectors of noise e, `(B, n, D)`."""
        u: Tensor = self._transform(z, e.shape[1]).inv(e)
        return u

    def _transform(self, z: Tensor, n: int) -> Any:
        return self.flow(z.unsqueeze(1).expand(-1, n, -1)).transform
