r"""Matrix functions of elementary operations, for formats that have no linear algebra.

ONNX has products of matrices, and no eigenvectors, factors or solvers. Inside `portable` the
functions of this package that need them are computed from products, quotients and roots alone.

- The root of a positive definite A, by the coupled Newton-Schulz iteration (Higham, 2008, section
  6.7) on $A / |A|_F$, from $Y_0 = A / |A|_F,\ Z_0 = I$,

      T = (3 I - Z Y) / 2,     Y <- Y T,     Z <- T Z,      Y -> (A / |A|_F)^{1/2},

  whose smallest eigenvalue grows by 9 / 4 a step until it is near one: k steps suffice for a
  condition number of about $(9 / 4)^k$.
- The inverse of the lower triangular factor C of $A = C C^T$, by elimination without pivoting,
  which is stable for positive definite A: it makes $A = L D L^T$, so that $C^{-1} = D^{-1/2}
  L^{-1}$.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch
from torch import Tensor

__all__ = ["inverse_factor", "is_portable", "newton_root", "portable"]

_PORTABLE: ContextVar[bool] = ContextVar("distembed_portable", default=False)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """Compute from elementary operations, and without choices that depend on values."""
    token = _PORTABLE.set(True)
    try:
        yield
    finally:
        _PORTABLE.reset(token)


def is_portable() -> bool:
    """Return whether elementary operations are asked for."""
    return _PORTABLE.get()


def newton_root(a: Tensor, steps: int = 40) -> Tensor:
    """Return the root of each symmetric positive definite matrix, `(..., D, D)`.

    Args:
        a: The matrices.
        steps: Steps of the iteration; 40 are enough for a condition number of 10^12.

    Example:
        >>> newton_root(torch.tensor([[4.0, 0.0], [0.0, 9.0]])).round(decimals=5)
        tensor([[2., 0.],
                [0., 3.]])
    """
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    size = a.square().sum((-2, -1), keepdim=True).sqrt().clamp_min(torch.finfo(a.dtype).tiny)
    y, z = a / size, eye.expand(a.shape)
    for _ in range(steps):
        t = (3 * eye - z @ y) / 2
        y, z = y @ t, t @ z
    return y * size.sqrt()


def inverse_factor(a: Tensor) -> Tensor:
    """Return the inverse of the lower triangular factor of each matrix, `(..., D, D)`.

    Args:
        a: Symmetric positive definite matrices.

    Example:
        >>> inverse_factor(torch.tensor([[4.0, 0.0], [0.0, 25.0]]))
        tensor([[0.5000, 0.0000],
                [0.0000, 0.2000]])
    """
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    if not is_portable():
        # Cholesky and not eigh: its gradient exists where eigenvalues coincide
        factor = torch.linalg.cholesky(a)
        solved: Tensor = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
        return solved
    upper, inverse = a, eye.expand(a.shape)
    below = eye.cumsum(0) - eye  # ones under the diagonal
    for k in range(a.shape[-1]):
        pivot = upper[..., k : k + 1, k : k + 1]
        factor = below[:, k : k + 1] * upper[..., :, k : k + 1] / pivot
        upper = upper - factor * upper[..., k : k + 1, :]
        inverse = inverse - factor * inverse[..., k : k + 1, :]
    pivots = (upper * eye).sum(-1, keepdim=True)
    return inverse / pivots.sqrt()
