r"""Components of a mixture of profiles, by expectation-maximisation.

    q_ik = softmax_k(log pi_k + sum_t log p_k(t, x_it)),   p_k(t, c) ~ sum_i n_i q_ik 1[x_it = c]

with n_i the atoms that a sequence stands for, by its weight in its set (Dempster, Laird and
Rubin, 1977). The frequencies of a component are smoothed by those of all sequences together.
Every component starts from one sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from distembed.generators.tokens.sites import NextTokens
from distembed.nn.tokens import pieces
from distembed.rng import stream

__all__ = ["Components", "MixtureStart", "Places", "find_components", "sum_of_rows"]


@dataclass(frozen=True)
class MixtureStart:
    """How the components of a mixture are found.

    Attributes:
        sequences: Number of sequences, at most.
        iterations: Steps of expectation-maximisation.
        smoothing: Sequences that the frequencies of all components weigh in those of one.
        seed: Of the choice of sequences, and of those that components start from.
    """

    sequences: int = 4096
    iterations: int = 20
    smoothing: float = 4.0
    seed: int = 0


class Components(NamedTuple):
    """Components of a mixture.

    Attributes:
        gain: Log frequencies less those of all sequences, `(C, V + 1, K)`.
        share: The share of each component in each sequence, `(N, K)`.
    """

    gain: Tensor
    share: Tensor


@dataclass(frozen=True)
class Places:
    """Rows of a table of classes by position that belong to sequences.

    Attributes:
        row: Position times classes plus the class of each prediction, `(N, C)`.
        mask: One for predictions of a sequence, zero for others, `(N, C)` float32.
        classes: Number of classes of a position.
    """

    row: Tensor
    mask: Tensor
    classes: int

    @classmethod
    def of(cls, parts: NextTokens, classes: int) -> Places:
        """Return the places of all sequences."""
        step = classes * torch.arange(parts.ids.shape[1], device=parts.ids.device)
        return cls(parts.next + step, parts.mask.float(), classes)

    def select(self, index: Tensor | slice) -> Places:
        """Return the places of some sequences."""
        return Places(self.row[index], self.mask[index], self.classes)

    def sums(self, table: Tensor) -> Tensor:
        """Sum the entries of a table `(C, V + 1, K)` that belong to each sequence, `(N, K)`."""
        return sum_of_rows(table.flatten(0, 1), self.row, self.mask)

    def counts(self, share: Tensor) -> Tensor:
        """Count classes by position and by share of the sequences `(N, K)`, `(C, V + 1, K)`."""
        mass = self.mask.unsqueeze(-1) * share.unsqueeze(1)
        shape = (self.row.shape[1], self.classes, share.shape[1])
        total = share.new_zeros(shape).flatten(0, 1)
        return total.index_add(0, self.row.flatten(), mass.flatten(0, 1)).view(shape)


def sum_of_rows(table: Tensor, row: Tensor, mask: Tensor) -> Tensor:
    """Sum the rows of a table `(R, K)` over the positions of each sequence, `(n, K)`."""
    # the gradient of table[row] adds rows in an order that depends on the threads
    each = table.index_select(0, row.flatten()).view(*row.shape, -1)
    return (each * mask.unsqueeze(-1)).sum(1)


def find_components(places: Places, mass: Tensor, count: int, start: MixtureStart) -> Components:
    """Find the components of a mixture.

    Args:
        places: The sequences.
        mass: How many atoms each of them stands for, `(N,)`; those of zero are not looked at.
        count: Number K of components.
        start: Settings.
    """
    device = places.row.device
    candidates = mass.nonzero().flatten()
    order = torch.randperm(len(candidates), generator=stream(start.seed, "components"))
    chosen = candidates[order[: start.sequences].to(device)]
    some = places.select(chosen)
    weight = mass[chosen, None].to(some.mask)
    number = torch.arange(len(some.row), device=device)
    pooled = some.counts(weight) + 0.5
    pooled = pooled / pooled.sum(1, keepdim=True)
    share = functional.one_hot(number % count, count) * (number < count).unsqueeze(1)
    share, log_share = share.to(some.mask), pooled.new_zeros(count)
    for _ in range(start.iterations):
        frequency = some.counts(weight * share) + start.smoothing * pooled
        log_p = (frequency / frequency.sum(1, keepdim=True)).log()
        share = (some.sums(log_p) + log_share).softmax(1)
        log_share = (((weight * share).sum(0) + 1) / (weight.sum() + count)).log()
    shares = [
        (places.select(part).sums(log_p) + log_share).softmax(1)
        for part in pieces(len(places.row), places.row.shape[1] * count)
    ]
    return Components(log_p - pooled.log(), torch.cat(shares))
