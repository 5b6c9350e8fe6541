r"""P-values of two-sample tests: from embeddings, by permutations, by kernels, by a classifier.

Of two sets of m atoms each, with labels $s_i = \pm 1$ and a kernel K over their union, the squared
distance of kernel means is $s^\top K s$ up to terms that permutations of labels leave alone, so
one matrix serves all permutations. -|x - y| is the kernel of the energy distance.

All take sets `x (S, m, D)` and pairs `(P, 2)` of them, and return p-values `(P,)`.

| A kernel two-sample test (Gretton et al., 2012)
| Revisiting classifier two-sample tests (Lopez-Paz, Oquab, 2017)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.inference.tests.pairwise import pairwise_tests
from distembed.inference.tests.two_sample import two_sample_test
from distembed.model.gde import GDE

__all__ = [
    "PValues",
    "Pairs",
    "atom_permutation",
    "chi_square",
    "classifier",
    "energy_kernel",
    "gaussian_kernel",
    "label_permutation",
]

Pairs = NDArray[np.int64]
"""Two sets of each pair, `(P, 2)`."""
PValues = NDArray[np.float64]
"""A p-value a pair, `(P,)`."""


def chi_square(model: GDE, x: Tensor, pairs: Pairs) -> PValues:
    """Test by embeddings and their covariances: a weighted chi-square."""
    table = model.embed(SetBatch.from_dense(x))
    return pairwise_tests(table.z, table.covariances, pairs).p


@dataclass(frozen=True)
class _WithoutDerivative:
    """An encoder that declares no derivative, which permutations do without."""

    encoder: nn.Module
    smooth: bool = False

    def __call__(self, batch: SetBatch) -> Tensor:
        z: Tensor = self.encoder(batch)
        return z


def atom_permutation(
    model: GDE, count: int, x: Tensor, pairs: Pairs, rng: torch.Generator
) -> PValues:
    """Test by `count` permutations of atoms, each embedded again."""
    embed = _WithoutDerivative(model.network.embedder)
    tests = (two_sample_test(embed, x[a], x[b], permutations=count, rng=rng) for a, b in pairs)
    return np.array([test.p_permutation for test in tests])


def gaussian_kernel(distance: Tensor) -> Tensor:
    """Return a Gaussian kernel whose bandwidth is the median distance, `(n, n)`."""
    median = distance[torch.triu(torch.ones_like(distance), 1) > 0].median()
    return torch.exp(-distance.square() / (2 * median**2))


def energy_kernel(distance: Tensor) -> Tensor:
    """Return the kernel of the energy distance, `(n, n)`."""
    return -distance


def label_permutation(
    kernel: Callable[[Tensor], Tensor],
    count: int,
    x: Tensor,
    pairs: Pairs,
    rng: torch.Generator,
) -> PValues:
    r"""Test by `count` permutations of labels s, +1 and -1 in equal number: $s^\top K s$."""
    m, p = x.shape[1], []
    for a, b in pairs:
        pool = torch.cat([x[a], x[b]]).double()
        order = torch.rand(1 + count, 2 * m, generator=rng).argsort(1)
        order[0] = torch.arange(2 * m)
        s = torch.where(order < m, 1.0, -1.0).double()
        statistic = ((s @ kernel(torch.cdist(pool, pool))) * s).sum(1)
        p.append(float((statistic >= statistic[0]).double().mean()))
    return np.array(p)


def classifier(x: Tensor, pairs: Pairs) -> PValues:
    """Test by the hits of nearest neighbours on held-out halves, binomial under the null."""
    from scipy.stats import binom

    half = x.shape[1] // 2
    k = max(1, round((2 * half) ** 0.5)) | 1  # odd, so that no vote is a tie
    hits = []
    for a, b in pairs:
        train = torch.cat([x[a, :half], x[b, :half]])
        test = torch.cat([x[a, half:], x[b, half:]])
        nearest = torch.cdist(test, train).topk(k, 1, largest=False).indices
        vote = (nearest >= half).double().mean(1) > 0.5
        hits.append(int((vote == (torch.arange(len(test)) >= len(test) // 2)).sum()))
    return np.asarray(binom.sf(np.array(hits) - 1, 2 * (x.shape[1] - half), 0.5))
