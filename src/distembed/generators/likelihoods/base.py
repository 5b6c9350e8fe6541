"""What a likelihood promises, and what all of them need."""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.nn.ridge import Ridge, ridge

__all__ = [
    "LARGEST",
    "Likelihood",
    "cut",
    "first",
    "log_of_mean",
    "pooled",
    "regressed",
    "uniform",
]

LARGEST = 25.0
"""Largest absolute value of the logarithm of a rate: a network may say anything, and a rate of
10^-11 is zero for every data set that fits in a memory."""


class Likelihood(Protocol):
    """One distribution of an atom with D numbers, built as `(dim, **options)`."""

    counts: ClassVar[bool]
    """Whether atoms are integers >= 0."""

    @property
    def outputs(self) -> int:
        """Numbers P that a network has to give for an atom."""

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return nats, `(..., D), (..., P) -> (...)`."""

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row, `(..., P) -> (..., D)`."""

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""

    def check(self, x: Tensor) -> None:
        """Raise a ValueError if x is not its kind of data."""

    def start(self, batch: SetBatch) -> Tensor:
        """Return outputs that fit all atoms of a batch, `(P,)`."""


def regressed(likelihood: Likelihood, batch: SetBatch, z: Tensor) -> Ridge:
    """Regress what each training set says by itself on its embedding `(B, L)`.

    Raises:
        ValueError: If atoms are not of the kind that the likelihood is for.
    """
    likelihood.check(batch.flat[batch.w > 0])
    wanted = torch.stack([likelihood.start(batch[b]) for b in range(len(batch))])
    # few atoms are noise: they count as they would beside eight atoms of all sets
    trust = (batch.effective_sizes / (batch.effective_sizes + 8)).unsqueeze(1)
    return ridge(z, wanted, trust)


def first(x: Tensor, bad: Tensor) -> object:
    """Return the first of what is bad, for a message."""
    return x[bad][0].tolist()


def cut(h: Tensor, largest: float = LARGEST) -> Tensor:
    """Cut logarithms to a range, in float64."""
    return h.double().clamp(-largest, largest)


def uniform(h: Tensor, rng: torch.Generator) -> Tensor:
    """Draw as many numbers in [0, 1) as there are outputs."""
    return torch.rand(h.shape, generator=rng, device=h.device, dtype=torch.float64)


def pooled(batch: SetBatch, h: Tensor) -> Tensor:
    """Mean over atoms and then sets, `(N, H) -> (H,)`, in float64."""
    return batch.mean(h.double()).mean(0)


def log_of_mean(batch: SetBatch, x: Tensor) -> Tensor:
    """Logarithm of the pooled mean; half a count is added, so that it is finite without any."""
    return (pooled(batch, x) + 0.5 / batch.effective_sizes.sum()).log()
