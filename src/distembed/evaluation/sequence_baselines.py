r"""Counted laws of sequences: what a generator of sequences has to beat.

Position frequencies and Markov chains (`distembed.evaluation.sequence_laws`) are fitted to the
atoms of one set, and have an exact probability for every sequence. Counts are smoothed with a
prior of $\alpha$ atoms (a Dirichlet mean; MacKay and Peto, 1995): those of a position towards the
frequencies of the whole set, those after k symbols towards those after k - 1 symbols, and the
frequencies of the set towards equal ones,

    p_k(a | c) = (n(c a) + \alpha p_{k-1}(a | c')) / (n(c) + \alpha),      p_{-1}(a) = 1 / V,

where c' is c without its oldest symbol. The order k, $\alpha$ and the bandwidth of the lengths
(`distembed.evaluation.length_law`) are those of the highest likelihood in cross-validation over
the atoms of the set. A set of one atom gets the first of the choices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.evaluation.length_law import LengthLaw
from distembed.evaluation.sequence_laws import CountedLaw, MarkovLaw, PositionLaw, contexts
from distembed.rng import stream

__all__ = [
    "LawChoices",
    "draw_laws",
    "fit_markov",
    "fit_positions",
    "log_prob",
    "markov",
    "positions",
]


@dataclass(frozen=True)
class LawChoices:
    """What cross-validation chooses from.

    Attributes:
        orders: Symbols that a Markov chain looks back on; those with more than `cells` numbers in
            a table are left out.
        alphas: Weights of the prior, in atoms.
        bandwidths: Of the law of lengths, in symbols.
        folds: Parts of the atoms, each of which is left out once.
        cells: Most numbers in a table.
    """

    orders: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    alphas: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0, 30.0)
    bandwidths: tuple[float, ...] = (0.0, 1.0, 3.0, 10.0, 30.0)
    folds: int = 4
    cells: int = 2**20


def fit_positions(
    batch: SetBatch, vocab: int, choices: LawChoices | None = None
) -> list[CountedLaw]:
    """Fit position frequencies to each set; the law of a single set may serve for all.

    Args:
        batch: Sequences.
        vocab: Size of the alphabet.
        choices: What cross-validation chooses from.

    Example:
        >>> batch = SetBatch.from_list([torch.tensor([[1, 2], [1, 2]] * 9)])
        >>> (law,) = fit_positions(batch, vocab=2)
        >>> law.remark, float(law.log_prob(torch.tensor([[1, 2]])).exp()) > 0.9
        ('alpha = 0.3', True)
    """
    settings = choices or LawChoices()
    return [_fit_positions(atoms, vocab, settings) for atoms in _atoms(batch, settings.folds)]


def fit_markov(batch: SetBatch, vocab: int, choices: LawChoices | None = None) -> list[CountedLaw]:
    """Fit a Markov chain to each set; arguments as of `fit_positions`.

    Example:
        >>> batch = SetBatch.from_list([torch.tensor([[1], [2], [1], [2]] * 9)])
        >>> fit_markov(batch, vocab=2)[0].remark
        'order 0, alpha = 30'
    """
    settings = choices or LawChoices()
    return [_fit_markov(atoms, vocab, settings) for atoms in _atoms(batch, settings.folds)]


def log_prob(laws: Sequence[CountedLaw], batch: SetBatch) -> Tensor:
    """Return the log-likelihood of every atom under the law of its set, `(N,)` nats."""
    sizes = batch.sizes.tolist()
    parts = batch.x.split(sizes)
    return torch.cat([law.log_prob(x) for law, x in zip(laws, parts, strict=True)])


def draw_laws(laws: Sequence[CountedLaw], sizes: Sequence[int], seed: int) -> SetBatch:
    """Draw sequences from each law, `sizes` of them."""
    rng = stream(seed, "counted laws")
    return SetBatch.from_list([law.draw(m, rng) for law, m in zip(laws, sizes, strict=True)])


def positions(context: SetBatch, sizes: Sequence[int], seed: int) -> SetBatch:
    """Draw from the position frequencies of each context, a baseline of samples."""
    return draw_laws(fit_positions(context, _symbols(context)), sizes, seed)


def markov(context: SetBatch, sizes: Sequence[int], seed: int) -> SetBatch:
    """Draw from a Markov chain of each context, a baseline of samples."""
    return draw_laws(fit_markov(context, _symbols(context)), sizes, seed)


def _symbols(context: SetBatch) -> int:
    """Return the largest token that occurs; a draw needs no other."""
    return max(1, int(context.x.max()))


@dataclass(frozen=True)
class _Atoms:
    """Sequences of one set `(m, T)`, how many atoms each stands for, and its fold, `(m,)`."""

    x: Tensor
    count: Tensor
    fold: Tensor

    def table(self, cell: Tensor, cells: int, folds: int) -> Tensor:
        """Count the cells of each fold, where a cell is not negative; `(folds, cells)`."""
        table = torch.zeros(folds * cells, dtype=torch.float64)
        inside, each = cell >= 0, cell + self.fold[:, None] * cells
        count = self.count[:, None].expand_as(cell)
        return table.index_add(0, each[inside], count[inside]).view(folds, cells)


def _atoms(batch: SetBatch, folds: int) -> Iterator[_Atoms]:
    for b, size in enumerate(batch.effective_sizes.tolist()):
        part = batch[b]
        order = torch.randperm(len(part.x), generator=stream(0, "folds of a law", len(part.x)))
        w = part.w.double()
        yield _Atoms(part.x.long(), w / w.sum() * size, order % folds)


def _fit_positions(atoms: _Atoms, vocab: int, choices: LawChoices) -> PositionLaw:
    (length,), folds = atoms.x.shape[1:], choices.folds
    cell = (torch.arange(length) * vocab + atoms.x - 1).where(atoms.x > 0, -1)
    n = atoms.table(cell, length * vocab, folds).view(folds, length, vocab)

    def fitted(counts: Tensor, alpha: float) -> Tensor:
        whole = (counts.sum(0) + alpha / vocab) / (counts.sum() + alpha)
        rows = (counts + alpha * whole) / (counts.sum(1, keepdim=True) + alpha)
        return torch.cat([rows, whole[None]])

    def score(alpha: float) -> float:
        return sum(
            float((n[f] * fitted(n.sum(0) - n[f], alpha)[:-1].log()).sum()) for f in range(folds)
        )

    alpha = max(choices.alphas, key=score)
    return PositionLaw(fitted(n.sum(0), alpha), _fit_lengths(atoms, choices), f"alpha = {alpha:g}")


def _fit_markov(atoms: _Atoms, vocab: int, choices: LawChoices) -> MarkovLaw:
    orders = [k for k in choices.orders if (vocab + 1) ** k * vocab <= choices.cells]
    tables = []
    for k in range(max(orders) + 1):
        cell = (contexts(atoms.x, k, vocab) * vocab + atoms.x - 1).where(atoms.x > 0, -1)
        n = atoms.table(cell, (vocab + 1) ** k * vocab, choices.folds)
        tables.append(n.view(choices.folds, -1, vocab))

    def fitted(counts: Sequence[Tensor], alpha: float) -> list[Tensor]:
        chain = [torch.full((1, vocab), 1 / vocab, dtype=torch.float64)]
        for n in counts:
            # contexts with one more symbol differ in their leading digit
            prior = chain[-1].repeat(len(n) // len(chain[-1]), 1)
            chain.append((n + alpha * prior) / (n.sum(1, keepdim=True) + alpha))
        return chain[1:]

    def scores(alpha: float) -> Iterator[tuple[float, int, float]]:
        total = [0.0] * len(tables)
        for f in range(choices.folds):
            chain = fitted([n.sum(0) - n[f] for n in tables], alpha)
            for k, (n, p) in enumerate(zip(tables, chain, strict=True)):
                total[k] += float((n[f] * p.log()).sum())
        return ((total[k], k, alpha) for k in orders)

    # of equal scores the first: the lowest order
    best = max((s for a in choices.alphas for s in scores(a)), key=lambda s: (s[0], -s[1]))
    _, order, alpha = best
    p = fitted([n.sum(0) for n in tables], alpha)[order]
    remark = f"order {order}, alpha = {alpha:g}"
    return MarkovLaw(p, _fit_lengths(atoms, choices), remark)


def _fit_lengths(atoms: _Atoms, choices: LawChoices) -> LengthLaw:
    length = (atoms.x > 0).sum(1)

    def score(bandwidth: float) -> float:
        total = 0.0
        for f in range(choices.folds):
            inside = atoms.fold == f
            if bool(inside.any()) and not bool(inside.all()):
                law = LengthLaw(length[~inside], atoms.count[~inside], bandwidth)
                total += float(law.log_prob(length[inside]) @ atoms.count[inside])
        return total

    return LengthLaw(length, atoms.count, max(choices.bandwidths, key=score))
