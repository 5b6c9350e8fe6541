"""Leading subspace of a matrix by power iterations (Halko et al., 2011, arXiv 0909.4061)."""

from __future__ import annotations

import torch
from torch import Tensor

from distembed.rng import stream

__all__ = ["leading_subspace"]


def leading_subspace(root: Tensor, k: int, iterations: int = 6) -> tuple[Tensor, Tensor]:
    """Compute the leading right singular vectors and singular values of a matrix.

    Args:
        root: A matrix `(N, D)`.
        k: How many, at most N and D.
        iterations: Power iterations from a random start, always the same.

    Returns:
        Vectors `(D, k)` and values `(k,)`, the largest first.

    Example:
        >>> vectors, values = leading_subspace(torch.diag(torch.tensor([1.0, 3.0, 2.0])), 2)
        >>> vectors.abs().round(decimals=3).T.tolist(), values.round(decimals=3).tolist()
        ([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [3.0, 2.0])
    """
    width = min(k + 16, *root.shape)
    start = torch.randn(root.shape[1], width, generator=stream("pca"), dtype=root.dtype)
    basis = start.to(root.device)
    for _ in range(iterations):
        basis = torch.linalg.qr(root.mT @ (root @ basis)).Q
    _, values, rotation = torch.linalg.svd(root @ basis, full_matrices=False)
    return basis @ rotation.mT[:, :k], values[:k]
