r"""Moments of each set, and a linear map per set.

    mean_b = sum_i w_i x_i,      cov_b = sum_i w_i (x_i - mean_b) (x_i - mean_b)^T

Sets of different sizes are processed one by one: the outer products of all N atoms at once would
take N D^2 numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distembed.batch import SetBatch

__all__ = ["apply_per_set", "moments_per_set"]


def moments_per_set(batch: SetBatch, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return mean `(B, D)` and covariance `(B, D, D)` of each set, in float64.

    The covariance is that of the empirical distribution, without a correction for the number of
    atoms.

    Args:
        batch: The sets.
        x: One row per atom, `(N, D)`; the flattened atoms by default.

    Example:
        >>> mean, cov = moments_per_set(SetBatch.from_list([[[0.0], [2.0]]]))
        >>> mean.item(), cov.item()
        (1.0, 1.0)
    """
    x = (batch.flat if x is None else x).double()
    mean = batch.mean(x)
    centred = x - batch.expand(mean)
    if batch.equal is not None:
        block = centred.view(batch.count, batch.equal, -1)
        return mean, block.mT @ block / batch.equal
    if (m := batch.common_size) is not None:
        block, w = centred.view(batch.count, m, -1), batch.w.double().view(batch.count, m, 1)
        return mean, block.mT @ (block * w) / w.sum(1, keepdim=True)
    sizes = batch.sizes.tolist()
    parts = zip(centred.split(sizes), batch.w.double().split(sizes), strict=True)
    return mean, torch.stack([c.mT @ (c * w[:, None]) / w.sum() for c, w in parts])


def apply_per_set(batch: SetBatch, a: Tensor, x: Tensor) -> Tensor:
    """Multiply each atom by the matrix of its set, `(B, K, D), (N, D) -> (N, K)`."""
    if (m := batch.common_size) is not None:
        return (x.view(batch.count, m, -1) @ a.mT).flatten(0, 1)
    parts = zip(x.split(batch.sizes.tolist()), a, strict=True)
    return torch.cat([part @ matrix.mT for part, matrix in parts])
