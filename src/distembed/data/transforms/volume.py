r"""Log volume factor of a transform of atoms, which converts densities between units.

If y = T(x), the density of x is $p(x) = p(y)\,|\det \partial T / \partial x|$.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["log_volume"]


@torch.enable_grad()
def log_volume(
    transform: Callable[[Tensor], Tensor], x: Tensor, entries: int = 2**24, flat: float = 1e-9
) -> Tensor:
    r"""Compute $\log |\det \partial T / \partial x|$ of every atom, `(N,)` float64.

    Args:
        transform: Maps atoms `(N, *event)`, each on its own.
        x: Atoms.
        entries: Entries of Jacobians that are held in memory at once.
        flat: A Jacobian is singular if its determinant is less than this share of the product of
            its rows' lengths, which is the largest possible (Hadamard).

    Raises:
        ValueError: If the transform has fewer dimensions than the atoms, or is singular at one.

    Example:
        >>> log_volume(torch.log1p, torch.tensor([[0.0, 1.0]])).exp().tolist()
        [0.5]
    """
    volumes = []
    for part in x.split(max(1, entries // x[0].numel() ** 2)):
        leaf = part.detach().double().requires_grad_()
        y = transform(leaf).flatten(1)
        rows = [torch.autograd.grad(v.sum(), leaf, retain_graph=True)[0] for v in y.unbind(1)]
        jacobian = torch.stack(rows, 1).flatten(2)
        square = jacobian.shape[1] == jacobian.shape[2]
        if not square or not bool(((volume := _volume(jacobian, flat)) > -torch.inf).all()):
            raise ValueError(
                "The transform of this model loses dimensions (as pca and a total count do), so "
                "atoms have no density in the units of the data. Use ground='model'."
            )
        volumes.append(volume)
    return torch.cat(volumes)


def _volume(jacobian: Tensor, flat: float) -> Tensor:
    """Compute log determinants of `(N, D, D)`; minus infinity where a matrix is singular."""
    volume: Tensor = torch.linalg.slogdet(jacobian).logabsdet
    largest = jacobian.norm(dim=2).log().sum(1)
    return volume.where(volume - largest > math.log(flat), -torch.inf)
