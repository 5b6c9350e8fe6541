r"""Random Fourier features of a Gaussian kernel (Rahimi and Recht, 2007).

    phi(x) = sqrt(2 / F) (cos w_j^T x, sin w_j^T x),   w_j ~ N(0, I / sigma_j^2)    j = 1..F/2

so that phi(x)^T phi(y) approximates exp(-|x - y|^2 / 2 sigma^2). The bandwidth is a multiple of
the median distance between training atoms; with several multiples the frequencies are shared out
among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.encoders.projection import PrincipalProjection
from distembed.encoders.statistics import Mean, Stages
from distembed.nn.portable import is_portable
from distembed.rng import stream

__all__ = ["FourierFeatures", "reduced_mean"]

_ROWS, _COLUMNS = 4096, 32  # atoms, or frequencies, whose features are in memory at a time


class FourierFeatures(nn.Module):
    """Features `(N, F)` of atoms `(N, D)`, and their means.

    Args:
        d: Dimension D.
        count: Number F of features, even.
        bandwidths: Multiples of the median distance.
        learned: Train the frequencies, from where they are drawn.
        seed: Seed of the frequencies.

    Raises:
        ValueError: If the number of features is odd or a bandwidth is not positive.
    """

    frequencies: Tensor
    median: Tensor

    def __init__(
        self,
        d: int,
        count: int,
        bandwidths: Sequence[float] = (1.0,),
        learned: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if count % 2:
            raise ValueError(f"{count} features; a kernel mean takes cosines and sines in pairs.")
        if not bandwidths or min(bandwidths) <= 0:
            raise ValueError(f"bandwidths = {bandwidths}; they are positive multiples.")
        half = count // 2
        widths = torch.tensor([bandwidths[j % len(bandwidths)] for j in range(half)])
        normal = torch.randn(d, half, generator=stream(seed, "kernel", d, half))
        if learned:
            self.frequencies = nn.Parameter(normal / widths)
        else:
            self.register_buffer("frequencies", normal / widths)
        self.register_buffer("median", torch.tensor(1.0))

    def fit(self, atoms: SetBatch) -> None:
        """Set the bandwidth from the median distance between atoms."""
        x = atoms.to("cpu").subsample(8, stream(0, "kernel median")).flat
        x = x[torch.randperm(len(x), generator=stream(0, "kernel rows"))[:1024]]
        distances = torch.pdist(x)
        if len(distances) and float(distances.median()) > 0:
            self.median.copy_(distances.median())

    def forward(self, x: Tensor) -> Tensor:
        """Return features `(N, F)`."""
        return _waves(x, self.frequencies / self.median) * self._scale

    def mean(self, batch: SetBatch) -> Tensor:
        """Return the mean features of each set, `(B, F)`."""
        frequencies = (self.frequencies / self.median).split(_COLUMNS, 1)
        halves = [batch.mean(_waves(batch.flat, w)).chunk(2, 1) for w in frequencies]
        return (
            torch.cat([torch.cat(half, 1) for half in zip(*halves, strict=True)], 1) * self._scale
        )

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(self.frequencies.shape[1])


def reduced_mean(
    fourier: FourierFeatures, projection: PrincipalProjection, x: Tensor
) -> Stages[Tensor]:
    """Request the mean features of atoms `(N, D)`, projected, `(B, L)`.

    A mean of projections is the projection of the mean, and takes L columns in place of F.
    """
    rows = projection.rows.T.to(x.dtype)
    parts = [x] if is_portable() else x.split(_ROWS)
    projected = [fourier(part) @ rows for part in parts]
    ((mean,),) = yield (Mean(torch.cat(projected)),)
    return mean - projection.centre.to(x.dtype) @ rows


def _waves(x: Tensor, frequencies: Tensor) -> Tensor:
    angle = x @ frequencies.to(x.dtype)
    return torch.cat([angle.cos(), angle.sin()], 1)
