r"""Draw without replacement from many groups at once, at a cost that depends on the draw.

From a small group, n <= 3 m, m of n are drawn by a permutation: sort n random keys and keep the
first m. From a larger group, m numbers below n are drawn, and those that collide are redrawn until
all are different. Which are redrawn depends only on which numbers are equal, so that by symmetry
every subset of m has the same probability.
"""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["ranks", "without_replacement"]


def without_replacement(sizes: np.ndarray, counts: np.ndarray, rng: torch.Generator) -> np.ndarray:
    """Draw `counts[g]` different numbers below `sizes[g]` for each group g.

    Args:
        sizes: Numbers in each group, `(G,)` int64.
        counts: `(G,)` int64, at most the sizes.
        rng: Source of the draw, on the CPU.

    Returns:
        The numbers of group 0, then those of group 1, and so on, `(sum(counts),)` int64; within
        a group they are in no particular order.
    """
    sizes, counts = np.asarray(sizes, np.int64), np.asarray(counts, np.int64)
    out = np.empty(counts.sum(), np.int64)
    small = sizes <= 3 * counts  # measured: above, redrawing collisions is faster than sorting
    for mask, method in ((small, _permuted), (~small, _rejected)):
        if mask.all():
            return method(sizes, counts, rng)
        out[np.repeat(mask, counts)] = method(sizes[mask], counts[mask], rng)
    return out


def ranks(sizes: np.ndarray) -> np.ndarray:
    """Number the members of each group from zero: sizes (2, 3) give 0 1 0 1 2."""
    start = np.cumsum(sizes) - sizes
    number: np.ndarray = np.arange(sizes.sum()) - np.repeat(start, sizes)
    return number


def _permuted(sizes: np.ndarray, counts: np.ndarray, rng: torch.Generator) -> np.ndarray:
    group = np.repeat(np.arange(len(sizes)), sizes)
    order = np.argsort(group + _uniform(len(group), rng))
    # groups stay in place, so the r-th of a group is at position start + r
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
