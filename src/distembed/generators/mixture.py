r"""A mixture of Gaussians whose components depend on an embedding.

    p(u | z) = sum_k softmax(a)_k N(u; m_k, (P_k^T P_k)^{-1})

a, m and upper triangular P are functions of z (a mixture density network; Bishop, 1994).
Predicting the factor of the *precision* makes a density a product and leaves the triangular solve
to sampling. P is full in few dimensions and diagonal in many. The logarithm of its diagonal is
bounded smoothly, so that no component collapses on a single atom. All components start with the
same weight and precision at centred locations, placed so that mean and covariance of the mixture
are 0 and I.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.nn.mlp import MLP, shrink
from distembed.nn.per_set import apply_per_set
from distembed.nn.precision import reduced

__all__ = ["Mixture", "MixtureSettings"]


@dataclass(frozen=True)
class MixtureSettings:
    """Settings of a mixture of Gaussians.

    Attributes:
        components: Number K of components.
        full_up_to: Largest dimension in which precisions are full matrices.
        log_scale: Bound on the logarithm of a component's scale, where the mixture has unit
            deviation.

    Raises:
        ValueError: If there is no component.
    """

    components: int = 8
    full_up_to: int = 32
    log_scale: float = 4.0

    def __post_init__(self) -> None:
        if self.components < 1:
            raise ValueError(
                f"components = {self.components}; a mixture has at least one component."
            )


class Mixture(nn.Module):
    """A conditional density of vectors that starts near N(0, I).

    Args:
        dim: Dimension D.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Its hidden layers.
        settings: Number and form of the components.

    Example:
        >>> mixture = Mixture(3, latent=4, width=8, depth=1)
        >>> mixture.sample(torch.zeros(2, 4), 5, torch.Generator()).shape
        torch.Size([2, 5, 3])
    """

    start: Tensor

    def __init__(
        self,
        dim: int,
        latent: int,
        width: int,
        depth: int,
        settings: MixtureSettings | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.settings = dim, settings or MixtureSettings()
        self.full = dim <= self.settings.full_up_to
        self.register_buffer("start", self._start())
        self.network = MLP(latent, self.start.numel(), width, depth)
        shrink(self.network.last, 0.01)

    def log_prob(self, batch: SetBatch, u: Tensor, z: Tensor) -> Tensor:
        """Return log densities in nats of the atoms u `(N, D)` of a batch, `(N,)`."""
        log_weight, mean, factor = self._components(z)
        centre = self._times(factor, mean)
        if self.full:
            scaled = apply_per_set(batch, factor.flatten(1, 2), u).view(len(u), *mean.shape[1:])
        else:
            scaled = batch.expand(factor) * u.unsqueeze(1)
        distance = (scaled - batch.expand(centre)).square().sum(2) / 2
        diagonal = factor.diagonal(dim1=2, dim2=3) if self.full else factor
        height = log_weight + diagonal.log().sum(2) - self.dim * math.log(2 * math.pi) / 2
        return torch.logsumexp(batch.expand(height) - distance, 1)

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n vectors of each set, `(B, n, D)`."""
        log_weight, mean, factor = self._components(z)
        component = torch.multinomial(log_weight.exp(), n, replacement=True, generator=rng)
        noise = torch.randn(len(z), n, self.dim, generator=rng, device=z.device)
        atoms = torch.zeros_like(noise)
        # every component for every atom: K times the work, but no matrix per atom
        for k in range(self.settings.components):
            if self.full:
                solved = torch.linalg.solve_triangular(factor[:, k], noise.mT, upper=True).mT
            else:
                solved = noise / factor[:, k].unsqueeze(1)
            chosen = (component == k).unsqueeze(2)
            atoms = torch.where(chosen, mean[:, k].unsqueeze(1) + solved, atoms)
        return atoms

    def _components(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log weights `(B, K)`, means `(B, K, D)`, factors `(B, K, D, D)` or diagonals."""
        with reduced(z.device):
            outputs = self.network(z)
        h = self.start + outputs.float().view(len(z), *self.start.shape)
        logit, mean, log_diagonal, off = h.split(self._widths(), 2)
        bound = self.settings.log_scale
        diagonal = (bound * torch.tanh(log_diagonal / bound)).exp()
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
        """Return outputs `(K, P)` at which mean and covariance of the mixture are 0 and I."""
        components, bound = self.settings.components, self.settings.log_scale
        mean = torch.randn(components, self.dim, dtype=torch.float64)
        mean -= mean.mean(0)
        if components > 1:
            mean *= math.sqrt(components / 2) / torch.linalg.matrix_norm(mean, 2)
        within = torch.eye(self.dim, dtype=torch.float64) - mean.mT @ mean / components
        if not self.full:
            within = torch.diag(within.diagonal())
        factor = torch.linalg.cholesky(torch.linalg.inv(within)).mT
        log_diagonal = bound * torch.atanh(factor.diagonal().log() / bound)
        row, column = torch.triu_indices(self.dim, self.dim, 1)
        off = factor[row, column] if self.full else factor.new_zeros(0)
        same = torch.cat([log_diagonal, off]).expand(components, -1)
        return torch.cat([torch.zeros_like(mean[:, :1]), mean, same], 1).float()
