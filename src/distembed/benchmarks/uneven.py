r"""Families with one parameter s, whose density has a clump, a gap and a thin tail.

    s:   a clump in [1.0, 1.2], a bulk in [0, 3], nothing in (3, 5), an island in [5, 6], a tail
         in [6, 9] with a thirtieth of the sets

- `gaussians`: mean (s, u) with u uniform in [0, 1], covariance the inverse of Wishart(10, I).
- `triangles`: three such Gaussians with Dirichlet(1) weights, on a triangle of radius s / 2 around
  the origin at a random angle.

Held-out parameters are drawn in regions, one of them in the gap, and pairs are grouped by the
regions of their two sets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.data.synthetic.wishart import inverse_wishart
from distembed.rng import stream

__all__ = [
    "GROUPS",
    "REGIONS",
    "Prior",
    "density",
    "flattened",
    "gaussians",
    "grouped_pairs",
    "held_out_parameters",
    "training_parameters",
    "triangles",
]

Prior = Callable[[Tensor, int, int], Gaussians | Mixtures]
"""A family: parameters `(S,)`, atoms of a set, and a seed."""


@dataclass(frozen=True)
class Piece:
    """An interval of parameters, with a share of the training sets, uniform in it."""

    low: float
    high: float
    share: float = 0.0


TRAINING = (
    Piece(1.0, 1.2, 0.45),
    Piece(0.0, 3.0, 0.40),
    Piece(5.0, 6.0, 0.12),
    Piece(6.0, 9.0, 0.03),
)
REGIONS = {
    "clump": Piece(1.0, 1.2),
    "inside": Piece(1.4, 2.6),
    "edge": Piece(2.8, 3.0),
    "gap": Piece(3.4, 4.6),
    "island": Piece(5.2, 5.8),
    "tail": Piece(7.0, 8.8),
}
"""Where held-out parameters are drawn."""
GROUPS = {
    "clump": (("clump",), ("clump",)),
    "inside": (("inside",), ("inside",)),
    "edge": (("edge",), ("edge", "inside")),
    "across": (("edge", "inside"), ("island",)),
    "gap": (("gap",), ("edge", "island")),
    "tail": (("tail",), ("tail", "island")),
}
"""Regions of the two sets of a pair, by the name of the group."""


def training_parameters(sets: int, seed: int) -> Tensor:
    """Draw parameters of training sets, `(S,)`."""
    rng = stream(seed, "uneven")
    share = torch.tensor([piece.share for piece in TRAINING], dtype=torch.float64)
    part = torch.multinomial(share, sets, replacement=True, generator=rng)
    low, high = (torch.tensor([getattr(p, k) for p in TRAINING])[part] for k in ("low", "high"))
    return low + (high - low) * torch.rand(sets, generator=rng)


def density(s: Tensor) -> Tensor:
    """Return the density of training parameters.

    Example:
        >>> [round(p, 2) for p in density(torch.tensor([1.1, 4.0, 5.5])).tolist()]
        [2.38, 0.0, 0.12]
    """
    parts = [p.share / (p.high - p.low) * ((s >= p.low) & (s < p.high)) for p in TRAINING]
    return torch.stack(parts).sum(0)


def flattened(s: Tensor, share: float, seed: int) -> NDArray[np.int64]:
    """Choose a share of the training sets, with probabilities inverse to the density.

    Exponential clocks draw without replacement (Efraimidis and Spirakis, 2006).

    Args:
        s: Parameters of the sets.
        share: Share that is chosen.
        seed: Of the choice.
    """
    clock = -torch.rand(len(s), generator=stream(seed, "flattened")).log() * density(s)
    chosen: NDArray[np.int64] = clock.argsort()[: round(share * len(s))].sort().values.numpy()
    return chosen


def held_out_parameters(sets: int, seed: int) -> Tensor:
    """Draw parameters in every region, `(regions * sets,)`."""
    rng = stream(seed, "regions")
    return torch.cat(
        [p.low + (p.high - p.low) * torch.rand(sets, generator=rng) for p in REGIONS.values()]
    )


def grouped_pairs(sets: int, count: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Draw at most so many pairs of every group, `(P, 2)` rows of the held-out sets."""
    start = {name: sets * k for k, name in enumerate(REGIONS)}
    pairs = {}
    for group, sides in GROUPS.items():
        first, second = (
            np.concatenate([np.arange(start[r], start[r] + sets) for r in side]) for side in sides
        )
        every = np.stack(np.meshgrid(first, second, indexing="ij"), 2).reshape(-1, 2)
        every = np.unique(np.sort(every[every[:, 0] != every[:, 1]], axis=1), axis=0)
        order = torch.randperm(len(every), generator=stream(seed, "pairs", group)).numpy()
        pairs[group] = every[np.sort(order[:count])]
    return pairs


def gaussians(s: Tensor, size: int, seed: int) -> Gaussians:
    """Draw Gaussians with means at s on the first axis."""
    rng = stream(seed, "uneven gaussians")
    second = torch.rand(len(s), generator=rng)
    return Gaussians(torch.stack([s, second], 1), inverse_wishart(len(s), 2, 10, rng), size, seed)


def triangles(s: Tensor, size: int, seed: int) -> Mixtures:
    """Draw mixtures of three Gaussians on a triangle of radius s / 2."""
    rng = stream(seed, "uneven triangles")
    turn = torch.rand(len(s), 1, generator=rng)
    angle = 2 * math.pi * (torch.arange(3) / 3 + turn)
    mean = s[:, None, None] / 2 * torch.stack([angle.cos(), angle.sin()], 2)
    cov = inverse_wishart(3 * len(s), 2, 10, rng).unflatten(0, (len(s), 3))
    # normalised exponentials are Dirichlet(1, 1, 1)
    weights = -torch.log1p(-torch.rand(len(s), 3, generator=rng, dtype=torch.float64))
    return Mixtures(weights, mean, cov, size, seed)
