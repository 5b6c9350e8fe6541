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
from distembed.divergences.pairing import aligned, expected, points

__all__ = ["Energy"]


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
            2 * expected(_same, p, q) - expected(_same, p, p) - expected(_same, q, q)
            for p, q in zip(points(a), points(b), strict=True)
        ]
        return torch.stack(values).clamp_min(0).to(dtype)


def _same(distance: Tensor) -> Tensor:
    return distance
