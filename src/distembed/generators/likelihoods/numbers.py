r"""Real numbers with a deviation that is learned.

mean a, deviation exp(b),      h = [a, b]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.generators.likelihoods.base import LARGEST, pooled

__all__ = ["Normal"]


@dataclass(frozen=True)
class Normal:
    """Gaussian numbers with a deviation of their own each, or one of all.

    Args:
        dim: Numbers D of an atom.
        shared: Predict a single deviation.
        floor: Smallest deviation; atoms on a line would have a likelihood without bound.
    """

    dim: int
    shared: bool = False
    floor: float = 1e-3
    counts: ClassVar[bool] = False

    @property
    def outputs(self) -> int:
        """Means, then logarithms of deviations."""
        return self.dim + (1 if self.shared else self.dim)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return nats, `(..., D), (..., P) -> (...)`."""
        mean, log_sd = self._parts(h)
        scaled = (x.double() - mean) * torch.exp(-log_sd)
        nats = -scaled.square() / 2 - log_sd - math.log(2 * math.pi) / 2
        return nats.sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row, `(..., P) -> (..., D)`."""
        mean, log_sd = self._parts(h)
        noise = torch.randn(mean.shape, generator=rng, device=h.device, dtype=mean.dtype)
        return (mean + log_sd.exp() * noise).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        return h[..., : self.dim]

    def check(self, x: Tensor) -> None:
        """Accept any finite numbers, which a batch holds anyway."""

    def start(self, batch: SetBatch) -> Tensor:
        """Return moments of all atoms, `(P,)`."""
        mean = pooled(batch, batch.flat)
        variance = pooled(batch, (batch.flat.double() - mean).square())
        variance = variance.mean(0, keepdim=True) if self.shared else variance
        return torch.cat([mean, variance.clamp_min(self.floor**2).log() / 2])

    def _parts(self, h: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_sd = h.double().tensor_split([self.dim], -1)
        return mean, log_sd.clamp(math.log(self.floor), LARGEST)
