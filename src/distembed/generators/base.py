r"""The conditional Gaussian that a generator starts from.

    X | z ~ N(l(z), S(z)^2 + f^2 I),      l and S affine in z plus a small network

S is a symmetric matrix up to `FULL_UP_TO` dimensions and a number above, where single features may
be almost constant and a scale of their own would be a trap; f is a floor. An
embedding whose distances are those of W2 holds location and *root* covariance almost linearly,
which is why S and not its logarithm or its Cholesky factor is what is predicted. `prepare` solves
for the affine part by ridge regression on the moments of training sets. It stays fixed from then
on: a step of Adam moves every weight as far, and would lose in a hundred steps what the regression
knows to three digits. The network learns the rest, in units of what the regression left over.

The base is trained by its own likelihood. Residual atoms $u = C^{-1}(x - l)$, with
$C C^\top = S^2 + f^2 I$, go to the generator detached: it learns only what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.nn.mlp import MLP, shrink
from distembed.nn.per_set import apply_per_set, moments_per_set
from distembed.nn.ridge import ridge

__all__ = ["FULL_UP_TO", "ConditionalGaussian", "Gaussian"]

FULL_UP_TO = 32


@dataclass(frozen=True)
class Gaussian:
    """Location `(B, D)` and scale: lower Cholesky factors `(B, D, D)` or deviations `(B, 1)`."""

    location: Tensor
    scale: Tensor

    def whiten(self, batch: SetBatch) -> Tensor:
        """Return residual atoms u of a batch, `(N, D)`."""
        centred = batch.flat - batch.expand(self.location)
        if self.scale.ndim == 2:
            return centred / batch.expand(self.scale)
        eye = torch.eye(centred.shape[1], dtype=centred.dtype, device=centred.device)
        inverse = torch.linalg.solve_triangular(self.scale, eye.expand_as(self.scale), upper=False)
        return apply_per_set(batch, inverse, centred)

    def colour(self, u: Tensor) -> Tensor:
        """Undo `whiten` for `(B, n, D)` residuals."""
        scaled = u * self.scale.unsqueeze(1) if self.scale.ndim == 2 else u @ self.scale.mT
        return self.location.unsqueeze(1) + scaled

    def log_volume(self) -> Tensor:
        """Logarithm of the determinant of the scale over D, `(B,)`."""
        diagonal = self.scale if self.scale.ndim == 2 else self.scale.diagonal(dim1=1, dim2=2)
        return diagonal.log().mean(1)


class ConditionalGaussian(nn.Module):
    """Location and scale as functions of z.

    Args:
        dim: Dimension D of a flattened atom.
        latent: Dimension L of the embedding.
        width: Width of the network beside the affine part.
        floor: Smallest scale, as a fraction of the overall deviation of training atoms.
    """

    unit: Tensor
    weight: Tensor
    bias: Tensor
    left_over: Tensor

    def __init__(self, dim: int, latent: int, width: int = 128, floor: float = 0.02) -> None:
        super().__init__()
        self.dim, self.full, self.floor = dim, dim <= FULL_UP_TO, floor
        self.register_buffer("unit", torch.tensor(1.0))
        outputs = dim + (dim * (dim + 1) // 2 if self.full else 1)
        self.register_buffer("weight", torch.zeros(outputs, latent))
        self.register_buffer("bias", self._pack(torch.zeros(1, dim), torch.eye(dim)[None])[0])
        self.register_buffer("left_over", torch.ones(outputs))
        self.network = MLP(latent, outputs, width, hidden=2)
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        shrink(last, 0.01)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Solve for the affine part from the moments of training sets."""
        mean, cov = moments_per_set(batch)
        level = cov.diagonal(dim1=1, dim2=2).mean(1)
        total = level.mean() + mean.var(0, unbiased=False).mean()
        self.unit.copy_(total.sqrt().clamp_min(1e-6))
        floor = (self.floor * self.unit.double()).square()
        # the plain covariance of m atoms is too small by (m - 1) / m for the atoms of a target
        unbias = 1 / (1 - 1 / batch.effective_sizes).clamp_min(0.5)
        if self.full:
            values, vectors = torch.linalg.eigh(cov * unbias[:, None, None])
            root = (vectors * (values - floor).clamp_min(0).sqrt().unsqueeze(1)) @ vectors.mT
        else:
            root = (level * unbias - floor).clamp_min(0).sqrt()[:, None, None]
        wanted = self._pack(mean, root)
        # moments of few atoms are noise: they count as they would beside eight atoms of all sets
        trust = (batch.effective_sizes / (batch.effective_sizes + 8)).unsqueeze(1)
        fit = ridge(z, wanted, trust)
        self.weight.copy_(fit.weight.T)
        self.bias.copy_(fit.bias)
        self.left_over.copy_(fit.error.clamp_min(0.1 * self.floor * self.unit))

    def forward(self, z: Tensor) -> Gaussian:
        """Return the Gaussian of each set."""
        affine = torch.addmm(self.bias, z, self.weight.T)
        out = (affine + self.network(z) * self.left_over).float()
        location, half = out[:, : self.dim], out[:, self.dim :]
        floor = self.floor * self.unit
        if not self.full:
            return Gaussian(location, (half.square() + floor.square()).sqrt())
        root = half.new_zeros(len(z), self.dim, self.dim, dtype=torch.float64)
        row, column = torch.triu_indices(self.dim, self.dim, device=z.device)
        root[:, row, column] = half.double()
        root[:, column, row] = half.double()
        eye = torch.eye(self.dim, dtype=root.dtype, device=z.device)
        factor = torch.linalg.cholesky(root @ root + floor.double().square() * eye)
        return Gaussian(location, factor.float())

    def negative_log_likelihood(self, batch: SetBatch, gaussian: Gaussian) -> Tensor:
        """Score each set in nats per dimension, up to a constant, `(B,)`.

        The scale is measured in training deviations, so that units do not move the loss.
        """
        distance = batch.mean(gaussian.whiten(batch).square().sum(1)) / 2
        return distance / self.dim + gaussian.log_volume() - self.unit.log()

    def _pack(self, location: Tensor, root: Tensor) -> Tensor:
        if self.full:
            row, column = torch.triu_indices(self.dim, self.dim, device=root.device)
            return torch.cat([location, root[:, row, column]], 1)
        return torch.cat([location, root[:, :1, 0]], 1)
