r"""Differentiable symmetric square root of positive semi-definite matrices.

The derivative of $S = A^{1/2}$ solves the Lyapunov equation $S\,dS + dS\,S = dA$. In the
eigenbasis of A it is a division by $s_i + s_j$, which stays finite when eigenvalues coincide,
where differentiating through `eigh` would divide by $s_i - s_j$ (Higham, 2008, section 6.1).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from distembed.nn.portable import is_portable, newton_root

__all__ = ["sqrtm"]


class _Sqrtm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(a)
        roots = values.clamp_min(0).sqrt()
        ctx.save_for_backward(roots, vectors)
        root: Tensor = (vectors * roots.unsqueeze(-2)) @ vectors.mT
        return root

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        roots, vectors = ctx.saved_tensors
        inner = vectors.mT @ (grad + grad.mT) / 2 @ vectors
        total = roots.unsqueeze(-1) + roots.unsqueeze(-2)
        # the division would return infinity on the null space, where atoms do not change a
        # covariance to first order
        largest = roots.amax(-1)[..., None, None]
        cut = 4 * torch.finfo(roots.dtype).eps ** 0.5 * largest
        regular = total > cut
        inner = torch.where(regular, inner / torch.where(regular, total, 1), 0)
        derivative: Tensor = vectors @ inner @ vectors.mT
        return derivative


def sqrtm(a: Tensor) -> Tensor:
    """Return the symmetric square root of each matrix.

    Args:
        a: Symmetric positive semi-definite matrices, `(..., D, D)`. Add a small multiple of the
            identity first to differentiate at a singular matrix.

    Returns:
        The roots, `(..., D, D)`.

    Example:
        >>> sqrtm(4 * torch.eye(2))
        tensor([[2., 0.],
                [0., 2.]])
    """
    if is_portable():
        return newton_root(a)
    root: Tensor = _Sqrtm.apply(a)  # type: ignore[no-untyped-call]
    return root
