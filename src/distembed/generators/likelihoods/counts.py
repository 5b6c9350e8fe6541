r"""Counts, independent given the outputs h of a network unless said otherwise.

    Poisson        rate s(a)                                      h = a
    Negative       mean m = s(a), size r = exp(b),                h = [a, b]
      binomial     variance m + m^2 / r
    Zero-inflated  0 with probability sigmoid(c), else as above   h = [a, b, c]
    Multinomial    total T ~ negative binomial of mean s(b)       h = [a, b, c]
                   and size exp(c), then T draws of softmax(a)

s(a) = log(1 + exp a): an embedding holds means almost linearly, and so should an output; near zero
it is a logarithm.

All are normalised: they sum to one over the counts. The total of a multinomial is part of the
atom, and so it is predicted and not taken from data. Sums of log gamma at 10^5 counts cancel to a
few nats: all runs in float64 and comes back in the type of h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import logsigmoid

from distembed.batch import SetBatch
from distembed.generators.likelihoods.base import LARGEST, cut, first, log_of_mean, pooled, uniform

__all__ = [
    "Multinomial",
    "NegativeBinomial",
    "Poisson",
    "ZeroInflatedNegativeBinomial",
    "before",
    "log_of",
    "refuse_but_counts",
]

MOST = 1e10
"""Largest mean."""
SIZES = 15.0
"""Largest logarithm of the size of a negative binomial, which is a Poisson distribution there."""


@dataclass(frozen=True)
class Poisson:
    """Poisson counts."""

    dim: int
    counts: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Rates, before s."""
        return self.dim

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return nats, `(..., D), (..., P) -> (...)`."""
        x, log_rate = x.double(), log_of(h)
        return (x * log_rate - log_rate.exp() - torch.lgamma(x + 1)).sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row, `(..., P) -> (..., D)`."""
        return torch.poisson(log_of(h).exp(), generator=rng).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        return log_of(h).exp().to(h.dtype)

    def check(self, x: Tensor) -> None:
        """Refuse what is not a count."""
        refuse_but_counts(x)

    def start(self, batch: SetBatch) -> Tensor:
        """Return the mean of all atoms before s, `(P,)`."""
        return before(log_of_mean(batch, batch.flat))


@dataclass(frozen=True)
class NegativeBinomial:
    """Counts that spread more than Poisson ones."""

    dim: int
    counts: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Means before s, then logarithms of sizes."""
        return 2 * self.dim

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return nats, `(..., D), (..., P) -> (...)`."""
        return _negative_binomial(x.double(), *self._parts(h)).sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row, `(..., P) -> (..., D)`."""
        return _draw_negative_binomial(*self._parts(h), rng).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        return self._parts(h)[0].exp().to(h.dtype)

    def check(self, x: Tensor) -> None:
        """Refuse what is not a count."""
        refuse_but_counts(x)

    def start(self, batch: SetBatch) -> Tensor:
        """Return what the moments of all atoms say, `(P,)`."""
        log_mean, log_size = _negative_binomial_start(batch, batch.flat)
        return torch.cat([before(log_mean), log_size])

    def _parts(self, h: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_size = h.chunk(2, -1)
        return log_of(mean), cut(log_size, SIZES)


@dataclass(frozen=True)
class ZeroInflatedNegativeBinomial:
    """Counts that spread more than Poisson ones, with zeros of another origin among them."""

    dim: int
    counts: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Means before s, logarithms of sizes, then logits of an extra zero."""
        return 3 * self.dim

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return nats, `(..., D), (..., P) -> (...)`."""
        x = x.double()
        log_mean, log_size, logit = self._parts(h)
        counted = logsigmoid(-logit) + _negative_binomial(x, log_mean, log_size)
        zero = torch.logaddexp(logsigmoid(logit), counted)
        return torch.where(x == 0, zero, counted).sum(-1).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row, `(..., P) -> (..., D)`."""
        log_mean, log_size, logit = self._parts(h)
        counted = _draw_negative_binomial(log_mean, log_size, rng)
        return (counted * uniform(logit, rng).ge(logit.sigmoid())).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        log_mean, _, logit = self._parts(h)
        return ((-logit).sigmoid() * log_mean.exp()).to(h.dtype)

    def check(self, x: Tensor) -> None:
        """Refuse what is not a count."""
        refuse_but_counts(x)

    def start(self, batch: SetBatch) -> Tensor:
        """Return what the moments and the zeros of all atoms say, `(P,)`."""
        log_mean, log_size = _negative_binomial_start(batch, batch.flat)
        expected = _negative_binomial(torch.zeros_like(log_mean), log_mean, log_size).exp()
        zeros = pooled(batch, (batch.flat == 0).double())
        extra = ((zeros - expected) / (1 - expected).clamp_min(1e-6)).clamp(0.02, 0.9)
        log_mean = log_mean - torch.log1p(-extra)
        return torch.cat([before(log_mean), log_size, torch.logit(extra)])

    def _parts(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_size, logit = h.chunk(3, -1)
        return log_of(mean), cut(log_size, SIZES), logit.double()


@dataclass(frozen=True)
class Multinomial:
    """Counts of D categories: a negative-binomial total, shared out by draws of a category."""

    dim: int
    counts: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Logits of categories, the mean of the total before s, the logarithm of its size."""
        return self.dim + 2

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return nats, `(..., D), (..., P) -> (...)`."""
        x = x.double()
        logits, log_mean, log_size = self._parts(h)
        total = x.sum(-1)
        ways = torch.lgamma(total + 1) - torch.lgamma(x + 1).sum(-1)
        shared = ways + (x * logits.log_softmax(-1)).sum(-1)
        return (shared + _negative_binomial(total, log_mean, log_size)).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row, `(..., P) -> (..., D)`."""
        logits, log_mean, log_size = self._parts(h)
        left = _draw_negative_binomial(log_mean, log_size, rng)
        p = logits.softmax(-1)
        # a category takes a binomial share of what those before it left
        rest = p.flip(-1).cumsum(-1).flip(-1)
        share = (p / rest.clamp_min(1e-300)).clamp(0, 1)
        drawn = []
        for j in range(self.dim - 1):
            drawn.append(torch.binomial(left, share[..., j].contiguous(), generator=rng))
            left = left - drawn[-1]
        return torch.stack([*drawn, left], -1).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        logits, log_mean, _ = self._parts(h)
        return (log_mean.exp().unsqueeze(-1) * logits.softmax(-1)).to(h.dtype)

    def check(self, x: Tensor) -> None:
        """Refuse what is not a count."""
        refuse_but_counts(x)

    def start(self, batch: SetBatch) -> Tensor:
        """Return the shares and the moments of the total over all atoms, `(P,)`."""
        logits = log_of_mean(batch, batch.flat).log_softmax(0)
        log_mean, log_size = _negative_binomial_start(batch, batch.flat.sum(1, keepdim=True))
        return torch.cat([logits, before(log_mean), log_size])

    def _parts(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return h[..., :-2].double(), log_of(h[..., -2]), cut(h[..., -1], SIZES)


def log_of(a: Tensor) -> Tensor:
    """Return log s(a), in float64."""
    return functional.softplus(a.double().clamp(-LARGEST, MOST)).log()


def before(log_mean: Tensor) -> Tensor:
    """Return a, from log s(a)."""
    mean = log_mean.exp()
    return mean + torch.log(-torch.expm1(-mean))


def refuse_but_counts(x: Tensor) -> None:
    """Raise a ValueError if a number is negative or has a fraction."""
    other = (x < 0) | (x != x.round())
    if bool(other.any()):
        raise ValueError(
            f"A likelihood of counts met {first(x, other)} in feature "
            f"{int(other.nonzero()[0, -1])} (the first is 0); counts are 0, 1, 2, ... as they "
            "were counted. Give raw counts, untransformed: transform=() in Python, "
            "model.transform=[] on the command line. Use the generator 'flow' or likelihood "
            "'gaussian' for logged or scaled data."
        )


def _negative_binomial(x: Tensor, log_mean: Tensor, log_size: Tensor) -> Tensor:
    size, odds = log_size.exp(), log_mean - log_size
    ways = torch.lgamma(x + size) - torch.lgamma(size) - torch.lgamma(x + 1)
    return ways + size * logsigmoid(-odds) + x * logsigmoid(odds)


def _draw_negative_binomial(log_mean: Tensor, log_size: Tensor, rng: torch.Generator) -> Tensor:
    rate = torch._standard_gamma(log_size.exp(), generator=rng) * (log_mean - log_size).exp()
    return torch.poisson(rate, generator=rng)


def _negative_binomial_start(batch: SetBatch, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of mean and size by moments; with no excess variance the size is large."""
    mean = pooled(batch, x)
    excess = pooled(batch, (x.double() - mean).square()) - mean
    size = mean.square() / excess.clamp_min(1e-12)
    return log_of_mean(batch, x), size.clamp(0.05, 1e3).log()
