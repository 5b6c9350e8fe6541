r"""Two-sample tests of others: kernels with permuted labels, and a classifier.

Of two sets of m atoms each, with labels $s_i = \pm 1$ and a kernel K over their union, the squared
distance of kernel means is $s^\top K s$ but for what permutations of labels leave alone, so one
matrix serves all permutations. -|x - y| is the kernel of the energy distance.

| A kernel two-sample test (Gretton et al., 2012)
| Revisiting classifier two-sample tests (Lopez-Paz, Oquab, 2017)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["P", "Rows", "c2st", "energy", "mmd", "relabelled"]

Rows = NDArray[np.int64]
"""Two sets of each pair, `(P, 2)`."""
P = NDArray[np.float64]
"""A p-value a pair, `(P,)`."""


def mmd(distance: Tensor) -> Tensor:
    """A Gaussian kernel of the median distance, `(n, n)`."""
    median = distance[torch.triu(torch.ones_like(distance), 1) > 0].median()
    return torch.exp(-distance.square() / (2 * median**2))


def energy(distance: Tensor) -> Tensor:
    """The kernel of the energy distance, `(n, n)`."""
    return -distance


def relabelled(
    kernel: Callable[[Tensor], Tensor], count: int, x: Tensor, pairs: Rows, rng: torch.Generator
) -> P:
    r"""Test by permutations of labels s, +1 and -1 in equal number: $s^\top K s$, `(P,)`.

    Beyond what permutations leave alone it is the squared distance of kernel means, biased or not.
    """
    m, found = x.shape[1], []
    for a, b in pairs:
        pool = torch.cat([x[a], x[b]]).double()
        order = torch.rand(1 + count, 2 * m, generator=rng).argsort(1)
        order[0] = torch.arange(2 * m)
        s = torch.where(order < m, 1.0, -1.0).double()
        drawn = ((s @ kernel(torch.cdist(pool, pool))) * s).sum(1)
        found.append(float((drawn >= drawn[0]).double().mean()))
    return np.array(found)


def c2st(x: Tensor, pairs: Rows) -> P:
    """Test by how often nearest neighbours name the set of an atom that they never saw, `(P,)`."""
    from scipy.stats import binom

    learn = x.shape[1] // 2
    k = max(1, round((2 * learn) ** 0.5)) | 1  # odd, so that no vote is a tie
    found = []
    for a, b in pairs:
        known = torch.cat([x[a, :learn], x[b, :learn]])
        asked = torch.cat([x[a, learn:], x[b, learn:]])
        near = torch.cdist(asked, known).topk(k, 1, largest=False).indices
        vote = (near >= learn).double().mean(1) > 0.5
        found.append(int((vote == (torch.arange(len(asked)) >= len(asked) // 2)).sum()))
    return np.asarray(binom.sf(np.array(found) - 1, 2 * (x.shape[1] - learn), 0.5))
