r"""How much a transform of atoms stretches space, to turn densities into those of other units.

If y = T(x), the density of x is $p(x) = p(y)\,|\det \partial T / \partial x|$.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["log_volume"]

NUMBERS = 2**24
"""Entries of Jacobians that are held at once."""
FLAT = 1e-9
"""Share of the volume that edges of the same lengths could have, below which there is none."""


@torch.enable_grad()
def log_volume(transform: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    r"""Return $\log |\det \partial T / \partial x|$ of every atom, `(N,)` float64.

    Args:
        transform: Maps atoms `(N, *event)`, each on its own.
        x: Atoms.

    Raises:
        ValueError: If the transform has fewer dimensions than the atoms, or is flat somewhere.

    Example:
        >>> log_volume(torch.log1p, torch.tensor([[0.0, 1.0]])).exp().tolist()
        [0.5]
    """
    found = []
    for part in x.split(max(1, NUMBERS // x[0].numel() ** 2)):
        leaf = part.detach().double().requires_grad_()
        y = transform(leaf).flatten(1)
        rows = [torch.autograd.grad(v.sum(), leaf, retain_graph=True)[0] for v in y.unbind(1)]
        slopes = torch.stack(rows, 1).flatten(2)
        square = slopes.shape[1] == slopes.shape[2]
        if not square or not bool(((volume := _volume(slopes)) > -torch.inf).all()):
            raise ValueError(
                "The transform of this model loses dimensions (as pca and a total count do), so "
                "atoms have no density in their own units. Ask for ground='model'."
            )
        found.append(volume)
    return torch.cat(found)


def _volume(slopes: Tensor) -> Tensor:
    """Log volume of boxes with edges `(N, D, D)`; minus infinity where an edge adds none."""
    volume: Tensor = torch.linalg.slogdet(slopes).logabsdet
    longest = slopes.norm(dim=2).log().sum(1)  # edges at right angles (Hadamard)
    return volume.where(volume - longest > math.log(FLAT), -torch.inf)
