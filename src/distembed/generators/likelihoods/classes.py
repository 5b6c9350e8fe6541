r"""Zeros and ones, and classes.

Bernoulli      P(x = 1) = sigmoid(a)               h = a
Categorical    one-hot atoms, P = softmax(a)       h = a
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from distembed.batch import SetBatch
from distembed.generators.likelihoods.base import first, pooled, uniform

__all__ = ["Bernoulli", "Categorical"]


@dataclass(frozen=True)
class Bernoulli:
    """Numbers that are 0 or 1."""

    dim: int
    counts: ClassVar[bool] = False

    @property
    def outputs(self) -> int:
        """Logits of a one."""
        return self.dim

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return nats, `(..., D), (..., P) -> (...)`."""
        return logsigmoid(torch.where(x > 0.5, h, -h).double()).sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row, `(..., P) -> (..., D)`."""
        return (uniform(h, rng) < h.double().sigmoid()).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        return h.sigmoid()

    def check(self, x: Tensor) -> None:
        """Refuse what is neither 0 nor 1."""
        if bool(((x != 0) & (x != 1)).any()):
            raise ValueError(
                f"A Bernoulli likelihood met {first(x, (x != 0) & (x != 1))}; it is for atoms of "
                "zeros and ones as they are. Threshold the data, and leave out transforms, which "
                "would move them: transform=()."
            )

    def start(self, batch: SetBatch) -> Tensor:
        """Return logits of the share of ones, `(P,)`."""
        n = batch.effective_sizes.sum()
        return torch.logit((pooled(batch, batch.flat) * n + 0.5) / (n + 1))


@dataclass(frozen=True)
class Categorical:
    """One of D classes, written as a one-hot vector: encoders read vectors.

    Raises:
        ValueError: If there are fewer than two classes.
    """

    dim: int
    counts: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.dim < 2:
            raise ValueError(
                f"An atom has {self.dim} number; a categorical likelihood takes one-hot vectors "
                "of two or more classes. Write class indices with torch.nn.functional.one_hot."
            )

    @property
    def outputs(self) -> int:
        """Logits of classes."""
        return self.dim

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return nats, `(..., D), (..., P) -> (...)`."""
        return (x.double() * h.double().log_softmax(-1)).sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row, `(..., P) -> (..., D)`."""
        p = h.double().softmax(-1).reshape(-1, self.dim)
        drawn = torch.multinomial(p, 1, generator=rng)
        return torch.zeros_like(p).scatter(1, drawn, 1.0).reshape(h.shape).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        return h.softmax(-1)

    def check(self, x: Tensor) -> None:
        """Refuse what is not one-hot."""
        other = (((x != 0) & (x != 1)).any(-1)) | (x.sum(-1) != 1)
        if bool(other.any()):
            raise ValueError(
                f"A categorical likelihood met the atom {first(x, other)}; it takes one-hot "
                "vectors, a single one among zeros. Write class indices with "
                "torch.nn.functional.one_hot, and leave out transforms: transform=()."
            )

    def start(self, batch: SetBatch) -> Tensor:
        """Return logarithms of the shares of classes, `(P,)`."""
        share = pooled(batch, batch.flat)
        return (share + 0.5 / batch.effective_sizes.sum()).log().log_softmax(0)
