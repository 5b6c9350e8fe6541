r"""Likelihood of counts of categories with a random total.

    T ~ negative binomial of mean s(b) and size exp(c),      h = [a, b, c]
    x | T ~ multinomial(T, softmax(a))

The total of an atom is part of the atom, so it is predicted and not taken from the data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.generators.likelihoods.base import log_pooled_mean
from distembed.generators.likelihoods.counts import (
    check_counts,
    draw_negative_binomial,
    log_negative_binomial,
    negative_binomial_moments,
)
from distembed.generators.likelihoods.links import (
    CountLimits,
    inverse_softplus_of_log,
    log_softplus,
)

__all__ = ["Multinomial"]


@dataclass(frozen=True)
class Multinomial:
    """Counts of D categories with a negative binomial total.

    Args:
        dim: Number D of categories.
        limits: Bounds on the mean and the size of the total.

    Example:
        >>> Multinomial(3).sample(torch.zeros(7, 5), torch.Generator()).shape
        torch.Size([7, 3])
    """

    dim: int
    limits: CountLimits = field(default_factory=CountLimits)
    counts: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Logits of categories, the mean of the total before s, the logarithm of its size."""
        return self.dim + 2

    @property
    def means(self) -> slice:
        """The mean of the total, before s."""
        return slice(self.dim, self.dim + 1)

    def log_prob(self, x: Tensor, h: Tensor) -> Tensor:
        """Return log probabilities in nats, `(..., D), (..., P) -> (...)`."""
        x = x.double()
        logits, log_mean, log_size = self._split(h)
        total = x.sum(-1)
        ways = torch.lgamma(total + 1) - torch.lgamma(x + 1).sum(-1)
        given_total = ways + (x * logits.log_softmax(-1)).sum(-1)
        return (given_total + log_negative_binomial(total, log_mean, log_size)).to(h.dtype)

    def sample(self, h: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one atom for each row of parameters, `(..., P) -> (..., D)`."""
        logits, log_mean, log_size = self._split(h)
        remainder = draw_negative_binomial(log_mean, log_size, rng)
        p = logits.softmax(-1)
        # each category takes a binomial part of what the categories before it left
        tail = p.flip(-1).cumsum(-1).flip(-1)
        fraction = (p / tail.clamp_min(1e-300)).clamp(0, 1)
        counts = []
        for j in range(self.dim - 1):
            counts.append(torch.binomial(remainder, fraction[..., j].contiguous(), generator=rng))
            remainder = remainder - counts[-1]
        return torch.stack([*counts, remainder], -1).to(h.dtype)

    def mean(self, h: Tensor) -> Tensor:
        """Return the mean of an atom, `(..., P) -> (..., D)`."""
        logits, log_mean, _ = self._split(h)
        return (log_mean.exp().unsqueeze(-1) * logits.softmax(-1)).to(h.dtype)

    def check(self, x: Tensor) -> None:
        """Raise a ValueError if a number is not a count."""
        check_counts(x)

    def estimate(self, batch: SetBatch) -> Tensor:
        """Estimate fractions of categories and the moments of the total, `(P,)`."""
        logits = log_pooled_mean(batch, batch.flat).log_softmax(0)
        total = batch.flat.sum(1, keepdim=True)
        log_mean, log_size = negative_binomial_moments(batch, total)
        return torch.cat([logits, inverse_softplus_of_log(log_mean), log_size])

    def _split(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits of categories, and logarithms of mean and size of the total."""
        log_mean = log_softplus(h[..., -2], self.limits)
        return h[..., :-2].double(), log_mean, self.limits.clamp_size(h[..., -1])
