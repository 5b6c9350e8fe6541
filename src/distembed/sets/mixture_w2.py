"""Exact W2 between mixtures of finite pools, from the shares that their metadata hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.sets.collection import Sets

__all__ = ["mixture_w2"]


def mixture_w2(
    pool: Sets, sets: Sets, transform: Callable[[torch.Tensor], torch.Tensor]
) -> NDArray[np.float64]:
    """Compute the W2 between all mixtures of a pool's sets by optimal transport, `(S, S)`.

    A mixture is the distribution on all atoms of the pool, each weighted by the share of its
    component: the truth behind a set that `distembed.sets.construct.mixtures` has drawn.

    Args:
        pool: The components, one set each.
        sets: Mixtures of them, with a column of metadata `weight_<id>` for each component.
        transform: Map to the space in which W2 is measured.
    """
    shares = np.stack([sets.meta[f"weight_{name}"] for name in pool.ids], 1)
    atoms = pool.batch(range(len(pool)))
    x, owner = transform(atoms.x), atoms.owner
    parts = []
    for row in torch.from_numpy(shares):
        w = (row[owner] / atoms.sizes[owner]).float()
        used = w > 0
        offsets = torch.tensor([0, int(used.sum())])
        parts.append(SetBatch(x[used], w[used] / w[used].sum(), offsets))
    pairs = torch.combinations(torch.arange(len(sets)))
    w2 = torch.zeros(len(sets), len(sets), dtype=torch.float64)
    w2[pairs[:, 0], pairs[:, 1]] = pairwise_w2(SetBatch.concat(parts), pairs).double()
    symmetric: NDArray[np.float64] = (w2 + w2.T).numpy()
    return symmetric
