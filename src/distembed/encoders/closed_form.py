r"""Closed-form embedding of a set: mean, root covariance and a kernel mean of whitened atoms.

    z = [a J_1 mu,  b J_2 Sigma^{1/2},  c J_3 E phi(r)]

r is an atom relative to its set (`distembed.encoders.relative_atoms`), phi are random Fourier
features, so that the last block is a kernel mean embedding of what is left of a set without its
mean and covariance; J are principal projections. The scales a, b and c are fitted to W2
(`distembed.encoders.scales`). Nothing in it is trained by gradients.

With `masked`, values may be missing. Moments are then pairwise complete (`distembed.nn.pairwise`)
and refined by steps of expectation maximisation, and phi is expected under the Gaussian of the set
(`distembed.encoders.incomplete`). W2 between atoms that are not complete is not defined: scales
are then those of the prior, a = b = 1 and the least c.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.encoders.fourier import FourierFeatures, reduced_mean
from distembed.encoders.incomplete import Gram, IncompleteAtoms, Refinement
from distembed.encoders.moments import Moments, moment_count
from distembed.encoders.projection import PrincipalProjection
from distembed.encoders.relative_atoms import (
    WHITEN_UP_TO,
    fit_floor,
    moments,
    relative_atoms,
)
from distembed.encoders.scales import ScaleFit, fitted_scales, floored
from distembed.encoders.statistics import Covariance, Mean, Stages, Variance, run
from distembed.nn.pairwise import Typical, gram, moments_of
from distembed.protocols import EncoderTraits

__all__ = ["ClosedForm"]

_SHAPE = 8  # most coordinates of the kernel mean
_MASKED_UP_TO = 128


class ClosedForm(nn.Module):
    """Mean, root covariance and shape of a set, scaled to W2.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding. Up to a seventh of it, and whatever the moments
            leave, goes to the shape, at most eight coordinates; what is left is zero.
        features: Number of random Fourier features of the shape. Few frequencies are a coarse
            kernel: 128 features projected to eight coordinates are better than eight features.
        scale_fit: How the scales are fitted.
        masked: Whether sets may have missing values.
        refinement: How moments of sets with missing values are refined.

    Raises:
        ValueError: If values may be missing in more than 128 dimensions, whose pairwise moments
            are too many.

    Example:
        >>> batch = SetBatch.from_list([torch.randn(9, 2), torch.randn(5, 2)])
        >>> ClosedForm((2,), latent=13)(batch).shape
        torch.Size([2, 13])
    """

    floor: Tensor
    scales: Tensor
    typical_mean: Tensor
    typical_cov: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        features: int = 128,
        scale_fit: ScaleFit | None = None,
        masked: bool = False,
        refinement: Refinement | None = None,
    ) -> None:
        super().__init__()
        d = math.prod(event_shape)
        if masked and d > _MASKED_UP_TO:
            raise ValueError(
                f"Atoms have {d} features, and closed_form takes missing values in up to "
                f"{_MASKED_UP_TO}. Choose fewer features, or impute the values."
            )
        self.masked, self.remark = masked, ""
        self.refinement = refinement or Refinement()
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
        if masked:
            self.register_buffer("typical_mean", torch.zeros(d, dtype=torch.float64))
            self.register_buffer("typical_cov", torch.eye(d, dtype=torch.float64))

    @staticmethod
    def capacity(event_shape: tuple[int, ...]) -> int:
        """Return the number of coordinates that the blocks can fill."""
        return moment_count(math.prod(event_shape)) + _SHAPE

    @property
    def traits(self) -> EncoderTraits:
        """Two passes, one for the moments and one for the shape; no coordinate is trained.

        Refined moments take a pass a step.
        """
        steps = self.refinement.steps if self.masked and self.full else 0
        return EncoderTraits(passes=2 + steps, informed=self.latent, masked=self.masked)

    @torch.no_grad()
    def prepare(self, batch: SetBatch) -> None:
        """Fix the floor, projections, bandwidth and scales from training sets."""
        if self.masked:
            self._prepare_masked(batch.without_empty())
            return
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
        batch = batch.without_empty()
        return run(self.stages(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Request moments, then the mean features of relative atoms; return z `(B, L)`."""
        dtype = self.scales.dtype
        if self.masked:
            mean, cov, incomplete = yield from self._incomplete(batch)
            rows = self.shape.rows.T.to(dtype)
            ((features,),) = yield (Mean(incomplete.expected(self.fourier, rows)),)
            shape = features - self.shape.centre.to(dtype) @ rows
        else:
            mean, cov, relative = yield from self._moments(batch)
            shape = yield from reduced_mean(self.fourier, self.shape, relative.to(dtype))
        blocks = torch.cat([self.moments.of_moments(mean, cov).to(dtype), shape.to(dtype)], 1)
        parts = zip(blocks.split(self.sizes, 1), self.scales, strict=True)
        z = torch.cat([part * scale for part, scale in parts], 1)
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

    def _incomplete(self, batch: SetBatch) -> Stages[tuple[Tensor, Tensor, IncompleteAtoms]]:
        """Request moments; return them on the axes, and the atoms relative to them."""
        mean, cov = yield from self._refined(batch)
        axes = self.moments.axes.double()
        atoms = IncompleteAtoms.of(batch, mean, cov, self.floor.double(), self.full)
        return mean, axes.T @ cov @ axes, atoms

    def _refined(self, batch: SetBatch) -> Stages[tuple[Tensor, Tensor]]:
        """Request pairwise moments, then refine them; `(B, D)` and `(B, D, D)`."""
        typical, floor = self.typical_cov.double(), self.floor.double()
        ((second,),) = yield (Gram(batch),)
        mean, cov = moments_of(second, self.typical_mean.double(), typical)
        for _ in range(self.refinement.steps if self.full else 0):
            predictive = torch.lerp(cov, typical.expand_as(cov), self.refinement.share)
            atoms = IncompleteAtoms.of(batch, mean, predictive, floor, self.full)
            ((means,),) = yield (Mean(atoms.second_moments()),)
            mean, cov = atoms.refined(means)
        return mean, cov

    def _prepare_masked(self, batch: SetBatch) -> None:
        """Fix all from pairwise moments; scales are fitted where the sets are complete."""
        second = gram(batch)
        typical = Typical.of(second)
        self.typical_mean.copy_(typical.mean)
        self.typical_cov.copy_(typical.cov)
        if typical.absent:
            self.remark = (
                f"{typical.absent} covariances of two features have no atom with both, over "
                f"{len(batch)} sets; those of the training sets together stand in for them"
            )
        self.moments.prepare_from(*moments_of(second, typical.mean, typical.cov))
        self.floor.copy_(self.moments.floor.clamp_min(1e-6))
        mean, cov = run(self._refined(batch), batch)
        self.moments.prepare_from(mean, cov)
        atoms = IncompleteAtoms.of(batch, mean, cov, self.floor.double(), self.full)
        dtype = self.scales.dtype
        complete = SetBatch(atoms.drawn().to(dtype), batch.w, batch.offsets)
        self.fourier.fit(complete)
        eye = torch.eye(self.shape.rows.shape[1], dtype=dtype, device=batch.w.device)
        self.shape.fit(batch.mean(atoms.expected(self.fourier, eye)))
        self.scales.fill_(1)
        if batch.observed is None:
            self.scales.copy_(self._fitted_scales(batch.to("cpu")))
            return
        z = self(batch)[:, : sum(self.sizes)].double()
        squared = torch.stack([2 * b.var(0, unbiased=False).sum() for b in z.split(self.sizes, 1)])
        self.scales.copy_(floored(torch.tensor([1.0, 1.0, 0.0]).to(squared), squared))

    def _fitted_scales(self, batch: SetBatch) -> Tensor:
        """Fit the scales on halves of training sets, `(3,)`."""
        return fitted_scales(
            batch,
            lambda half: self(half.to(self.scales.device)).cpu().double(),
            self.sizes,
            prior=(1, 1, 0),
            fit=self.scale_fit,
        )
