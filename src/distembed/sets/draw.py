r"""Draws without replacement from many groups at once, at a cost that depends on the draw.

A group of n from which m are wanted is permuted whole where n <= 3 m: sort n random keys and
keep the first m. A larger one is never touched as a whole: draw m numbers below n and redraw
those that collide, until none does. The rule sees only which numbers are equal, so that by
symmetry every subset of m is as likely as any other.
"""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["ranks", "without_replacement"]

_PERMUTE_BELOW = 3  # measured: from here on redrawing a few is faster than sorting all


def without_replacement(sizes: np.ndarray, counts: np.ndarray, rng: torch.Generator) -> np.ndarray:
    """Draw `counts[g]` different numbers below `sizes[g]` for each group g.

    Args:
        sizes: `(G,)` int64.
        counts: `(G,)` int64, at most the sizes.
        rng: Source of the draw, on the CPU.

    Returns:
        The numbers of group 0, then those of group 1, and so on, `(sum(counts),)` int64; within
        a group their order means nothing.
    """
    sizes, counts = np.asarray(sizes, np.int64), np.asarray(counts, np.int64)
    out = np.empty(counts.sum(), np.int64)
    small = sizes <= _PERMUTE_BELOW * counts
    for mask, how in ((small, _permuted), (~small, _rejected)):
        if mask.all():
            return how(sizes, counts, rng)
        out[np.repeat(mask, counts)] = how(sizes[mask], counts[mask], rng)
    return out


def ranks(sizes: np.ndarray) -> np.ndarray:
    """Number the members of each group from zero: sizes (2, 3) give 0 1 0 1 2."""
    start = np.cumsum(sizes) - sizes
    number: np.ndarray = np.arange(sizes.sum()) - np.repeat(start, sizes)
    return number


def _permuted(sizes: np.ndarray, counts: np.ndarray, rng: torch.Generator) -> np.ndarray:
    group = np.repeat(np.arange(len(sizes)), sizes)
    order = np.argsort(group + _uniform(len(group), rng))
    # whole groups stay in place, so the r-th of a group sits r behind where the group starts
    rank = ranks(sizes)
    kept: np.ndarray = rank[order][rank < np.repeat(counts, sizes)]
    return kept


def _rejected(sizes: np.ndarray, counts: np.ndarray, rng: torch.Generator) -> np.ndarray:
    group = np.repeat(np.arange(len(sizes)), counts)
    first = (np.cumsum(sizes) - sizes)[group]
    n = sizes[group]
    value = first + (_uniform(len(n), rng) * n).astype(np.int64)
    while True:
        value.sort()  # groups own disjoint ranges, so each stays where it is
        again = np.flatnonzero(value[1:] == value[:-1])
        if not len(again):
            break
        value[again] = first[again] + (_uniform(len(again), rng) * n[again]).astype(np.int64)
    drawn: np.ndarray = value - first
    return drawn


def _uniform(n: int, rng: torch.Generator) -> np.ndarray:
    drawn: np.ndarray = torch.rand(n, generator=rng, dtype=torch.float64).numpy()
    return drawn
