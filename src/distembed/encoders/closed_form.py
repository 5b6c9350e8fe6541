r"""Closed-form embedding of a set: mean, root covariance and a kernel mean of whitened atoms.

    z = [a J_1 mu,  b J_2 Sigma^{1/2},  c J_3 E phi(r)]

r is an atom relative to its set (`distembed.encoders.relative_atoms`), phi are random Fourier
features, so that the last block is a kernel mean embedding of what is left of a set without its
mean and covariance; J are principal projections. The scales a, b and c are fitted to W2
(`distembed.encoders.scales`). Nothing in it is trained by gradients.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.encoders.fourier import FourierFeatures, reduced_mean
from distembed.encoders.moments import Moments, moment_count
from distembed.encoders.projection import PrincipalProjection
from distembed.encoders.relative_atoms import (
    WHITEN_UP_TO,
    fit_floor,
    moments,
    relative_atoms,
)
from distembed.encoders.scales import ScaleFit, fitted_scales
from distembed.encoders.statistics import Covariance, Stages, Variance, run
from distembed.protocols import EncoderTraits

__all__ = ["ClosedForm"]

_SHAPE = 8  # most coordinates of the kernel mean


class ClosedForm(nn.Module):
    """Mean, root covariance and shape of a set, scaled to W2.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding. Up to a seventh of it, and whatever the moments
            leave, goes to the shape, at most eight coordinates; what is left is zero.
        features: Number of random Fourier features of the shape. Few frequencies are a coarse
            kernel: 128 features projected to eight coordinates are better than eight features.
        scale_fit: How the scales are fitted.

    Example:
        >>> batch = SetBatch.from_list([torch.randn(9, 2), torch.randn(5, 2)])
        >>> ClosedForm((2,), latent=13)(batch).shape
        torch.Size([2, 13])
    """

    floor: Tensor
    scales: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        features: int = 128,
        scale_fit: ScaleFit | None = None,
    ) -> None:
        super().__init__()
        d = math.prod(event_shape)
        self.latent, self.full = latent, d <= WHITEN_UP_TO
        self.scale_fit = scale_fit or ScaleFit()
        count = min(moment_count(d), latent - latent // 7)
        shape = min(_SHAPE, latent - count)
        self.moments = Moments((d,), count)
        self.fourier = FourierFeatures(d, features)
        self.shape = PrincipalProjection(features, shape)
        blocks = [cast(PrincipalProjection, j).rows.shape[0] for j in self.moments.projections]
        self.sizes = [*blocks, shape]
        self.register_buffer("scales", torch.ones(3))
        self.register_buffer("floor", torch.tensor(0.02))

    @staticmethod
    def capacity(event_shape: tuple[int, ...]) -> int:
        """Return the number of coordinates that the blocks can fill."""
        return moment_count(math.prod(event_shape)) + _SHAPE

    @property
    def traits(self) -> EncoderTraits:
        """Two passes, one for the moments and one for the shape; no coordinate is trained."""
        return EncoderTraits(passes=2, informed=self.latent)

    @torch.no_grad()
    def prepare(self, batch: SetBatch) -> None:
        """Fix the floor, projections, bandwidth and scales from training sets."""
        fit_floor(self.floor, batch)
        self.moments.prepare(batch)
        _, _, relative = run(self._moments(batch), batch)
        atoms = batch.replace(x=relative.to(self.scales.dtype))
        self.fourier.fit(atoms)
        self.shape.fit(self.fourier.mean(atoms))
        self.scales.fill_(1)
        self.scales.copy_(self._fitted_scales(batch.to("cpu")))

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        return run(self.stages(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Request moments, then the mean features of relative atoms; return z `(B, L)`."""
        mean, cov, relative = yield from self._moments(batch)
        dtype = self.scales.dtype
        shape = yield from reduced_mean(self.fourier, self.shape, relative.to(dtype))
        blocks = torch.cat([self.moments.of_moments(mean, cov).to(dtype), shape.to(dtype)], 1)
        sizes = torch.tensor(self.sizes, device=blocks.device)
        z = blocks * self.scales.repeat_interleave(sizes)
        return nn.functional.pad(z, (0, self.latent - z.shape[1]))

    def _moments(self, batch: SetBatch) -> Stages[tuple[Tensor, Tensor, Tensor]]:
        """Request means, covariances on the axes of the moments, and so relative atoms."""
        axes = self.moments.axes.double()
        if self.full:
            mean, second = yield from moments(batch, full=True)
            cov = axes.T @ second @ axes
        else:
            x = batch.flat64
            (mean, second), (_, cov) = yield Variance(x), Covariance(x @ axes)
        return mean, cov, relative_atoms(batch, mean, second, self.floor.double())

    def _fitted_scales(self, batch: SetBatch) -> Tensor:
        """Fit the scales on halves of training sets, `(3,)`."""
        return fitted_scales(
            batch,
            lambda half: self(half.to(self.scales.device)).cpu().double(),
            self.sizes,
            prior=(1, 1, 0),
            fit=self.scale_fit,
        )
