r"""The conditional Gaussian base distribution of a generator.

    X | z ~ N(l(z), S(z)^2 + f^2 I),      [l, S](z) = A z + b + r g(z)

S is a symmetric matrix in up to 32 dimensions. Above, it is a multiple of the identity: single
features may be almost constant there, and a small scale of their own would dominate the
likelihood. f is a floor. Location and *root* covariance are nearly linear in an embedding whose
distances are those of W2, so S is predicted, and not its logarithm or its Cholesky factor.

`prepare` solves for A and b by ridge regression on the moments of training sets. They stay fixed:
Adam's step does not depend on the scale of the gradient, and a hundred steps would destroy the
accuracy of the closed-form solution. The network g is trained; r is the residual scale of the
regression.

The base is trained by its own likelihood. Residual atoms $u = C^{-1}(x - l)$, with
$C C^\top = S^2 + f^2 I$, are detached: the generator learns what the Gaussian cannot express.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.nn.mlp import MLP, shrink
from distembed.nn.per_set import apply_per_set, moments_per_set
from distembed.nn.ridge import ridge

__all__ = ["BaseSettings", "ConditionalGaussian", "Gaussian", "sample_weight"]


@dataclass(frozen=True)
class BaseSettings:
    """Settings of a conditional Gaussian base.

    Attributes:
        network: Whether a network is trained beside the ridge regression. Without it the base
            has no parameters.
        floor: Smallest scale, as a fraction of the overall deviation of training atoms.
        full_up_to: Largest dimension in which the covariance is a full matrix.
    """

    network: bool = True
    floor: float = 0.02
    full_up_to: int = 32


@dataclass(frozen=True)
class Gaussian:
    """Locations `(B, D)` and scales: lower Cholesky factors `(B, D, D)` or deviations `(B, 1)`."""

    location: Tensor
    scale: Tensor

    def whiten(self, batch: SetBatch) -> Tensor:
        """Return residual atoms $u = C^{-1}(x - l)$ of a batch, `(N, D)`."""
        centred = batch.flat - batch.expand(self.location)
        if self.scale.ndim == 2:
            return centred / batch.expand(self.scale)
        eye = torch.eye(centred.shape[1], dtype=centred.dtype, device=centred.device)
        inverse = torch.linalg.solve_triangular(self.scale, eye.expand_as(self.scale), upper=False)
        return apply_per_set(batch, inverse, centred)

    def colour(self, u: Tensor) -> Tensor:
        """Return atoms $l + C u$ of `(B, n, D)` residuals, the inverse of `whiten`."""
        scaled = u * self.scale.unsqueeze(1) if self.scale.ndim == 2 else u @ self.scale.mT
        return self.location.unsqueeze(1) + scaled

    def residuals(self, x: Tensor) -> Tensor:
        """Return residuals $C^{-1}(x - l)$ of `(B, n, D)` atoms, the inverse of `colour`."""
        centred = x - self.location.unsqueeze(1)
        if self.scale.ndim == 2:
            return centred / self.scale.unsqueeze(1)
        u: Tensor = torch.linalg.solve_triangular(self.scale, centred.mT, upper=False).mT
        return u

    def log_volume(self) -> Tensor:
        """Return the logarithm of det C over D, `(B,)`."""
        diagonal = self.scale if self.scale.ndim == 2 else self.scale.diagonal(dim1=1, dim2=2)
        return diagonal.log().mean(1)


class ConditionalGaussian(nn.Module):
    """A Gaussian whose location and scale are functions of z.

    Args:
        dim: Dimension D of a flattened atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        settings: Network, floor and form of the covariance.

    Example:
        >>> base = ConditionalGaussian(3, latent=4)
        >>> base(torch.zeros(2, 4)).scale.shape
        torch.Size([2, 3, 3])
    """

    unit: Tensor
    weight: Tensor
    bias: Tensor
    residual_scale: Tensor

    def __init__(
        self, dim: int, latent: int, width: int = 128, settings: BaseSettings | None = None
    ) -> None:
        super().__init__()
        settings = settings or BaseSettings()
        self.dim, self.full, self.floor = dim, dim <= settings.full_up_to, settings.floor
        self.register_buffer("unit", torch.tensor(1.0))
        outputs = dim + (dim * (dim + 1) // 2 if self.full else 1)
        self.register_buffer("weight", torch.zeros(outputs, latent))
        self.register_buffer("bias", self._pack(torch.zeros(1, dim), torch.eye(dim)[None])[0])
        self.register_buffer("residual_scale", torch.ones(outputs))
        self.network: nn.Module | None = None
        if settings.network:
            network = MLP(latent, outputs, width, hidden=2)
            shrink(network.last, 0.01)
            self.network = network

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Solve for the affine part from training sets and their embeddings `(B, L)`."""
        mean, cov = moments_per_set(batch)
        level = cov.diagonal(dim1=1, dim2=2).mean(1)
        total = level.mean() + mean.var(0, unbiased=False).mean()
        self.unit.copy_(total.sqrt().clamp_min(1e-6))
        floor = (self.floor * self.unit.double()).square()
        # the covariance of m atoms is too small by (m - 1) / m on average
        unbias = 1 / (1 - 1 / batch.effective_sizes).clamp_min(0.5)
        if self.full:
            values, vectors = torch.linalg.eigh(cov * unbias[:, None, None])
            root = (vectors * (values - floor).clamp_min(0).sqrt().unsqueeze(1)) @ vectors.mT
        else:
            root = (level * unbias - floor).clamp_min(0).sqrt()[:, None, None]
        fit = ridge(z, self._pack(mean, root), sample_weight(batch))
        self.weight.copy_(fit.weight.T)
        self.bias.copy_(fit.bias)
        self.residual_scale.copy_(fit.error.clamp_min(0.1 * self.floor * self.unit))

    def forward(self, z: Tensor) -> Gaussian:
        """Return the Gaussian of each set, from embeddings `(B, L)`."""
        out = torch.addmm(self.bias, z, self.weight.T)
        if self.network is not None:
            out = out + self.network(z) * self.residual_scale
        out = out.float()
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

        The scale is measured in deviations of training atoms, so that the units of the data do
        not change the loss.
        """
        distance = batch.mean(gaussian.whiten(batch).square().sum(1)) / 2
        return distance / self.dim + gaussian.log_volume() - self.unit.log()

    def _pack(self, location: Tensor, root: Tensor) -> Tensor:
        """Flatten locations `(B, D)` and roots `(B, D, D)` or `(B, 1, 1)` to `(B, outputs)`."""
        if self.full:
            row, column = torch.triu_indices(self.dim, self.dim, device=root.device)
            return torch.cat([location, root[:, row, column]], 1)
        return torch.cat([location, root[:, :1, 0]], 1)


def sample_weight(batch: SetBatch, prior: float = 8.0) -> Tensor:
    """Return the weight m / (m + prior) of each set in a regression on its moments, `(B, 1)`.

    Moments of a set of m atoms are noisy; the weight is that of m atoms beside `prior` atoms of
    the average set, as in empirical Bayes.
    """
    return (batch.effective_sizes / (batch.effective_sizes + prior)).unsqueeze(1)
