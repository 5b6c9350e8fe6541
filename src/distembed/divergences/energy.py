r"""The energy distance of two weighted sets.

    E(P, Q) = 2 E|X - Y| - E|X - X'| - E|Y - Y'|,

with every expectation taken over all pairs of atoms, a point with itself included. This
V-statistic is the energy distance of the two empirical distributions: never negative, zero only
for equal ones, and biased upwards by the noise of a sample, as every plug-in distance is. It has
the units of the atoms. Its root is a metric.

| Energy statistics: a class of statistics based on distances (Szekely, Rizzo, 2013), section 2
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.pairing import aligned, pieces

__all__ = ["Energy"]

_NUMBERS = 2**22  # distances held at a time, so that memory stays bounded


@dataclass(frozen=True)
class Energy:
    """Energy distance between the b-th sets of two batches; differentiable.

    Example:
        >>> a = SetBatch.from_list([[[0.0]]])
        >>> b = SetBatch.from_list([[[3.0], [5.0]]])
        >>> Energy()(a, b).item()
        7.0
    """

    def __call__(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Compare set by set, `(B,)`, in the type of the atoms."""
        dtype = aligned(a, b)
        values = [
            2 * _expected(x, u, y, v) - _expected(x, u, x, u) - _expected(y, v, y, v)
            for (x, u), (y, v) in zip(_sets(a), _sets(b), strict=True)
        ]
        return torch.stack(values).clamp_min(0).to(dtype)


def _sets(batch: SetBatch) -> list[tuple[Tensor, Tensor]]:
    """Atoms and weights of each set, in float64."""
    atoms = pieces(batch, batch.flat.double())
    weights = pieces(batch, batch.w.double())
    return [(x, w / w.sum()) for x, w in zip(atoms, weights, strict=True)]


def _expected(x: Tensor, u: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Weighted mean of |x - y| over all pairs."""
    rows = max(1, _NUMBERS // len(y))
    starts = range(0, len(x), rows)
    parts = [u[i : i + rows] @ torch.cdist(x[i : i + rows], y) @ v for i in starts]
    return torch.stack(parts).sum()
