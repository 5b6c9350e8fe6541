r"""Negative controls: encoders that break a law on purpose, which a check must refuse.

    sum         z = g(sum_i h(x_i))                       grows with the number of atoms
    count       z = g([mean h, log m])                    depends on the number of atoms
    batchnorm   z = g(mean BN(h))                         depends on the other sets in train mode
    padded_mean z = g(sum_i h(x_i) / max_b m_b)           divides by the length of the padding
    max         z = g(max_i x_i)                          has an extreme-value limit

The first four do not depend on the distribution alone. The maximum depends on its support alone,
but for atoms uniform on [0, 1] the gap 1 - max is asymptotically m^-1 times an exponential
variable (Fisher and Tippett, 1928): it has no root-m rate, and no normal limit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.protocols import EncoderTraits

__all__ = ["CONTROLS", "BatchNormed", "Counting", "Maximum", "PaddedMean", "Summed"]


class Summed(nn.Module):
    """Pool by a sum, which breaks replicate, split and zero; its deviation grows as sqrt(m)."""

    def __init__(self, event_shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.inner, self.outer = _layers(event_shape, latent)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        z: Tensor = self.outer(_sum(batch, functional.silu(self.inner(batch.flat))))
        return z


class Counting(nn.Module):
    """Append log m to a mean, which breaks replicate, split and zero."""

    def __init__(self, event_shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.inner, self.outer = _layers(event_shape, latent, extra=1)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        h = batch.mean(functional.silu(self.inner(batch.flat)))
        z: Tensor = self.outer(torch.cat([h, batch.sizes.to(h.dtype).log()[:, None]], 1))
        return z


class BatchNormed(nn.Module):
    """Apply BatchNorm over all atoms, which breaks independence, replicate, split and zero."""

    def __init__(self, event_shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.inner, self.outer = _layers(event_shape, latent)
        self.norm = nn.BatchNorm1d(self.inner.out_features)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        h = functional.silu(self.norm(self.inner(batch.flat)))
        z: Tensor = self.outer(batch.mean(h))
        return z


class PaddedMean(nn.Module):
    """Average over padded rows, which breaks independence, replicate, split and zero."""

    def __init__(self, event_shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.inner, self.outer = _layers(event_shape, latent)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        h = functional.silu(self.inner(batch.flat))
        z: Tensor = self.outer(_sum(batch, h) / batch.sizes.max())
        return z


class Maximum(nn.Module):
    """Pool by a maximum, which obeys the laws and is not asymptotically normal."""

    traits = EncoderTraits(smooth=False)

    def __init__(self, event_shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.outer = nn.Linear(math.prod(event_shape), latent)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        x, log_w = batch.dense(batch.flat)
        present = log_w.isneginf().logical_not().unsqueeze(2)
        z: Tensor = self.outer(x.where(present, -torch.inf).amax(1))
        return z


CONTROLS: dict[str, type[nn.Module]] = {
    "sum": Summed,
    "count": Counting,
    "batchnorm": BatchNormed,
    "padded_mean": PaddedMean,
    "max": Maximum,
}
"""Negative controls by name, each built as `(event_shape, latent)`."""


def _layers(
    event_shape: tuple[int, ...], latent: int, width: int = 16, extra: int = 0
) -> tuple[nn.Linear, nn.Linear]:
    return nn.Linear(math.prod(event_shape), width), nn.Linear(width + extra, latent)


def _sum(batch: SetBatch, h: Tensor) -> Tensor:
    return h.new_zeros(len(batch), h.shape[1]).index_add(0, batch.owner, h)
