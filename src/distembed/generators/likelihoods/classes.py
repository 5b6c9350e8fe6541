r"""Likelihoods of binary numbers and of classes.

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
from distembed.generators.likelihoods.base import first_invalid, pooled_mean, uniform

__all__ = ["Bernoulli", "Categorical"]


@dataclass(frozen=True)
class Bernoulli:
    """Independent numbers that are 0 or 1.

    Args:
        dim: Numbers D of an atom.

    Example:
        >>> round(Bernoulli(1).log_prob(torch.ones(1), torch.zeros(1)).item(), 3)
        -0.693
    """

    dim: int
    counts: ClassVar[bool] = False

    @property
    def outputs(self) -> int:
        """One logit per number."""
        return self.dim

    @property
    def means(self) -> slice:
        """No parameter is the mean of a count."""
        return slice(0)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return log probabilities in nats, `(..., D), (..., P) -> (...)`."""
        return logsigmoid(torch.where(x > 0.5, h, -h).double()).sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row of parameters, `(..., P) -> (..., D)`."""
        return (uniform(h, rng) < h.double().sigmoid()).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        return h.sigmoid()

    def check(self, x: Tensor) -> None:
        """Raise a ValueError if a number is neither 0 nor 1."""
        invalid = (x != 0) & (x != 1)
        if bool(invalid.any()):
            raise ValueError(
                f"A Bernoulli likelihood met {first_invalid(x, invalid)}; it is defined for 0 and "
                "1. Threshold the data, and use no transform: transform=[]."
            )

    def estimate(self, batch: SetBatch) -> Tensor:
        """Return logits of the fractions of ones, `(P,)`."""
        n = batch.effective_sizes.sum()
        return torch.logit((pooled_mean(batch, batch.flat) * n + 0.5) / (n + 1))


@dataclass(frozen=True)
class Categorical:
    """One of D classes, written as a one-hot vector.

    Args:
        dim: Number D of classes.

    Raises:
        ValueError: If there are fewer than two classes.

    Example:
        >>> round(Categorical(2).log_prob(torch.tensor([0.0, 1.0]), torch.zeros(2)).item(), 3)
        -0.693
    """

    dim: int
    counts: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.dim < 2:
            raise ValueError(
                f"An atom has {self.dim} number; a categorical likelihood is defined for one-hot "
                "vectors of two or more classes. Convert class indices with "
                "torch.nn.functional.one_hot."
            )

    @property
    def outputs(self) -> int:
        """One logit per class."""
        return self.dim

    @property
    def means(self) -> slice:
        """No parameter is the mean of a count."""
        return slice(0)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return log probabilities in nats, `(..., D), (..., P) -> (...)`."""
        return (x.double() * h.double().log_softmax(-1)).sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row of parameters, `(..., P) -> (..., D)`."""
        p = h.double().softmax(-1).reshape(-1, self.dim)
        index = torch.multinomial(p, 1, generator=rng)
        return torch.zeros_like(p).scatter(1, index, 1.0).reshape(h.shape).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        return h.softmax(-1)

    def check(self, x: Tensor) -> None:
        """Raise a ValueError if an atom is not one-hot."""
        invalid = (((x != 0) & (x != 1)).any(-1)) | (x.sum(-1) != 1)
        if bool(invalid.any()):
            raise ValueError(
                f"A categorical likelihood met the atom {first_invalid(x, invalid)}; it is "
                "defined for one-hot vectors, a single 1 among zeros. Convert class indices with "
                "torch.nn.functional.one_hot, and use no transform: transform=[]."
            )

    def estimate(self, batch: SetBatch) -> Tensor:
        """Return logarithms of the fractions of classes, `(P,)`."""
        fraction = pooled_mean(batch, batch.flat)
        return (fraction + 0.5 / batch.effective_sizes.sum()).log().log_softmax(0)
