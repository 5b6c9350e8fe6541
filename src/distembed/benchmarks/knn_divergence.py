r"""Symmetrised Kullback-Leibler divergences of sets, by distances to nearest neighbours.

For m atoms x of a set and n atoms of another, in D dimensions, let $\rho(x)$ be the distance of x
to its k-th neighbour among the other atoms of its own set, and $\nu(x)$ that to its k-th neighbour
in the other set. Then

    KL = (D / m) sum_x log(nu(x) / rho(x)) + log(n / (m - 1)),

and the two directions are summed. GloScope compares samples by this divergence; the code is ours.
k is lowered to the number of neighbours that the smaller set has. An atom that coincides with its
neighbour has no logarithm and is left out. The estimate may be below zero.

| Divergence estimation for multidimensional densities via k-nearest-neighbor distances (Wang,
  Kulkarni, Verdu, 2009)
| Visualizing scRNA-Seq data at population scale with GloScope (Wang et al., 2024)
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch

__all__ = ["knn_divergences"]


def knn_divergences(batch: SetBatch, k: int = 25) -> NDArray[np.float64]:
    """Return the divergences of all pairs of sets of equal weights, `(S, S)`.

    Args:
        batch: Sets of at least two atoms each.
        k: Number of neighbours, fewer where a set has fewer.

    Raises:
        ValueError: If a set has a single atom.

    Example:
        >>> sets = SetBatch.from_list([torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [5.0]])])
        >>> value = (np.log(3 / 1) + np.log(2 / 1)) / 2 + np.log(2) + np.log(2)
        >>> value += (np.log(2 / 2) + np.log(4 / 2)) / 2
        >>> bool(abs(knn_divergences(sets, k=1)[0, 1] - value) < 1e-6)
        True
    """
    sizes = batch.sizes.tolist()
    if min(sizes) < 2:
        raise ValueError("A set has a single atom; neighbours in its own set need two or more.")
    x = batch.flat.double()
    parts = list(x.split(sizes))
    own = [_nearest(part, part, min(k + 1, len(part)))[:, 1:] for part in parts]
    directed = np.zeros((len(parts), len(parts)))
    for j, other in enumerate(parts):
        reach = _nearest(x, other, min(k, len(other))).split(sizes)
        for i, part in enumerate(parts):
            if i != j:
                rank = min(own[i].shape[1], reach[i].shape[1]) - 1
                ratio = _mean_log_ratio(reach[i][:, rank], own[i][:, rank])
                directed[i, j] = x.shape[1] * ratio + np.log(len(other) / (len(part) - 1))
    symmetric: NDArray[np.float64] = directed + directed.T
    return symmetric


def _nearest(x: Tensor, other: Tensor, k: int) -> Tensor:
    """Return the distances of atoms to their k nearest of another set, ascending, `(N, k)`."""
    exact = torch.cdist(x, other, compute_mode="donot_use_mm_for_euclid_dist")
    return exact.topk(k, largest=False).values


def _mean_log_ratio(numerator: Tensor, denominator: Tensor) -> float:
    """Return the mean of the logarithms of ratios, of those that have one; 0 if none has."""
    used = (numerator > 0) & (denominator > 0)
    if not used.any():
        return 0.0
    return float((numerator[used] / denominator[used]).log().mean())
