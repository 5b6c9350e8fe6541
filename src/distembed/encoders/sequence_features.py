r"""Sparse features of token sequences, whose means are embeddings of a set of sequences.

*Spectrum* (Leslie, Eskin and Noble, 2002): the share of each k-mer in the sequence, for several k;
each k has a scale of its own.

*Places*: of aligned sequences the symbol at each position, one-hot. Of others the symbols at the
first positions and at the last ones, counted from the end, and the steps 1[l >= t] of the length l
at some t.

More features than `buckets` are hashed to so many. A sequence has few features that are not zero,
so they are given as numbers of columns and values, and multiplied with a matrix by summing rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.nn.kmers import hashed, kmers
from distembed.nn.tokens import check_tokens, read_tokens

__all__ = ["SequenceFeatures", "Sparse", "mean_features", "mean_kmers", "multiplied"]

Sparse = tuple[Tensor, Tensor]
"""Columns `(N, F)` int64 and values `(N, F)` float64 of the features of sequences."""


@dataclass(frozen=True)
class SequenceFeatures:
    """Features of sequences of one alphabet.

    Attributes:
        length: Positions of an atom; of aligned sequences the only length.
        vocab: Size V of the alphabet.
        aligned: Whether positions correspond.
        orders: The k of the spectrum; all up to 5 with at most 512 (k - 1)-mers if left out.
        ends: First and last positions of sequences that are not aligned.
        steps: Most steps of the length.
        buckets: Most features of a kind.
        numbers: Values that are in memory at a time.
    """

    length: int
    vocab: int
    aligned: bool = False
    orders: Sequence[int] | None = None
    ends: int = 32
    steps: int = 64
    buckets: int = 4096
    numbers: int = 2**22

    def __post_init__(self) -> None:
        check_tokens((self.length,), self.vocab)
        if min(self.ks, default=0) < 1:
            raise ValueError(
                f"orders = {tuple(self.ks)}; the k of k-mers are whole numbers of at least 1, one "
                "at least."
            )

    @property
    def ks(self) -> Sequence[int]:
        """The k of the spectrum."""
        if self.orders is not None:
            return self.orders
        return [k for k in range(1, 6) if self.vocab ** (k - 1) <= 512]

    @property
    def spectrum_sizes(self) -> list[int]:
        """Columns of each k."""
        return [min(self.vocab**k, self.buckets) for k in self.ks]

    @property
    def place_size(self) -> int:
        """Columns of the places."""
        if self.aligned:
            return min(self.length * self.vocab, self.buckets)
        return 2 * self.ends * self.vocab + len(self._thresholds)

    def read(self, x: Tensor) -> Tensor:
        """Check tokens, and cut them to the longest sequence.

        Raises:
            ValueError: If they are no tokens of the alphabet, or aligned sequences have another
                length.
        """
        ids, mask = read_tokens(x, self.vocab)
        if self.aligned and not bool(mask.sum(1).eq(self.length + 1).all()):
            other = int(mask.sum(1)[mask.sum(1) != self.length + 1][0]) - 1
            raise ValueError(
                f"An aligned sequence has {other} symbols, and those that this encoder was built "
                f"for have {self.length}. Align all sequences together, or read them with "
                "aligned=False."
            )
        return ids[:, 1:]

    def spectrum(self, x: Tensor, scales: Tensor) -> Sparse:
        """Return shares of k-mers, times the scale of their k `(K,)`."""
        columns, values, offset = [], [], 0
        for k, size, scale in zip(self.ks, self.spectrum_sizes, scales.double(), strict=True):
            number = kmers(x, k, self.vocab)
            inside = number >= 0
            value = scale * inside.double() / inside.sum(1, keepdim=True).clamp_min(1)
            column, sign = self._column(number, self.vocab**k)
            columns.append(column.where(inside, 0) + offset)
            values.append(value * sign)
            offset += size
        return torch.cat(columns, 1), torch.cat(values, 1)

    def places(self, x: Tensor) -> Sparse:
        """Return symbols by position, and steps of the length where it varies."""
        if self.aligned:
            number = torch.arange(self.length, device=x.device) * self.vocab + x - 1
            return self._column(number, self.length * self.vocab)
        length = (x > 0).sum(1, keepdim=True)
        place = torch.arange(self.ends, device=x.device)
        padded = functional.pad(x, (0, max(0, self.ends - x.shape[1])))
        first = padded[:, : self.ends]
        last = padded.gather(1, (length - 1 - place).clamp_min(0)).where(place < length, 0)
        symbols = torch.cat([first, last], 1)
        column = torch.arange(2 * self.ends, device=x.device) * self.vocab + symbols - 1
        thresholds = self._thresholds.to(x.device)
        steps = torch.arange(len(thresholds), device=x.device) + 2 * self.ends * self.vocab
        value = (length >= thresholds).double() * (self.length / len(thresholds)) ** 0.5
        return (
            torch.cat([column.where(symbols > 0, 0), steps.expand_as(value)], 1),
            torch.cat([(symbols > 0).double(), value], 1),
        )

    def apply(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a function of sequences to as many at a time as memory allows."""
        each = x.shape[1] * (len(self.ks) + 1) + 2 * self.ends + self.steps
        rows = max(1, self.numbers // each)
        return torch.cat([function(part) for part in x.split(rows)])

    @property
    def _thresholds(self) -> Tensor:
        count = min(self.length, self.steps)
        return torch.linspace(1, self.length, count).round().long()

    def _column(self, number: Tensor, count: int) -> Sparse:
        if count <= self.buckets:
            return number, torch.ones_like(number, dtype=torch.float64)
        return hashed(number, self.buckets)


def multiplied(features: Sparse, matrix: Tensor) -> Tensor:
    """Multiply features of sequences with a matrix `(D, L)`, `(N, L)` float64."""
    columns, values = features
    product: Tensor = functional.embedding_bag(
        columns, matrix.double(), mode="sum", per_sample_weights=values
    )
    return product


def mean_features(batch: SetBatch, features: Callable[[Tensor], Sparse], count: int) -> Tensor:
    """Average `count` features over the atoms of each set, `(B, D)` float64."""
    total = torch.zeros(batch.count * count, dtype=torch.float64, device=batch.x.device)
    w = batch.w.double()
    for rows in torch.arange(len(batch.x), device=batch.x.device).split(4096):
        columns, values = features(batch.x[rows])
        place = columns + batch.owner[rows, None] * count
        total.index_add_(0, place.flatten(), (values * w[rows, None]).flatten())
    return total.view(batch.count, count) / batch.mass.double()[:, None]


def mean_kmers(batch: SetBatch, vocab: int, most: int = 4096) -> Tensor:
    """Average the shares of k-mers over each set, of all k with at most so many k-mers.

    Args:
        batch: Token sequences.
        vocab: Size V of the alphabet.
        most: Most k-mers of one k.

    Returns:
        `(B, V + V^2 + ...)` float64.

    Example:
        >>> batch = SetBatch.from_list([torch.tensor([[1, 2, 1], [2, 2, 0]])])
        >>> mean_kmers(batch, vocab=2, most=2).tolist()
        [[0.3333333333333333, 0.6666666666666666]]
    """
    parts, scale = [], torch.ones(1)
    for k in (k for k in range(1, batch.x.shape[1] + 1) if k == 1 or vocab**k <= most):
        features = SequenceFeatures(batch.x.shape[1], vocab, orders=(k,), buckets=vocab**k)
        shares = partial(features.spectrum, scales=scale)
        parts.append(mean_features(batch, shares, features.spectrum_sizes[0]))
    return torch.cat(parts, 1)
