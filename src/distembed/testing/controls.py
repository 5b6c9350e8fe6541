r"""Encoders that are wrong on purpose: a check that does not refuse them checks nothing.

    sum         z = g(sum_i h(x_i))                       grows with the number of atoms
    count       z = g([mean h, log m])                    is told the number of atoms
    batchnorm   z = g(mean BN(h))                         sees the other sets in train mode
    padded_mean z = g(sum_i h(x_i) / max_b m_b)           divides by the length of the padding
    max         z = g(max_i x_i)                          has an extreme-value limit

The first four are no functions of the distribution. The maximum is one of the support, but an
atom of weight zero moves it, and for atoms uniform on [0, 1] the gap 1 - max is m^-1 times an
exponential variable (Fisher and Tippett, 1928): no root-m rate, and never normal.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.protocols import EncoderTraits

__all__ = ["CONTROLS", "BatchNormed", "Counting", "Maximum", "PaddedMean", "Summed"]

_WIDTH = 16


class Summed(nn.Module):
    """Sum pooling: breaks replicate, split and zero; its deviation grows as the root of m."""

    def __init__(self, event_shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.inner, self.outer = _layers(event_shape, _WIDTH, latent)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        z: Tensor = self.outer(_sum(batch, functional.silu(self.inner(batch.flat))))
        return z


class Counting(nn.Module):
    """A mean that is told log m: breaks replicate, split and zero."""

    def __init__(self, event_shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.inner, self.outer = _layers(event_shape, _WIDTH + 1, latent)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        h = batch.mean(functional.silu(self.inner(batch.flat)))
        z: Tensor = self.outer(torch.cat([h, batch.sizes.to(h.dtype).log()[:, None]], 1))
        return z


class BatchNormed(nn.Module):
    """BatchNorm over all atoms: breaks independence, and replicate, split and zero with it."""

    def __init__(self, event_shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.inner, self.outer = _layers(event_shape, _WIDTH, latent)
        self.norm = nn.BatchNorm1d(_WIDTH)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        h = functional.silu(self.norm(self.inner(batch.flat)))
        z: Tensor = self.outer(batch.mean(h))
        return z


class PaddedMean(nn.Module):
    """A mean over padded rows: breaks independence, replicate, split and zero."""

    def __init__(self, event_shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.inner, self.outer = _layers(event_shape, _WIDTH, latent)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        h = functional.silu(self.inner(batch.flat))
        z: Tensor = self.outer(_sum(batch, h) / batch.sizes.max())
        return z


class Maximum(nn.Module):
    """The largest value of each feature, which obeys the laws and is not asymptotically normal."""

    traits = EncoderTraits(smooth=False)

    def __init__(self, event_shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.outer = nn.Linear(math.prod(event_shape), latent)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        x, log_w = batch.dense(batch.flat)
        there = log_w.isneginf().logical_not().unsqueeze(2)
        z: Tensor = self.outer(x.where(there, -torch.inf).amax(1))
        return z


CONTROLS: dict[str, type[nn.Module]] = {
    "sum": Summed,
    "count": Counting,
    "batchnorm": BatchNormed,
    "padded_mean": PaddedMean,
    "max": Maximum,
}
"""Negative controls by name, each built as `(event_shape, latent)`."""


def _layers(event_shape: tuple[int, ...], pooled: int, latent: int) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(math.prod(event_shape), _WIDTH), nn.Linear(pooled, latent)


def _sum(batch: SetBatch, h: Tensor) -> Tensor:
    return h.new_zeros(len(batch), h.shape[1]).index_add(0, batch.owner, h)
