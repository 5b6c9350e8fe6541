r"""The site-independent law of sequences, from which all generators of tokens start.

    p(x | z) = prod_t s_t(x_t | z),      s_t(. | z) = softmax(b_t + A_t z)

At position t a sequence ends (class 0) or goes on with a symbol (1 to V), independently of the
symbols before. At position `longest` it ends in any case, so that the probabilities of all
sequences of at most that length sum to one.

b and A are solved before training. The frequencies of a set of m effective atoms, smoothed by
those of all training sets with the weight of a few atoms, are regressed on z in the logarithm, by
the ridge regression with leave-one-out penalties of `distembed.nn.ridge`. The frequencies of all
sets are themselves smoothed by the frequencies over all positions, because few sequences may
reach the last ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.generators.base import sample_weight
from distembed.nn.ridge import ridge
from distembed.nn.tokens import read_tokens

__all__ = ["NextTokens", "SiteSettings", "Sites", "next_tokens"]


@dataclass(frozen=True)
class SiteSettings:
    """Settings of the regression.

    Attributes:
        atoms: Atoms that the frequencies of all sets weigh beside those of one set.
        smoothing: Atoms that the frequencies over all positions weigh beside those of one.
        outputs: Numbers that are regressed at once.
    """

    atoms: float = 4.0
    smoothing: float = 1.0
    outputs: int = 4096


class NextTokens(NamedTuple):
    """What a model of the next token sees of sequences, and what it predicts.

    Attributes:
        ids: The start 0 and the tokens before each prediction, `(N, C)`.
        next: The class that comes next, 0 for the end, `(N, C)`.
        mask: Which of them are predictions of a sequence, `(N, C)`.
    """

    ids: Tensor
    next: Tensor
    mask: Tensor


def next_tokens(x: Tensor, vocab: int, longest: int) -> NextTokens:
    """Return the predictions of sequences `(N, T)`: their tokens, and their end if it is not due.

    Raises:
        ValueError: If x does not hold tokens, or a sequence is longer than `longest`.

    Example:
        >>> parts = next_tokens(torch.tensor([[3, 1, 0, 0], [2, 2, 2, 0]]), vocab=3, longest=3)
        >>> parts.next.tolist(), parts.mask.int().tolist()
        ([[3, 1, 0], [2, 2, 2]], [[1, 1, 1], [1, 1, 1]])
    """
    ids, mask = read_tokens(x, vocab)
    if ids.shape[1] - 1 > longest:
        raise ValueError(
            f"A sequence has {ids.shape[1] - 1} tokens, and this generator draws and scores up to "
            f"longest = {longest}: the length of the longest sequence it was built for. Build it "
            "for longer ones, such as GDE(generator={'name': 'autoregressive', 'longest': "
            f"{ids.shape[1] - 1}}}), or cut the sequence."
        )
    following = functional.pad(ids[:, 1:], (0, 1))
    return NextTokens(ids[:, :longest], following[:, :longest], mask[:, :longest])


class Sites(nn.Module):
    """Logits of every class at every position, affine in z.

    Args:
        latent: Dimension of what the generator sees of an embedding.
        vocab: Number V of symbols.
        longest: Number of tokens of the longest sequence.
        settings: Settings of the regression.

    Raises:
        ValueError: If there is no symbol or no position.

    Example:
        >>> sites = Sites(latent=4, vocab=3, longest=5)
        >>> sites(torch.zeros(2, 4)).shape
        torch.Size([2, 5, 4])
    """

    def __init__(
        self, latent: int, vocab: int, longest: int, settings: SiteSettings | None = None
    ) -> None:
        super().__init__()
        if vocab < 1 or longest < 1:
            raise ValueError(
                f"vocab = {vocab} and longest = {longest}; a sequence has at least one symbol to "
                "choose from, and one position."
            )
        self.vocab, self.longest = vocab, longest
        self.settings = settings or SiteSettings()
        self.weight = nn.Parameter(torch.zeros(latent, longest * (vocab + 1)))
        self.bias = nn.Parameter(torch.zeros(longest * (vocab + 1)))

    @torch.no_grad()
    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Regress the logarithms of the frequencies of training sets on their embeddings."""
        ids, following, mask = next_tokens(batch.x, self.vocab, self.longest)
        classes, seen = self.vocab + 1, ids.shape[1]
        # of the longest sequence at hand; positions beyond it keep the frequencies over all
        mass = (batch.w.double() * batch.effective_sizes[batch.owner])[:, None] * mask
        overall = mass.new_zeros(classes).index_add(0, following.flatten(), mass.flatten())
        overall = (overall + 0.5) / (overall + 0.5).sum()
        self.bias.copy_(overall.log().repeat(self.longest))
        step, settings = max(1, self.settings.outputs // classes), self.settings
        weight = sample_weight(batch)
        for t in range(0, seen, step):
            part = slice(t, min(t + step, seen))
            place = torch.arange(part.stop - t, device=ids.device) * classes + following[:, part]
            rows = batch.owner[:, None] * (part.stop - t) * classes + place
            counts = mass.new_zeros(len(batch) * (part.stop - t) * classes)
            counts = counts.index_add(0, rows.flatten(), mass[:, part].flatten())
            counts = counts.view(len(batch), part.stop - t, classes)
            shared = _smoothed(counts.sum(0), overall, settings.smoothing)
            own = _smoothed(counts, shared, settings.atoms)
            fit = ridge(z, (own.log() - shared.log()).flatten(1), weight)
            columns = slice(t * classes, part.stop * classes)
            self.weight[:, columns] = fit.weight.to(self.weight)
            self.bias[columns] = (shared.log().flatten() + fit.bias).to(self.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Return logits, `(B, longest, V + 1)`."""
        logits = torch.addmm(self.bias, z, self.weight)
        return logits.view(len(z), self.longest, self.vocab + 1)


def _smoothed(counts: Tensor, prior: Tensor, atoms: float) -> Tensor:
    """Return frequencies of the classes, with the weight of some atoms on a prior."""
    total: Tensor = counts.sum(-1, keepdim=True)
    return (counts + atoms * prior) / (total + atoms)
