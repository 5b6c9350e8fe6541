r"""What the symbol before tells of the next, beyond the site-independent law.

    r(c | a; z) = b_ac + A_ac z  ~  log O(a, c) / E(a, c)

O(a, c) counts how often class c follows symbol a in a set, and E(a, c) is what the
site-independent law of the set (`distembed.generators.tokens.sites`) expects at the same
positions. Added to the logits of that law, r makes a Markov chain of sequences without positions,
and is zero for aligned sequences whose columns are independent. It is one step of iterative
scaling (Darroch and Ratcliff, 1972), solved before training: counts of a set are smoothed towards
those of all sets, and the logarithms are regressed on z.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import sample_weight
from distembed.generators.tokens.sites import Sites, next_tokens
from distembed.nn.ridge import ridge
from distembed.nn.tokens import pieces

__all__ = ["TransitionSettings", "Transitions"]


@dataclass(frozen=True)
class TransitionSettings:
    """Settings of the regression.

    Attributes:
        atoms: Symbols that the ratio of all sets weighs beside those of one set.
        smoothing: Symbols that the site-independent law weighs beside those of all sets.
    """

    atoms: float = 32.0
    smoothing: float = 4.0


class Transitions(nn.Module):
    """Logits of the next class that depend on the symbol before, affine in z.

    Args:
        latent: Dimension of what the generator sees of an embedding.
        vocab: Number V of symbols.
        settings: Settings of the regression.

    Example:
        >>> Transitions(latent=4, vocab=3)(torch.zeros(2, 4)).shape
        torch.Size([2, 4, 4])
    """

    def __init__(
        self, latent: int, vocab: int, settings: TransitionSettings | None = None
    ) -> None:
        super().__init__()
        self.classes, self.settings = vocab + 1, settings or TransitionSettings()
        self.weight = nn.Parameter(torch.zeros(latent, self.classes**2))
        self.bias = nn.Parameter(torch.zeros(self.classes**2))

    @torch.no_grad()
    def prepare(self, batch: SetBatch, z: Tensor, sites: Sites) -> None:
        """Regress the logarithms of ratios of training sets on their embeddings.

        Args:
            batch: Training sets.
            z: Their embeddings, `(B, L)`.
            sites: Their site-independent law, prepared.
        """
        observed, expected = self._counts(batch, z, sites)
        atoms, smoothing = self.settings.atoms, self.settings.smoothing
        law = _rows(expected.sum(0))
        prior = smoothing * law
        shared = (observed.sum(0) + prior) / (expected.sum(0) + prior)
        own = atoms * _rows(expected + law)
        ratio = (observed + own * shared) / (expected + own)
        fit = ridge(z, (ratio.log() - shared.log()).flatten(1), sample_weight(batch))
        self.weight.copy_(fit.weight)
        self.bias.copy_(shared.log().flatten() + fit.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Return logits of the next class after the start or a symbol, `(B, V + 1, V + 1)`."""
        return torch.addmm(self.bias, z, self.weight).view(len(z), self.classes, self.classes)

    def _counts(self, batch: SetBatch, z: Tensor, sites: Sites) -> tuple[Tensor, Tensor]:
        """Count pairs of a symbol and the next, observed and expected, `(B, V + 1, V + 1)`."""
        ids, following, mask = next_tokens(batch.x, sites.vocab, sites.longest)
        mass = (batch.w.double() * batch.effective_sizes[batch.owner])[:, None] * mask
        k, columns = self.classes, ids.shape[1]
        cell = (batch.owner[:, None] * k + ids) * k + following
        observed = mass.new_zeros(len(batch) * k * k)
        observed = observed.index_add(0, cell.flatten(), mass.flatten()).view(-1, k, k)
        place = torch.arange(columns, device=ids.device)
        expected = torch.zeros_like(observed)
        for part in pieces(len(batch), columns * k, 2**22):
            rows = slice(int(batch.offsets[part.start]), int(batch.offsets[part.stop]))
            owner = batch.owner[rows, None] - part.start
            size = part.stop - part.start
            before = mass.new_zeros(size * columns * k)
            index = (owner * columns + place) * k + ids[rows]
            before = before.index_add(0, index.flatten(), mass[rows].flatten())
            p = sites(z[part])[:, :columns].double().softmax(-1)
            expected[part] = before.view(size, columns, k).mT @ p
        return observed, expected


def _rows(counts: Tensor) -> Tensor:
    """Divide rows by their sums; a row without counts is uniform."""
    counts = counts + 1e-9
    total: Tensor = counts.sum(-1, keepdim=True)
    return counts / total
