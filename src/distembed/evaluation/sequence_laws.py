r"""Laws of sequences as tables of probabilities, times a law of the length.

    PositionLaw   p(x) = p(l) \prod_t p_t(x_t)
    MarkovLaw     p(x) = p(l) \prod_t p(x_t | x_{t-k}, ..., x_{t-1})

Before a sequence stands a symbol of its own, so that a context of k symbols knows where a sequence
starts. `distembed.evaluation.sequence_baselines` fits the tables.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from distembed.evaluation.length_law import LengthLaw

__all__ = ["CountedLaw", "MarkovLaw", "PositionLaw", "contexts"]


class CountedLaw(Protocol):
    """A law of sequences that was fitted to the atoms of one set."""

    remark: str
    """What was chosen by cross-validation."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-likelihood of sequences `(N, T)` in nats, `(N,)` float64."""

    def draw(self, m: int, rng: torch.Generator) -> Tensor:
        """Draw sequences, `(m, T)` int64."""


class PositionLaw:
    """Independent symbols, with frequencies of each position.

    Args:
        p: Probabilities, `(T + 1, V)`; the last row is for positions beyond.
        lengths: The law of the length.
        remark: What was chosen by cross-validation.
    """

    def __init__(self, p: Tensor, lengths: LengthLaw, remark: str) -> None:
        self.p, self.lengths, self.remark = p, lengths, remark

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-likelihood of sequences in nats, `(N,)` float64."""
        place = torch.arange(x.shape[1]).clamp_max(len(self.p) - 1)
        symbols = functional.pad(self.p.log(), (1, 0))[place, x.long()].sum(1)
        return self.lengths.log_prob((x > 0).sum(1)) + symbols

    def draw(self, m: int, rng: torch.Generator) -> Tensor:
        """Draw sequences, `(m, T)` int64."""
        length = self.lengths.draw(m, rng)
        place = torch.arange(int(length.max())).clamp_max(len(self.p) - 1)
        x = torch.multinomial(self.p[place], m, True, generator=rng).T + 1
        return x.where(torch.arange(len(place)) < length[:, None], 0)


class MarkovLaw:
    """A Markov chain of order k.

    Args:
        p: Probabilities of a symbol after each context, `((V + 1)^k, V)`; the nearest symbol is
            the last digit of a context, and 0 is the start.
        lengths: The law of the length.
        remark: What was chosen by cross-validation.
    """

    def __init__(self, p: Tensor, lengths: LengthLaw, remark: str) -> None:
        self.p, self.lengths, self.remark = p, lengths, remark
        self.order = round(math.log(len(p), p.shape[1] + 1))

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-likelihood of sequences in nats, `(N,)` float64."""
        context = contexts(x.long(), self.order, self.p.shape[1])
        symbols = functional.pad(self.p.log(), (1, 0))[context, x.long()].sum(1)
        return self.lengths.log_prob((x > 0).sum(1)) + symbols

    def draw(self, m: int, rng: torch.Generator) -> Tensor:
        """Draw sequences, `(m, T)` int64."""
        length = self.lengths.draw(m, rng)
        context, base = torch.zeros_like(length), self.p.shape[1] + 1
        x = torch.zeros(m, int(length.max()), dtype=torch.int64)
        for t in range(x.shape[1]):
            x[:, t] = torch.multinomial(self.p[context], 1, generator=rng)[:, 0] + 1
            context = (context * base + x[:, t]) % len(self.p)
        return x.where(torch.arange(x.shape[1]) < length[:, None], 0)


def contexts(x: Tensor, k: int, vocab: int) -> Tensor:
    """Number the k symbols before each position, the nearest as the last digit, `(N, T)`."""
    code = torch.zeros_like(x)
    for j in range(k, 0, -1):
        code = code * (vocab + 1) + functional.pad(x, (j, 0))[:, : x.shape[1]]
    return code
