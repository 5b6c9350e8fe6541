r"""A mixture of Gaussians whose parts depend on an embedding.

    p(u | z) = sum_k softmax(a)_k N(u; m_k, (P_k^T P_k)^{-1})

with a, m and upper triangular P functions of z. Predicting the factor of the *precision* makes a
density a product and leaves the triangular solve to sampling. P is full up to `FULL_UP_TO`
dimensions and diagonal above. The logarithm of its diagonal is bounded smoothly by
`NARROWEST`, so that no part falls on a single atom. All parts start with the same weight and
precision at centred locations, placed so that mean and covariance of the mixture are 0 and I.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import FULL_UP_TO
from distembed.nn.mlp import MLP, shrink
from distembed.nn.per_set import apply_per_set
from distembed.nn.precision import reduced

__all__ = ["Mixture"]

NARROWEST = 4.0
"""Parts are between exp(-4) and exp(4) wide, where the mixture has unit deviation."""


class Mixture(nn.Module):
    """A conditional density of vectors about N(0, I).

    Args:
        dim: Dimension D.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Its hidden layers.
        components: Number K of parts.

    Raises:
        ValueError: If there is no part.
    """

    start: Tensor

    def __init__(self, dim: int, latent: int, width: int, depth: int, components: int) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"components = {components}; a mixture has at least one part.")
        self.dim, self.components, self.full = dim, components, dim <= FULL_UP_TO
        self.register_buffer("start", self._start())
        self.network = MLP(latent, self.start.numel(), width, depth)
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        shrink(last, 0.01)

    def log_prob(self, batch: SetBatch, u: Tensor, z: Tensor) -> Tensor:
        """Return nats of atoms `(N, D)` that belong to the sets of a batch, `(N,)`."""
        log_share, mean, factor = self._parts(z)
        centre = self._times(factor, mean)
        if self.full:
            scaled = apply_per_set(batch, factor.flatten(1, 2), u).view(len(u), *mean.shape[1:])
        else:
            scaled = batch.expand(factor) * u.unsqueeze(1)
        distance = (scaled - batch.expand(centre)).square().sum(2) / 2
        diagonal = factor.diagonal(dim1=2, dim2=3) if self.full else factor
        height = log_share + diagonal.log().sum(2) - self.dim * math.log(2 * math.pi) / 2
        return torch.logsumexp(batch.expand(height) - distance, 1)

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n vectors of each set, `(B, n, D)`."""
        log_share, mean, factor = self._parts(z)
        part = torch.multinomial(log_share.exp(), n, replacement=True, generator=rng)
        noise = torch.randn(len(z), n, self.dim, generator=rng, device=z.device)
        drawn = torch.zeros_like(noise)
        # every part for every atom: K times the work, but no matrix for each atom
        for k in range(self.components):
            if self.full:
                solved = torch.linalg.solve_triangular(factor[:, k], noise.mT, upper=True).mT
            else:
                solved = noise / factor[:, k].unsqueeze(1)
            here = (part == k).unsqueeze(2)
            drawn = torch.where(here, mean[:, k].unsqueeze(1) + solved, drawn)
        return drawn

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log shares `(B, K)`, means `(B, K, D)`, factors `(B, K, D, D)` or diagonals."""
        with reduced(z.device):
            found = self.network(z)
        h = self.start + found.float().view(len(z), *self.start.shape)
        logit, mean, log_diagonal, off = h.split(self._widths(), 2)
        diagonal = (NARROWEST * torch.tanh(log_diagonal / NARROWEST)).exp()
        if not self.full:
            return logit.squeeze(2).log_softmax(1), mean, diagonal
        factor = torch.diag_embed(diagonal)
        row, column = torch.triu_indices(self.dim, self.dim, 1, device=z.device)
        factor[:, :, row, column] = off
        return logit.squeeze(2).log_softmax(1), mean, factor

    def _times(self, factor: Tensor, v: Tensor) -> Tensor:
        return (factor @ v.unsqueeze(3)).squeeze(3) if self.full else factor * v

    def _widths(self) -> list[int]:
        return [1, self.dim, self.dim, self.dim * (self.dim - 1) // 2 if self.full else 0]

    def _start(self) -> Tensor:
        """Network outputs at which mean and covariance are 0 and I, `(K, outputs of a part)`."""
        mean = torch.randn(self.components, self.dim, dtype=torch.float64)
        mean -= mean.mean(0)
        if self.components > 1:
            mean *= math.sqrt(self.components / 2) / torch.linalg.matrix_norm(mean, 2)
        within = torch.eye(self.dim, dtype=torch.float64) - mean.mT @ mean / self.components
        if not self.full:
            within = torch.diag(within.diagonal())
        factor = torch.linalg.cholesky(torch.linalg.inv(within)).mT
        log_diagonal = NARROWEST * torch.atanh(factor.diagonal().log() / NARROWEST)
        row, column = torch.triu_indices(self.dim, self.dim, 1)
        off = factor[row, column] if self.full else factor.new_zeros(0)
        same = torch.cat([log_diagonal, off]).expand(self.components, -1)
        return torch.cat([torch.zeros_like(mean[:, :1]), mean, same], 1).float()
