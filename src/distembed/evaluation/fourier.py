r"""The Fourier sliced-Wasserstein embedding, a baseline (Amir and Dym, 2024, arXiv 2405.16519).

With Q the quantile function of a set along a direction v, a feature of frequency f is

    e(v, f) = 2 (1 + f) \int_0^1 Q(t) cos(2 pi f t) dt,     f of density (1 + f)^{-2}.

By Parseval's identity the mean square of the difference of two sets, over v uniform on the sphere
and f, is their squared sliced W2. The quantile function of a weighted set is a step function, so
the integral is exact: with sorted atoms $y_i$ and cumulative weights $W_i$,

    \int_0^1 Q cos = sum_i y_i (s(W_i) - s(W_{i-1})),     s(W) = sin(2 pi f W) / (2 pi f).

The cost is that of sorting, so each direction has several frequencies, stratified over their
distribution; the publication draws a direction for each. Features are scaled by sqrt(D), so that
distances are about W2 in size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.evaluation.baselines import pair_distances
from distembed.rng import stream

__all__ = ["FourierSliced"]


@dataclass(frozen=True)
class FourierSliced:
    """The distance of Fourier features of quantile functions along random directions.

    Args:
        directions: Number of directions.
        frequencies: Features of each direction.
        seed: Seed of directions and frequencies.
    """

    directions: int = 64
    frequencies: int = 8
    seed: int = 0
    costly: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare the features."""
        return pair_distances(self.features(batch), pairs)

    def features(self, batch: SetBatch) -> Tensor:
        """Return the features of each set, `(S, directions * frequencies)`, in float64."""
        x, dim = batch.flat.double(), math.prod(batch.event_shape)
        rng = stream(self.seed, "fourier sliced", dim)
        direction = torch.randn(self.directions, dim, generator=rng, dtype=x.dtype)
        direction /= direction.norm(dim=1, keepdim=True)
        stratum = torch.arange(self.frequencies, dtype=x.dtype)
        u = torch.rand(self.directions, self.frequencies, generator=rng, dtype=x.dtype)
        level = (stratum + u) / self.frequencies
        frequency = level / (1 - level)
        scale = 2 * (1 + frequency) * math.sqrt(dim / frequency.numel())
        projected = x @ direction.T
        return torch.stack(
            [
                (scale * _transform(y, w / w.sum(), frequency)).flatten()
                for y, w in zip(
                    projected.split(batch.sizes.tolist()),
                    batch.w.double().split(batch.sizes.tolist()),
                    strict=True,
                )
            ]
        )


def _transform(y: Tensor, w: Tensor, frequency: Tensor) -> Tensor:
    """Integrate quantile functions against cosines.

    Args:
        y: Projected atoms, `(m, V)`.
        w: Weights, `(m,)`.
        frequency: `(V, F)`.

    Returns:
        `(V, F)`.
    """
    ordered, order = y.sort(dim=0)
    end = w[order].cumsum(0)
    # Abel summation: sum_i y_i (s_i - s_{i-1}) = y_m s(1) - sum_i (y_{i+1} - y_i) s_i
    last = torch.sinc(2 * frequency)
    inner = end[:-1].unsqueeze(2)
    primitive = inner * torch.sinc(2 * frequency * inner)
    rise = ordered.diff(dim=0).unsqueeze(2)
    return ordered[-1].unsqueeze(1) * last - (rise * primitive).sum(0)
