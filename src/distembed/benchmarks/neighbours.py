"""Pairs of neighbouring distributions, and sets of both, for tests whether they differ.

A distribution P has a neighbour Q, a fraction of the way towards another distribution. Of both
there are three sets: six pairs of sets are nulls (two sets of P, or two of Q), six are
alternatives (a set of P and one of Q).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distembed.benchmarks.p_values import Pairs
from distembed.data.synthetic.gaussians import Gaussians, Mixtures, whitened

__all__ = [
    "SETS",
    "Family",
    "draw_groups",
    "pairs_of_groups",
    "shift_covariance",
    "shift_mean",
    "shift_shape",
]

SETS = 6
"""Sets of a group: three of a distribution, and three of its neighbour."""
Family = Gaussians | Mixtures


def shift_mean(one: Any, other: Any, fraction: float) -> Family:
    """Move the means of Gaussians."""
    return Gaussians(torch.lerp(one.mean, other.mean, fraction), one.cov)


def shift_covariance(one: Any, other: Any, fraction: float) -> Family:
    """Move the covariances of Gaussians."""
    return Gaussians(one.mean, torch.lerp(one.cov, other.cov, fraction))


def shift_shape(one: Any, other: Any, fraction: float) -> Family:
    """Move the parameters of mixtures, and whiten them: mean 0 and covariance I are common."""
    weights, mean, cov = (
        torch.lerp(getattr(one, name), getattr(other, name), fraction)
        for name in ("weights", "mean", "cov")
    )
    return whitened(Mixtures(weights, mean, cov), "cholesky")


def draw_groups(pair: tuple[Family, Family], m: int, rng: torch.Generator) -> Tensor:
    """Draw three sets of each distribution and of its neighbour, `(6 groups, m, D)`."""
    groups = len(pair[0])
    index = torch.arange(groups).repeat_interleave(SETS // 2)
    sides = [d.draw(index, m, rng).unflatten(0, (groups, SETS // 2)) for d in pair]
    return torch.cat(sides, 1).flatten(0, 1)


def pairs_of_groups(groups: int) -> Pairs:
    """Return the two sets of each pair, `(groups, 2, 6, 2)`: nulls, then alternatives."""
    side = range(SETS // 2)
    nulls = [(k + i, k + j) for k in (0, SETS // 2) for i, j in combinations(side, 2)]
    across = [(i, SETS // 2 + j) for i in side for j in side if i != j]
    pairs: Pairs = SETS * np.arange(groups)[:, None, None, None] + np.array([nulls, across])
    return pairs
