r"""Collections of sequences whose laws are known, each with its exact log-likelihood.

    MotifMixtures    a motif c ~ w_s at a uniform place of an independent background
    MarkovChains     x_1 ~ a_s,  x_t ~ A_s[x_{t-1}]
    PairedProfiles   aligned: (x_p, x_{P+p}) ~ table_{s,p}, independent for p = 1..P

Lengths are uniform on a range, the same for every set. In a mixture the place and the motif are
summed out,

    p(x) = p(l) \prod_t q(x_t) \sum_c w_c R_c(x),
    R_c(x) = \frac{1}{l - W + 1} \sum_i \prod_j M_c[j, x_{i+j}] / q(x_{i+j}).

A sequence that cannot occur, such as one of another length, has the log-likelihood -inf.
`distembed.data.synthetic.sequence_families` draws parameters from priors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.data.spaces import Tokens
from distembed.data.synthetic.base import Known, parameter, positive, simplex
from distembed.data.synthetic.lengths import (
    Lengths,
    checked_lengths,
    cut,
    draw_lengths,
    log_length,
    padded,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["MarkovChains", "MotifMixtures", "PairedProfiles"]


class MotifMixtures(Known):
    """Sequences of independent symbols, into each of which one motif is written.

    Args:
        weights: Of the K motifs in each set, `(S, K)`; each row is divided by its sum.
        motifs: Probabilities of the symbols at the W places of each motif, `(K, W, V)`; each row
            is divided by its sum, and so is the background.
        background: Probabilities of the symbols outside of the motif, `(V,)`.
        lengths: The shortest, at least W, and the longest sequence.
        size: Atoms of a set where no number is given.
        seed: Of the atoms that belong to a set.

    Raises:
        ValueError: If the shapes do not fit, or a sequence may be shorter than a motif.
    """

    def __init__(
        self,
        weights: ArrayLike,
        motifs: ArrayLike,
        background: ArrayLike,
        lengths: Lengths,
        size: int = 200,
        seed: int = 0,
    ) -> None:
        self.weights = simplex("weights", weights)
        table = parameter("motifs", motifs, 3)
        self.motifs = simplex("motifs", table.flatten(0, 1)).view_as(table)
        self.background = simplex("background", parameter("background", background, 1)[None])[0]
        k, width, vocab = self.motifs.shape
        if k != self.weights.shape[1] or vocab != len(self.background):
            raise ValueError(
                f"weights have shape {tuple(self.weights.shape)}, motifs "
                f"{tuple(self.motifs.shape)} and background {tuple(self.background.shape)}; they "
                "need (S, K), (K, W, V) and (V,)."
            )
        self.lengths = checked_lengths(lengths, width)
        self.atoms, self.size, self.seed = _alphabet(vocab), positive(size), seed

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom, `(longest,)`."""
        return (self.lengths[1],)

    @property
    def parameters(self) -> Tensor:
        """What differs between sets: the weights of the motifs, `(S, K)`."""
        return self.weights

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m sequences of each set, `(B, m, T)` int64."""
        count, width = len(index) * m, self.motifs.shape[1]
        length = draw_lengths(self.lengths, count, rng)
        x = _draw_rows(self.background.expand(count * self.lengths[1], -1), rng)
        x = x.unflatten(0, (count, -1))
        motif = torch.multinomial(self.weights[index], m, True, generator=rng).flatten()
        written = _draw_rows(self.motifs[motif].flatten(0, 1), rng).unflatten(0, (count, width))
        places = length - width + 1
        uniform = torch.rand(count, generator=rng, dtype=torch.float64)
        start = (uniform * places).long().clamp_max(places - 1)
        x = x.scatter(1, start[:, None] + torch.arange(width), written)
        return cut(x, length).view(len(index), m, -1)

    def log_prob(self, batch: SetBatch, index: ArrayLike) -> Tensor:
        """Return the log-likelihood of every atom in nats, `(N,)` float64.

        Args:
            batch: Sequences.
            index: Which law each set of the batch is scored under, `(B,)`.
        """
        x, length = padded(batch.x, self.lengths[1]), (batch.x > 0).sum(1)
        width = self.motifs.shape[1]
        log_q = self.background.log()
        ratio = functional.pad(self.motifs.log() - log_q, (1, 0))  # a pad adds nothing
        windows = x.unfold(1, width, 1)  # (N, places, W)
        fit = sum(ratio[:, j][:, windows[:, :, j]] for j in range(width))  # (K, N, places)
        places = (length - width + 1).clamp_min(1)
        outside = torch.arange(windows.shape[1]) >= places[:, None]
        assert isinstance(fit, Tensor)
        fit = fit.masked_fill(outside, -torch.inf).logsumexp(2).T - places.double().log()[:, None]
        weights = self.weights[torch.as_tensor(index)][batch.owner].log()
        symbols = functional.pad(log_q, (1, 0))[x].sum(1)
        nats: Tensor = symbols + (weights + fit).logsumexp(1)
        return log_length(length, self.lengths) + nats


class MarkovChains(Known):
    """Markov chains of order one.

    Args:
        start: Probabilities of the first symbol in each set, `(S, V)`.
        transition: Of each symbol after each, `(S, V, V)`; rows are divided by their sums.
        lengths: The shortest and the longest sequence.
        size: As of `MotifMixtures`.
        seed: As of `MotifMixtures`.

    Raises:
        ValueError: If the shapes do not fit.
    """

    def __init__(
        self,
        start: ArrayLike,
        transition: ArrayLike,
        lengths: Lengths,
        size: int = 200,
        seed: int = 0,
    ) -> None:
        self.start = simplex("start", start)
        table = parameter("transition", transition, 3)
        if table.shape != (*self.start.shape, self.start.shape[1]):
            raise ValueError(
                f"start has shape {tuple(self.start.shape)} and transition {tuple(table.shape)}; "
                "they need (S, V) and (S, V, V)."
            )
        self.transition = simplex("transition", table.flatten(0, 1)).view_as(table)
        self.lengths = checked_lengths(lengths, 1)
        self.atoms, self.size, self.seed = _alphabet(table.shape[2]), positive(size), seed

    def __len__(self) -> int:
        return len(self.start)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom, `(longest,)`."""
        return (self.lengths[1],)

    @property
    def parameters(self) -> Tensor:
        """What differs between sets: the rates of transitions, `(S, V V)`."""
        return self.transition.flatten(1)

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m sequences of each set, `(B, m, T)` int64."""
        sets = index.repeat_interleave(m)
        x = [_draw_rows(self.start[sets], rng)]
        for _ in range(self.lengths[1] - 1):
            x.append(_draw_rows(self.transition[sets, x[-1] - 1], rng))
        length = draw_lengths(self.lengths, len(sets), rng)
        return cut(torch.stack(x, 1), length).view(len(index), m, -1)

    def log_prob(self, batch: SetBatch, index: ArrayLike) -> Tensor:
        """Return the log-likelihood of every atom in nats, `(N,)`; as of `MotifMixtures`."""
        x, length = padded(batch.x, self.lengths[1]), (batch.x > 0).sum(1)
        sets = torch.as_tensor(index)[batch.owner]
        before, after = (x[:, :-1] - 1).clamp_min(0), (x[:, 1:] - 1).clamp_min(0)
        steps = self.transition.log()[sets[:, None], before, after]
        steps = steps.where(torch.arange(1, x.shape[1]) < length[:, None], 0.0)
        first = self.start.log()[sets, (x[:, 0] - 1).clamp_min(0)]
        nats: Tensor = first + steps.sum(1)
        return log_length(length, self.lengths) + nats


class PairedProfiles(Known):
    """Aligned sequences whose positions p and P + p depend on each other, and on no other.

    Args:
        tables: Joint probabilities of the symbols of each pair, `(S, P, V, V)`; each table is
            divided by its sum. A table of rank one has independent positions.
        size: As of `MotifMixtures`.
        seed: As of `MotifMixtures`.
    """

    def __init__(self, tables: ArrayLike, size: int = 200, seed: int = 0) -> None:
        self.tables = parameter("tables", tables, 4)
        rows = simplex("tables", self.tables.flatten(2).flatten(0, 1))
        self.tables = rows.view_as(self.tables)
        self.atoms, self.size, self.seed = _alphabet(self.tables.shape[2]), positive(size), seed

    def __len__(self) -> int:
        return len(self.tables)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom, `(2 P,)`."""
        return (2 * self.tables.shape[1],)

    @property
    def parameters(self) -> Tensor:
        """What differs between sets: the tables, `(S, P V V)`."""
        return self.tables.flatten(1)

    @property
    def profile(self) -> Tensor:
        """Probabilities of the symbols at each position, `(S, 2 P, V)`."""
        return torch.cat([self.tables.sum(3), self.tables.sum(2)], 1)

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m sequences of each set, `(B, m, T)` int64."""
        vocab = self.tables.shape[2]
        rows = self.tables[index].flatten(2)  # (B, P, V V)
        cell = torch.multinomial(rows.flatten(0, 1), m, True, generator=rng)
        cell = cell.unflatten(0, rows.shape[:2]).mT
        return torch.cat([cell // vocab, cell % vocab], 2) + 1

    def log_prob(self, batch: SetBatch, index: ArrayLike) -> Tensor:
        """Return the log-likelihood of every atom in nats, `(N,)`; as of `MotifMixtures`."""
        (positions,), length = self.event_shape, (batch.x > 0).sum(1)
        x = (padded(batch.x, positions) - 1).clamp_min(0)
        first, second = x.chunk(2, 1)
        sets = torch.as_tensor(index)[batch.owner]
        nats = self.tables.log()[sets[:, None], torch.arange(positions // 2), first, second]
        return log_length(length, (positions, positions)) + nats.sum(1)


def _alphabet(vocab: int) -> Tokens:
    """Return DNA for four symbols, and otherwise the first letters."""
    return Tokens("ACGT" if vocab == 4 else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:vocab])


def _draw_rows(p: Tensor, rng: torch.Generator) -> Tensor:
    """Draw a token 1 to V from each row of probabilities `(N, V)`."""
    return torch.multinomial(p, 1, generator=rng)[:, 0] + 1
