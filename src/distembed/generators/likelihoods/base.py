"""The protocol of a likelihood, and functions that several likelihoods share."""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor

from distembed.batch import SetBatch

__all__ = [
    "Likelihood",
    "first_invalid",
    "log_pooled_mean",
    "pooled_mean",
    "uniform",
]


class Likelihood(Protocol):
    """A distribution of one atom of D numbers, built as `(dim, **options)`."""

    counts: ClassVar[bool]
    """Whether atoms are integers >= 0."""

    @property
    def outputs(self) -> int:
        """Number P of parameters of one atom, the outputs of a network."""

    @property
    def means(self) -> slice:
        """Which parameters are means of counts before the softplus link."""

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return log probabilities in nats, `(..., D), (..., P) -> (...)`."""

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row of parameters, `(..., P) -> (..., D)`."""

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""

    def check(self, x: Tensor) -> None:
        """Raise a ValueError if atoms `(..., D)` are outside the support."""

    def estimate(self, batch: SetBatch) -> Tensor:
        """Estimate parameters from the moments of all atoms of a batch, `(P,)`."""


def first_invalid(x: Tensor, invalid: Tensor) -> object:
    """Return the first entry of x under a mask, for a message."""
    return x[invalid][0].tolist()


def uniform(h: Tensor, rng: torch.Generator) -> Tensor:
    """Draw uniform numbers in [0, 1) of the shape of h, in float64."""
    return torch.rand(h.shape, generator=rng, device=h.device, dtype=torch.float64)


def pooled_mean(batch: SetBatch, h: Tensor) -> Tensor:
    """Average over atoms and then over sets, `(N, H) -> (H,)`, in float64."""
    return batch.mean(h.double()).mean(0)


def log_pooled_mean(batch: SetBatch, x: Tensor) -> Tensor:
    """Return the logarithm of the pooled mean plus half a count, which is finite for zeros."""
    return (pooled_mean(batch, x) + 0.5 / batch.effective_sizes.sum()).log()
