r"""The conditional Gaussian base distribution of a generator.

    X | z ~ N(l(z), (1 + a s^2) (S(z)^2 + f^2 I) + s^2 V),      [l, S](z) = A z + b + r g(z)

S is a symmetric matrix in up to 32 dimensions. Above, it is a multiple of the identity: single
features may be almost constant there, and a small scale of their own would dominate the
likelihood. f is a floor. Location and *root* covariance are nearly linear in an embedding whose
distances are those of W2, so S is predicted, and not its logarithm or its Cholesky factor.

`prepare` solves for A and b by ridge regression on the moments of training sets. They stay fixed:
Adam's step does not depend on the scale of the gradient, and a hundred steps would destroy the
accuracy of the closed-form solution. The network g is trained; r is the residual scale of the
regression.

An embedding of few atoms is in error, and so are l and S. By the law of total variance the error
adds to the covariance of an atom:

    E (X - l)(X - l)^T = S^2 + f^2 I + E e e^T,      e the errors of location and root.

`widen` measures the last term on training sets, between what is predicted from some atoms and
other atoms, as a multiple of the squared uncertainty s^2 of z, which falls as 1 / m: a share a of
the covariance itself, as for a sample of a Gaussian, and a matrix V for what few atoms do not
show. Without it the predicted covariance of five atoms in 13 dimensions is singular. s is the last
column of z, and zero where the number of atoms is unknown.

The base is trained by its own likelihood. Residual atoms $u = C^{-1}(x - l)$, with
$C C^\top = S^2 + f^2 I$, are detached: the generator learns what the Gaussian cannot express.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.nn.mlp import MLP, shrink
from distembed.nn.pairwise import pairwise_moments
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
    error: Tensor
    error_share: Tensor

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
        side = dim if self.full else 1
        self.register_buffer("error", torch.zeros(side, side))
        self.register_buffer("error_share", torch.tensor(0.0))
        self.network: nn.Module | None = None
        if settings.network:
            network = MLP(latent, outputs, width, hidden=2)
            shrink(network.last, 0.01)
            self.network = network

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Solve for the affine part from training sets and their embeddings `(B, L)`."""
        mean, cov = self._moments(batch)
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
        self.error.zero_()
        self.error_share.zero_()
        fit = ridge(z, self._pack(mean, root), sample_weight(batch))
        self.weight.copy_(fit.weight.T)
        self.bias.copy_(fit.bias)
        self.residual_scale.copy_(fit.error.clamp_min(0.1 * self.floor * self.unit))

    @torch.no_grad()
    def widen(self, batch: SetBatch, z: Tensor) -> None:
        """Fit a and V to other atoms of the sets behind z `(B, L)`, by least squares in s^2.

        What the second moments about l exceed S^2 + f^2 I by is measured relative to the level of
        the latter. V is without its negative part.
        """
        location, square = self._plug_in(z)
        mean, cov = self._moments(batch)
        gap = (mean - location.double()).unsqueeze(2)
        if self.full:
            moments = cov + gap @ gap.mT
        else:
            moments = cov + gap.square().mean(1, keepdim=True)
        variance = z[:, -1].double().square()[:, None, None]
        weight = sample_weight(batch).double().unsqueeze(2) / _level(square).square()
        size = (weight * variance.square()).sum().clamp_min(1e-12)

        def slope(matrices: Tensor) -> Tensor:
            return (weight * variance * matrices).sum(0) / size

        excess, scaled = moments - square, variance * square
        partial = scaled - variance * slope(scaled)
        norm = (weight * partial.square()).sum()
        share = (weight * partial * excess).sum() / norm.clamp_min(1e-12)
        self.error_share.copy_(share.clamp_min(0))
        values, vectors = torch.linalg.eigh(slope(excess - share.clamp_min(0) * scaled))
        self.error.copy_((vectors * values.clamp_min(0)) @ vectors.mT)

    def forward(self, z: Tensor) -> Gaussian:
        """Return the Gaussian of each set, from embeddings `(B, L)`."""
        location, square = self._plug_in(z)
        variance = z[:, -1:, None].square()
        cov = square * (1 + self.error_share * variance) + variance * self.error
        if not self.full:
            return Gaussian(location, cov[:, 0].sqrt().float())
        return Gaussian(location, torch.linalg.cholesky(cov).float())

    def _plug_in(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return l `(B, D)`, and S^2 + f^2 I in float64, `(B, D, D)` or `(B, 1, 1)`."""
        out = torch.addmm(self.bias, z, self.weight.T)
        if self.network is not None:
            out = out + self.network(z) * self.residual_scale
        out = out.float()
        location, half = out[:, : self.dim], out[:, self.dim :].double()
        variance = (self.floor * self.unit.double()).square()
        if not self.full:
            return location, half.square().unsqueeze(2) + variance
        root = half.new_zeros(len(z), self.dim, self.dim)
        row, column = torch.triu_indices(self.dim, self.dim, device=z.device)
        root[:, row, column] = half
        root[:, column, row] = half
        eye = torch.eye(self.dim, dtype=root.dtype, device=z.device)
        return location, root @ root + variance * eye

    def noise(self, e: Tensor) -> Tensor:
        """Return noise of the covariance of residuals: white, as it is."""
        return e

    def negative_log_likelihood(self, batch: SetBatch, gaussian: Gaussian) -> Tensor:
        """Score each set in nats per dimension, up to a constant, `(B,)`.

        The scale is measured in deviations of training atoms, so that the units of the data do
        not change the loss.
        """
        distance = batch.mean(gaussian.whiten(batch).square().sum(1)) / 2
        return distance / self.dim + gaussian.log_volume() - self.unit.log()

    def _moments(self, batch: SetBatch) -> tuple[Tensor, Tensor]:
        """Return means `(B, D)`, and covariances `(B, D, D)` or mean variances `(B, 1, 1)`."""
        if batch.observed is not None:
            mean, cov = pairwise_moments(batch)
            return mean, cov if self.full else _level(cov)
        if self.full:
            return moments_per_set(batch)
        # the covariance of images would be millions of numbers a set
        x = batch.flat64
        mean = batch.mean(x)
        return mean, batch.mean((x - batch.expand(mean)).square()).mean(1)[:, None, None]

    def _pack(self, location: Tensor, root: Tensor) -> Tensor:
        """Flatten locations `(B, D)` and roots `(B, D, D)` or `(B, 1, 1)` to `(B, outputs)`."""
        if self.full:
            row, column = torch.triu_indices(self.dim, self.dim, device=root.device)
            return torch.cat([location, root[:, row, column]], 1)
        return torch.cat([location, root[:, :1, 0]], 1)


def _level(cov: Tensor) -> Tensor:
    """Return the mean variance of covariances `(B, D, D)`, `(B, 1, 1)`."""
    return cov.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]


def sample_weight(batch: SetBatch, prior: float = 8.0) -> Tensor:
    """Return the weight m / (m + prior) of each set in a regression on its moments, `(B, 1)`.

    Moments of a set of m atoms are noisy; the weight is that of m atoms beside `prior` atoms of
    the average set, as in empirical Bayes.
    """
    return (batch.effective_sizes / (batch.effective_sizes + prior)).unsqueeze(1)
