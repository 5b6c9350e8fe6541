r"""Likelihoods of independent counts.

    Poisson        rate s(a)                                      h = a
    Negative       mean m = s(a), size r = exp(b),                h = [a, b]
      binomial     variance m + m^2 / r
    Zero-inflated  0 with probability sigmoid(c), else as above   h = [a, b, c]

s is the softplus link of `likelihoods.links`. All are normalised: they sum to one over the counts.
Computations are in float64, and results have the type of h.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from distembed.batch import SetBatch
from distembed.generators.likelihoods.base import (
    first_invalid,
    log_pooled_mean,
    pooled_mean,
    uniform,
)
from distembed.generators.likelihoods.links import (
    CountLimits,
    inverse_softplus_of_log,
    log_softplus,
)

__all__ = [
    "NegativeBinomial",
    "Poisson",
    "ZeroInflatedNegativeBinomial",
    "check_counts",
    "draw_negative_binomial",
    "log_negative_binomial",
    "negative_binomial_moments",
]


@dataclass(frozen=True)
class Poisson:
    """Independent Poisson counts.

    Args:
        dim: Numbers D of an atom.
        limits: Bounds on rates.

    Example:
        >>> x, h = torch.zeros(1), torch.tensor([0.5413])  # a rate of log(1 + exp 0.5413) = 1
        >>> round(Poisson(1).log_prob(x, h).item(), 3)
        -1.0
    """

    dim: int
    limits: CountLimits = field(default_factory=CountLimits)
    counts: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Rates before s."""
        return self.dim

    @property
    def means(self) -> slice:
        """The means, before s."""
        return slice(self.dim)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return log probabilities in nats, `(..., D), (..., P) -> (...)`."""
        x, log_rate = x.double(), log_softplus(h, self.limits)
        return (x * log_rate - log_rate.exp() - torch.lgamma(x + 1)).sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row of parameters, `(..., P) -> (..., D)`."""
        return torch.poisson(log_softplus(h, self.limits).exp(), generator=rng).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        return log_softplus(h, self.limits).exp().to(h.dtype)

    def check(self, x: Tensor) -> None:
        """Raise a ValueError if a number is not a count."""
        check_counts(x)

    def estimate(self, batch: SetBatch) -> Tensor:
        """Return the mean of all atoms before s, `(P,)`."""
        return inverse_softplus_of_log(log_pooled_mean(batch, batch.flat))


@dataclass(frozen=True)
class NegativeBinomial:
    """Independent overdispersed counts.

    Args:
        dim: Numbers D of an atom.
        limits: Bounds on means and sizes.
    """

    dim: int
    limits: CountLimits = field(default_factory=CountLimits)
    counts: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Means before s, then logarithms of sizes."""
        return 2 * self.dim

    @property
    def means(self) -> slice:
        """The means, before s."""
        return slice(self.dim)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return log probabilities in nats, `(..., D), (..., P) -> (...)`."""
        return log_negative_binomial(x.double(), *self._split(h)).sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row of parameters, `(..., P) -> (..., D)`."""
        return draw_negative_binomial(*self._split(h), rng).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        return self._split(h)[0].exp().to(h.dtype)

    def check(self, x: Tensor) -> None:
        """Raise a ValueError if a number is not a count."""
        check_counts(x)

    def estimate(self, batch: SetBatch) -> Tensor:
        """Estimate mean and size by the moments of all atoms, `(P,)`."""
        log_mean, log_size = negative_binomial_moments(batch, batch.flat)
        return torch.cat([inverse_softplus_of_log(log_mean), log_size])

    def _split(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return logarithms of means and of sizes."""
        mean, log_size = h.chunk(2, -1)
        return log_softplus(mean, self.limits), self.limits.clamp_size(log_size)


@dataclass(frozen=True)
class ZeroInflatedNegativeBinomial:
    """Independent overdispersed counts with additional zeros.

    Args:
        dim: Numbers D of an atom.
        limits: Bounds on means and sizes.
    """

    dim: int
    limits: CountLimits = field(default_factory=CountLimits)
    counts: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Means before s, logarithms of sizes, then logits of an additional zero."""
        return 3 * self.dim

    @property
    def means(self) -> slice:
        """The means, before s."""
        return slice(self.dim)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return log probabilities in nats, `(..., D), (..., P) -> (...)`."""
        x = x.double()
        log_mean, log_size, logit = self._split(h)
        counted = logsigmoid(-logit) + log_negative_binomial(x, log_mean, log_size)
        zero = torch.logaddexp(logsigmoid(logit), counted)
        return torch.where(x == 0, zero, counted).sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row of parameters, `(..., P) -> (..., D)`."""
        log_mean, log_size, logit = self._split(h)
        counted = draw_negative_binomial(log_mean, log_size, rng)
        return (counted * uniform(logit, rng).ge(logit.sigmoid())).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        log_mean, _, logit = self._split(h)
        return ((-logit).sigmoid() * log_mean.exp()).to(h.dtype)

    def check(self, x: Tensor) -> None:
        """Raise a ValueError if a number is not a count."""
        check_counts(x)

    def estimate(self, batch: SetBatch) -> Tensor:
        """Estimate parameters by the moments and the zeros of all atoms, `(P,)`."""
        log_mean, log_size = negative_binomial_moments(batch, batch.flat)
        expected = log_negative_binomial(torch.zeros_like(log_mean), log_mean, log_size).exp()
        zeros = pooled_mean(batch, (batch.flat == 0).double())
        extra = ((zeros - expected) / (1 - expected).clamp_min(1e-6)).clamp(0.02, 0.9)
        log_mean = log_mean - torch.log1p(-extra)
        return torch.cat([inverse_softplus_of_log(log_mean), log_size, torch.logit(extra)])

    def _split(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logarithms of means and of sizes, and logits of zeros."""
        mean, log_size, logit = h.chunk(3, -1)
        return log_softplus(mean, self.limits), self.limits.clamp_size(log_size), logit.double()


def check_counts(x: Tensor) -> None:
    """Raise a ValueError if a number is negative or has a fraction."""
    invalid = (x < 0) | (x != x.round())
    if bool(invalid.any()):
        raise ValueError(
            f"A likelihood of counts met {first_invalid(x, invalid)} in feature "
            f"{int(invalid.nonzero()[0, -1])} (counted from 0); it is defined for the counts 0, "
            "1, 2, ... Give raw counts without a transform: transform=[] in Python, "
            "model.transform=[] on the command line. For logged or scaled data use the generator "
            "'flow' or the likelihood 'gaussian'."
        )


def log_negative_binomial(x: Tensor, log_mean: Tensor, log_size: Tensor) -> Tensor:
    """Return log probabilities of negative binomial counts x in nats, elementwise."""
    size, odds = log_size.exp(), log_mean - log_size
    ways = torch.lgamma(x + size) - torch.lgamma(size) - torch.lgamma(x + 1)
    return ways + size * logsigmoid(-odds) + x * logsigmoid(odds)


def draw_negative_binomial(log_mean: Tensor, log_size: Tensor, rng: torch.Generator) -> Tensor:
    """Draw negative binomial counts as a gamma mixture of Poisson counts, elementwise."""
    rate = torch._standard_gamma(log_size.exp(), generator=rng) * (log_mean - log_size).exp()
    return torch.poisson(rate, generator=rng)


def negative_binomial_moments(batch: SetBatch, x: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate logarithms of mean and size from counts `(N, H)` of a batch, each `(H,)`.

    Counts without excess variance have a large size.
    """
    mean = pooled_mean(batch, x)
    excess = pooled_mean(batch, (x.double() - mean).square()) - mean
    size = mean.square() / excess.clamp_min(1e-12)
    return log_pooled_mean(batch, x), size.clamp(0.05, 1e3).log()
