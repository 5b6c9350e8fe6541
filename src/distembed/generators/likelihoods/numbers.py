r"""Likelihood of real numbers with a learned deviation.

x ~ N(a, exp(b)^2),      h = [a, b]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.generators.likelihoods.base import pooled_mean

__all__ = ["Normal"]


@dataclass(frozen=True)
class Normal:
    """Independent Gaussian numbers with a deviation each, or a common one.

    Args:
        dim: Numbers D of an atom.
        shared: Whether all numbers share one deviation.
        floor: Smallest deviation; without one the likelihood of atoms on a line is unbounded.
        largest_log: Largest logarithm of a deviation.

    Example:
        >>> round(Normal(1).log_prob(torch.zeros(1), torch.zeros(2)).item(), 3)
        -0.919
    """

    dim: int
    shared: bool = False
    floor: float = 1e-3
    largest_log: float = 25.0
    counts: ClassVar[bool] = False

    @property
    def outputs(self) -> int:
        """Means, then logarithms of deviations."""
        return self.dim + (1 if self.shared else self.dim)

    @property
    def means(self) -> slice:
        """No parameter is the mean of a count."""
        return slice(0)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return log densities in nats, `(..., D), (..., P) -> (...)`."""
        mean, log_sd = self._split(h)
        scaled = (x.double() - mean) * torch.exp(-log_sd)
        nats = -scaled.square() / 2 - log_sd - math.log(2 * math.pi) / 2
        return nats.sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row of parameters, `(..., P) -> (..., D)`."""
        mean, log_sd = self._split(h)
        noise = torch.randn(mean.shape, generator=rng, device=h.device, dtype=mean.dtype)
        return (mean + log_sd.exp() * noise).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        return h[..., : self.dim]

    def check(self, x: Tensor) -> None:
        """Accept any numbers: a batch holds finite ones only."""

    def estimate(self, batch: SetBatch) -> Tensor:
        """Return the mean and the logarithm of the deviation of all atoms, `(P,)`."""
        mean = pooled_mean(batch, batch.flat)
        variance = pooled_mean(batch, (batch.flat.double() - mean).square())
        variance = variance.mean(0, keepdim=True) if self.shared else variance
        return torch.cat([mean, variance.clamp_min(self.floor**2).log() / 2])

    def _split(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and logarithms of deviations."""
        mean, log_sd = h.double().tensor_split([self.dim], -1)
        return mean, log_sd.clamp(math.log(self.floor), self.largest_log)
