r"""A set in closed form: mean, root covariance and shape, each scaled by its worth in W2.

    s = [a J_1 mu,  b J_2 Sigma^{1/2},  c J_3 E phi(r)]

r is an atom relative to its set (`distembed.encoders.front`), phi are random Fourier features, so
that the last part is a kernel mean of what is left of a set without its mean and covariance; J are
fixed isometries. The scales come from W2 as it is measured between training sets b and b':

    W_2^2(b, b') ~ a^2 d_1^2 + b^2 d_2^2 + c^2 d_3^2 + bias,      a^2, b^2, c^2 >= 0,

where W2 is exact optimal transport between one half of each set and d_k are distances of the other
halves. A part that is sampling noise predicts nothing on the other half, and gets a small scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.encoders.fourier import FourierFeatures, reduced_mean
from distembed.encoders.isometry import Isometry
from distembed.encoders.moments import Moments, moment_count
from distembed.encoders.statistics import Stages, run
from distembed.rng import stream

__all__ = ["Summary", "floored"]

FEATURES, SHAPE = 128, 8
"""Few frequencies are a coarse kernel: 128 reduced to eight coordinates are better than eight."""
PAIRS, HALF, PRIOR = 1500, 32, 100
"""Pairs of sets, atoms of a half, and how many pairs the prior is worth: Bures, without shape."""
LEAST_SCALE = 0.03
"""A part keeps this share of the largest deviation, so that a generator can read what is in it."""

Look = Callable[[SetBatch], Stages[tuple[Tensor, Tensor, Tensor]]]


class Summary(nn.Module):
    """Mean, root covariance and shape of a set, `(B, size)`.

    Args:
        d: Dimension D of an atom.
        latent: Dimension L of the embedding, of which moments get at most three quarters; shape
            gets at most eight coordinates of what they leave of seven eighths.
    """

    scales: Tensor

    def __init__(self, d: int, latent: int) -> None:
        super().__init__()
        moments = min(moment_count(d), 3 * latent // 4)
        shape = min(SHAPE, 7 * latent // 8 - moments)
        self.size = moments + shape
        self.moments = Moments((d,), moments)
        self.fourier = FourierFeatures(d, FEATURES)
        self.shape = Isometry(FEATURES, shape)
        self.sizes = [*(cast(Isometry, j).rows.shape[0] for j in self.moments.isometries), shape]
        self.register_buffer("scales", torch.ones(3))

    @torch.no_grad()
    def prepare(self, batch: SetBatch, look: Look) -> None:
        """Fix isometries, bandwidth and scales from training sets.

        Args:
            batch: Training sets.
            look: Asks for their means, covariances on `moments.axes`, and relative atoms.
        """
        self.moments.prepare(batch)
        relative = batch.replace(x=run(look(batch), batch)[2].to(self.scales.dtype))
        self.fourier.fit(relative)
        self.shape.fit(self.fourier.mean(relative))
        self.scales.fill_(1)
        self.scales.copy_(self._worth(batch.to("cpu"), look))

    def stages(
        self, batch: SetBatch, mean: Tensor, cov: Tensor, relative: Tensor
    ) -> Stages[Tensor]:
        """Ask for the mean feature of relative atoms `(N, D)`, beside moments that are known."""
        shape = yield from reduced_mean(self.fourier, self.shape, relative)
        parts = torch.cat([self.moments.of_moments(mean, cov).to(shape.dtype), shape], 1)
        sizes = torch.tensor(self.sizes, device=parts.device)
        return parts * self.scales.to(parts.dtype).repeat_interleave(sizes)

    def _worth(self, batch: SetBatch, look: Look) -> Tensor:
        """Regress measured W2^2 on squared distances of each part, `(3,)`."""
        rng = stream(0, "worth")
        whole = batch.keep(batch.w > 0)
        whole = whole.select((whole.sizes > 1).nonzero().flatten().tolist())
        pairs = _pairs(len(whole), rng)
        prior = torch.tensor([1, 1, 0], dtype=torch.float64)
        if not len(pairs):
            return floored(prior, torch.ones_like(prior))
        half, other = whole.split(HALF, HALF, rng)
        half = half.to(self.scales.device)
        z = run(self.stages(half, *run(look(half), half)), half).cpu().double()
        gaps = [(part[pairs[:, 0]] - part[pairs[:, 1]]) for part in z.split(self.sizes, 1)]
        squared = torch.stack([gap.square().sum(1) for gap in gaps], 1)
        w2_squared = pairwise_w2(other, pairs).double().square()
        # the deviation of a measured W2^2 grows as its root: near pairs count as far ones do
        trust = 1 / (w2_squared + 0.01 * w2_squared.mean()).clamp_min(1e-300)
        return floored(_non_negative(squared, w2_squared, trust, prior), squared.mean(0))


def _pairs(count: int, rng: torch.Generator) -> Tensor:
    """All pairs of sets, or as many as are affordable, `(P, 2)`."""
    if count * (count - 1) // 2 <= PAIRS:
        return torch.combinations(torch.arange(count))
    first = torch.randint(count, (PAIRS,), generator=rng)
    step = torch.randint(1, count, (PAIRS,), generator=rng)
    return torch.stack([first, (first + step) % count], 1)


def _non_negative(inputs: Tensor, output: Tensor, trust: Tensor, prior: Tensor) -> Tensor:
    """Weighted least squares with an intercept; the slopes are not negative and near a prior."""
    from scipy.optimize import nnls

    root = trust.sqrt()[:, None]
    rows = root * torch.cat([inputs, torch.ones_like(output)[:, None]], 1)
    # each column in its own units: those of a shape are not those of a mean
    typical = rows.square().mean(0).sqrt().clamp_min(1e-300)
    believed = math.sqrt(PRIOR) * torch.eye(3, 4, dtype=rows.dtype)
    design = torch.cat([rows / typical, believed])
    wanted = torch.cat([root[:, 0] * output, math.sqrt(PRIOR) * typical[:3] * prior])
    slopes, _ = nnls(design.numpy(), wanted.numpy())
    return torch.from_numpy(slopes)[:3] / typical[:3]


def floored(squared_scales: Tensor, squared: Tensor) -> Tensor:
    """Return scales that leave every part a share of the largest deviation, `(3,)`."""
    scales, deviation = squared_scales.sqrt(), squared.sqrt()
    least = LEAST_SCALE * (scales * deviation).max()
    return torch.maximum(scales, least / deviation.clamp_min(1e-300)).where(deviation > 0, 1.0)
