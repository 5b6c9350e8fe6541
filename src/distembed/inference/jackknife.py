r"""Estimate the covariance of an embedding without derivatives, by a jackknife over halves.

Draws are assigned at random to g blocks, and halves of the blocks are embedded by themselves. The
rows of a Hadamard matrix define g - 1 halves r, whose complements are r'. With the mass $W_j$ and
$Q_j = \sum_{i \in j} w_i^2$ of block j,

    V = 1/(g D) sum_r c_r c_r^T,      c_r = 2 W_r W_r' (z_r - z_r'),
    D = 1 - 2 sum_j Q_j W_j / sum_j Q_j + sum_j W_j^2,

is the variance between blocks where z is a mean, as if each block was left out in turn, and
unbiased at any weights. Student's t has $(\sum Q)^2 / \sum Q^2 - 1$ degrees of freedom, g - 1 for
equal blocks. For a median the two jackknives differ: without one block it moves by few atoms, and
the estimate is the gap between these (at 101 atoms its 95 % intervals cover 90 %), while halves
move it as far as sampling does (93 %). Terms even in the deviation, and so the bias, cancel in c.

| Pseudo-replication: half-samples (McCarthy, 1969)
| A general theory for jackknife variance estimation (Shao, Wu, 1989)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.inference.derivative import ATOMS, set_runs
from distembed.protocols import Encoder
from distembed.rng import stream

__all__ = ["BlockJackknife"]

_ORDERS = (8, 12, 20, 24, 32, 44, 48, 60)
"""Orders of Hadamard matrices after Paley: one more than primes of the form 4 k + 3."""


@dataclass(frozen=True)
class BlockJackknife:
    """Settings of a jackknife over halves of the blocks.

    Attributes:
        blocks: Largest number of blocks; it is 8, 12, 20, 24, 32, 44, 48 or 60. Each has at least
            two draws: below sixteen draws the covariance is NaN.
        seed: Seed of the blocks, which depend on it and on the number of draws alone.

    Raises:
        ValueError: If there are fewer than eight blocks.
    """

    blocks: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.blocks < _ORDERS[0]:
            raise ValueError(
                f"blocks = {self.blocks}; a jackknife needs at least {_ORDERS[0]} blocks."
            )

    def estimate(
        self, encoder: Encoder, batch: SetBatch, w: Tensor, draws: Tensor, atoms: int = ATOMS
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return z `(B, L)`, its covariance `(B, L, L)` and degrees of freedom `(B,)`.

        Args:
            encoder: Any callable `SetBatch -> (B, L)`.
            batch: Sets without atoms of weight zero.
            w: Their weights in float64, `(N,)`.
            draws: Number of draws that each atom stands for, `(N,)`, whole.
            atoms: Number of atoms that are embedded at once, unless a set has more.

        Raises:
            ValueError: If the counts are fractions.
        """
        if bool((draws != draws.round()).any()):
            raise ValueError("count has fractions; a jackknife assigns whole draws to blocks.")
        sizes = batch.sizes.tolist()
        pieces = zip(range(len(batch)), w.split(sizes), draws.split(sizes), strict=True)
        sets = [_Blocks(batch[b], part, counts, self) for b, part, counts in pieces]
        whole = (batch.select(run) for run in set_runs(batch.sizes, atoms))
        embeddings = _embed(encoder, chain(whole, *(s.halves(atoms) for s in sets)), atoms)
        z, *halves = embeddings.split([len(batch), *(2 * max(s.blocks - 1, 0) for s in sets)])
        cov = z.new_full((len(z), z.shape[1], z.shape[1]), torch.nan)
        df = z.new_full((len(z),), torch.nan)
        for b, (s, parts) in enumerate(zip(sets, halves, strict=True)):
            if s.blocks:
                half, complement = parts.chunk(2)
                mass, noise = s.mass, s.noise / s.noise.sum()
                share = s.rows.to(mass) @ mass
                contrast = (2 * share * (1 - share))[:, None] * (half - complement)
                correction = 1 - 2 * (noise * mass).sum() + mass.square().sum()
                cov[b] = contrast.mT @ contrast / (s.blocks * correction)
                df[b] = 1 / noise.square().sum() - 1
        return z, cov, df


class _Blocks:
    """Assign the draws of one set to blocks at random; no blocks if there are too few draws."""

    def __init__(self, one: SetBatch, w: Tensor, draws: Tensor, settings: BlockJackknife) -> None:
        total = int(draws.sum())
        limit = min(settings.blocks, total // 2)
        self.one, self.w, self.draws = one, w, draws
        self.blocks = max((g for g in _ORDERS if g <= limit), default=0)
        if self.blocks:
            self.atom = torch.arange(len(w), device=w.device).repeat_interleave(draws.long())
            order = torch.randperm(total, generator=stream(settings.seed, "blocks", total))
            self.block = (order % self.blocks).to(w.device)
            self.rows = _halves(self.blocks).to(w.device)

    @property
    def mass(self) -> Tensor:
        """Weight of each block, `(blocks,)`."""
        return torch.bincount(self.block, (self.w / self.draws)[self.atom])

    @property
    def noise(self) -> Tensor:
        """Sum over the draws of each block of squared weights, `(blocks,)`."""
        return torch.bincount(self.block, (self.w / self.draws)[self.atom].square())

    def halves(self, atoms: int) -> Iterator[SetBatch]:
        """Yield the sets of each half and then of each complement, about `atoms` atoms at once."""
        if not self.blocks:
            return
        for rows in torch.cat([self.rows, ~self.rows]).split(max(1, atoms // len(self.w))):
            draws = self.w.new_zeros(len(rows), len(self.w))
            draws.index_add_(1, self.atom, rows[:, self.block].to(draws))
            w = self.w / self.draws * draws
            half, atom = draws.nonzero(as_tuple=True)
            sizes = torch.bincount(half, minlength=len(rows))
            offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
            w = (w / w.sum(1, keepdim=True))[half, atom]
            yield SetBatch(self.one.x[atom], w.to(self.one.w), offsets)


@cache
def _halves(blocks: int) -> Tensor:
    """Return halves of the blocks with orthogonal signs, `(blocks - 1, blocks)` (Paley, 1933)."""
    prime = blocks - 1
    squares = {k * k % prime for k in range(1, prime)}
    rows = [[(j - r) % prime in squares for j in range(prime)] + [True] for r in range(prime)]
    return torch.tensor(rows)


@torch.no_grad()
def _embed(encoder: Encoder, batches: Iterable[SetBatch], atoms: int) -> Tensor:
    """Embed batches in turn, small ones together, `(sum of B, L)` in float64."""
    embeddings: list[Tensor] = []
    group: list[SetBatch] = []
    size = 0
    for batch in batches:
        if group and size + len(batch.x) > atoms:
            embeddings.append(encoder(SetBatch.concat(group)).double())
            group, size = [], 0
        group.append(batch)
        size += len(batch.x)
    embeddings.append(encoder(SetBatch.concat(group)).double())
    return torch.cat(embeddings)
