r"""Closed-form embedding of a set: mean, root covariance and a kernel mean of whitened atoms.

    z = [a J_1 mu,  b J_2 Sigma^{1/2},  c J_3 E phi(r)]

r is an atom relative to its set (`distembed.encoders.relative_atoms`), phi are random Fourier
features, so that the last block is a kernel mean embedding of what is left of a set without its
mean and covariance; J are principal projections. The scales are fitted to W2 by non-negative least
squares on pairs of training sets p and q,

    W_2^2(p, q) ~ a^2 d_1^2 + b^2 d_2^2 + c^2 d_3^2 + bias,      a^2, b^2, c^2 >= 0,

where W2 is exact optimal transport between one half of each set and d_k are distances of the other
halves. A block that is sampling noise predicts nothing on the other half and gets a small scale.
Nothing in it is trained by gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.encoders.fourier import FourierFeatures, reduced_mean
from distembed.encoders.moments import Moments, moment_count
from distembed.encoders.projection import PrincipalProjection
from distembed.encoders.relative_atoms import (
    WHITEN_UP_TO,
    fit_floor,
    moments,
    relative_atoms,
)
from distembed.encoders.statistics import Covariance, Stages, Variance, run
from distembed.protocols import EncoderTraits
from distembed.rng import stream

__all__ = ["ClosedForm", "ScaleFit", "floored"]

_SHAPE = 8  # most coordinates of the kernel mean


@dataclass(frozen=True)
class ScaleFit:
    """How the scales of the blocks are fitted to W2.

    Attributes:
        pairs: Most pairs of training sets that W2 is measured on.
        half: Most atoms of each half of a set.
        prior: How many pairs the prior weighs: Bures, which has no shape block.
        least: A block keeps this share of the largest deviation, so that a generator can read it.
    """

    pairs: int = 1500
    half: int = 32
    prior: int = 100
    least: float = 0.03


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
        """Regress measured W2^2 on the squared distances of each block, `(3,)`.

        Raises:
            ValueError: If a square of a distance overflows.
        """
        rng, fit = stream(0, "worth"), self.scale_fit
        whole = batch.keep(batch.w > 0)
        whole = whole.select((whole.sizes > 1).nonzero().flatten().tolist())
        pairs = _pairs(len(whole), fit.pairs, rng)
        prior = torch.tensor([1, 1, 0], dtype=torch.float64)
        if not len(pairs):
            return floored(prior, torch.ones_like(prior), fit.least)
        half, other = whole.split(fit.half, fit.half, rng)
        half = half.to(self.scales.device)
        z = self(half).cpu().double()[:, : sum(self.sizes)]
        gaps = [(block[pairs[:, 0]] - block[pairs[:, 1]]) for block in z.split(self.sizes, 1)]
        squared = torch.stack([gap.square().sum(1) for gap in gaps], 1)
        w2_squared = pairwise_w2(other, pairs).double().square()
        if not bool((squared.sum(1) + w2_squared).isfinite().all()):
            raise ValueError(
                "A distance between training sets is not finite: their atoms are as large as "
                f"{float(whole.x.abs().max()):.3g}. Look for extreme values among the atoms, or "
                "use a transform: standardise, arcsinh or log1p."
            )
        # the deviation of a measured W2^2 grows as its root: near pairs count as far ones do
        weight = 1 / (w2_squared + 0.01 * w2_squared.mean()).clamp_min(1e-300)
        slopes = _non_negative(squared, w2_squared, weight, prior, fit.prior)
        return floored(slopes, squared.mean(0), fit.least)


def _pairs(count: int, limit: int, rng: torch.Generator) -> Tensor:
    """All pairs of sets, or a random choice of them, `(P, 2)`."""
    if count * (count - 1) // 2 <= limit:
        return torch.combinations(torch.arange(count))
    first = torch.randint(count, (limit,), generator=rng)
    step = torch.randint(1, count, (limit,), generator=rng)
    return torch.stack([first, (first + step) % count], 1)


def _non_negative(
    inputs: Tensor, output: Tensor, weight: Tensor, prior: Tensor, prior_pairs: int
) -> Tensor:
    """Weighted least squares with an intercept; the slopes are not negative and near a prior."""
    from scipy.optimize import nnls

    root = weight.sqrt()[:, None]
    rows = root * torch.cat([inputs, torch.ones_like(output)[:, None]], 1)
    # each column in its own units: those of a shape are not those of a mean
    typical = rows.square().mean(0).sqrt().clamp_min(1e-300)
    ridge = math.sqrt(prior_pairs) * torch.eye(3, 4, dtype=rows.dtype)
    design = torch.cat([rows / typical, ridge])
    target = torch.cat([root[:, 0] * output, math.sqrt(prior_pairs) * typical[:3] * prior])
    slopes, _ = nnls(design.numpy(), target.numpy())
    return torch.from_numpy(slopes)[:3] / typical[:3]


def floored(squared_scales: Tensor, squared: Tensor, least: float = 0.03) -> Tensor:
    """Return scales that leave every block a share of the largest deviation, `(3,)`."""
    scales, deviation = squared_scales.sqrt(), squared.sqrt()
    lowest = least * (scales * deviation).max()
    return torch.maximum(scales, lowest / deviation.clamp_min(1e-300)).where(deviation > 0, 1.0)
