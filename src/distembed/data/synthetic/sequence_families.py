"""Families of known laws of sequences, with parameters drawn from a prior.

- `motifs`: three motifs in random background, of random weights.
- `chains`: Markov chains of order one.
- `pairs`: aligned sequences whose halves depend on each other, more or less.

What a family shares (the motifs, the axes that codes move along) does not depend on the seed.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from distembed.data.synthetic.lengths import Lengths
from distembed.data.synthetic.sequences import (
    MarkovChains,
    MotifMixtures,
    PairedProfiles,
)
from distembed.rng import stream

__all__ = ["chains", "motifs", "pairs"]


def motifs(
    sets: int, size: int = 200, seed: int = 0, count: int = 3, lengths: Lengths = (30, 50)
) -> MotifMixtures:
    """Draw mixtures of motifs of eight places in uniform DNA, of random weights.

    Args:
        sets: Number of sets.
        size: Atoms of each.
        seed: Of the weights and of the atoms.
        count: Number of motifs.
        lengths: The shortest and the longest sequence.

    Example:
        >>> family = motifs(2, size=5)
        >>> family.log_prob(family.batch([0, 1]), [0, 1]).shape
        torch.Size([10])
    """
    best = torch.randint(4, (count, 8), generator=stream(0, "motifs", count))
    table = 0.9 * functional.one_hot(best, 4).double() + 0.025
    # normalised exponentials are Dirichlet(1, ..., 1)
    rng = stream(seed, "weights of motifs")
    weights = -torch.log1p(-torch.rand(sets, count, generator=rng, dtype=torch.float64))
    return MotifMixtures(weights, table, torch.full((4,), 0.25), lengths, size, seed)


def chains(sets: int, size: int = 200, seed: int = 0, lengths: Lengths = (20, 40)) -> MarkovChains:
    """Draw Markov chains whose log-odds are linear in three numbers; arguments as of `motifs`."""
    axes = torch.randn(3, 4, 4, generator=stream(0, "axes of chains"), dtype=torch.float64)
    code = torch.randn(sets, 3, generator=stream(seed, "code of chains"), dtype=torch.float64)
    transition = (0.5 * torch.einsum("sk,kab->sab", code, axes)).softmax(2)
    return MarkovChains(torch.full((sets, 4), 0.25), transition, lengths, size, seed)


def pairs(sets: int, size: int = 200, seed: int = 0, positions: int = 12) -> PairedProfiles:
    """Draw aligned profiles, and how strongly their halves depend on each other.

    The first half of a sequence follows a profile whose log-odds are linear in two numbers. With a
    probability r of the set, uniform from 0 to 0.9, the symbol of a position in the second half is
    the image of its partner under a fixed permutation, and else it is drawn by itself from the
    same probabilities. The profile of the second half is therefore the same for any r.

    Args:
        sets: Number of sets.
        size: Atoms of each.
        seed: Of the parameters and of the atoms.
        positions: Length of the sequences, even.
    """
    half, rng = positions // 2, stream(0, "axes of pairs", positions)
    axes = torch.randn(2, half, 4, generator=rng, dtype=torch.float64)
    image = torch.rand(half, 4, generator=rng).argsort(1)
    code = torch.randn(sets, 2, generator=stream(seed, "code of pairs"), dtype=torch.float64)
    r = 0.9 * torch.rand(sets, generator=stream(seed, "coupling"), dtype=torch.float64)
    p = torch.einsum("sk,kta->sta", code, axes).softmax(2)
    permutation = functional.one_hot(image, 4).double()  # (P, V, V)
    copied = p.unsqueeze(3) * permutation
    independent = p.unsqueeze(3) * copied.sum(2).unsqueeze(2)
    return PairedProfiles(torch.lerp(independent, copied, r[:, None, None, None]), size, seed)
