r"""The energy distance of two weighted sets.

    E(P, Q) = 2 E|X - Y| - E|X - X'| - E|Y - Y'|,

with every expectation taken over all pairs of atoms, a point with itself included. This
V-statistic is the energy distance of the two empirical distributions: never negative, zero only
for equal ones, and biased upwards by the noise of a sample, as every plug-in distance is. It has
the units of the atoms. Its root is a metric.

The U-statistic leaves out the pairs of an atom with itself. With weights u of the atoms x and v of
the atoms y, which sum to one,

    E_U = 2 sum_ij u_i v_j |x_i - y_j| - S(x, u) - S(y, v),
    S(x, u) = sum_{i != j} u_i u_j |x_i - x_j| / (1 - sum_i u_i^2).

The weights of S sum to one, so E_U is an unbiased estimate of the energy distance of the two
distributions wherever the atoms are independent draws and the weights do not depend on them. Its
expectation is zero for equal distributions and positive for all others, at every number of atoms
from two on: as a judge of samples it is proper. Importance weights, which do depend on the atoms,
leave a bias of the order 1 / m, as in every self-normalised estimate.

| Energy statistics: a class of statistics based on distances (Szekely, Rizzo, 2013), section 2
| Strictly proper scoring rules, prediction, and estimation (Gneiting, Raftery, 2007), section 4.3
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.exact import Distance
from distembed.divergences.pairing import Points, aligned, expected, pieces, points

__all__ = ["Energy", "unbiased_energy"]


_SINGLE = 1e-9  # rounding of the sum of squared weights


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


def unbiased_energy(a: SetBatch, b: SetBatch, distance: Distance | None = None) -> Tensor:
    """Estimate the energy distance between the b-th sets of two batches without bias, `(B,)`.

    The U-statistic of two samples; it may be negative. It describes samples and not distributions:
    duplicating atoms changes it.

    Args:
        a: Sets.
        b: As many sets.
        distance: The distance of atoms, such as that of sequences; Euclidean if left out.

    Raises:
        ValueError: If a set has a single atom of positive weight.

    Example:
        >>> a = SetBatch.from_list([[[0.0], [2.0]]])
        >>> b = SetBatch.from_list([[[1.0], [5.0]]])
        >>> unbiased_energy(a, b).item()  # 2 (1 + 5 + 1 + 3) / 4 - 2 - 4
        -1.0
    """
    if distance is not None:
        return _by(distance, a, b)
    dtype = aligned(a, b)
    values = [
        2 * expected(_same, p, q) - _inside(p, i) - _inside(q, i)
        for i, (p, q) in enumerate(zip(points(a), points(b), strict=True))
    ]
    return torch.stack(values).to(dtype)


def _by(distance: Distance, a: SetBatch, b: SetBatch) -> Tensor:
    """Return the U-statistic under a distance of atoms, `(B,)` float64."""

    def mean(x: Tensor, u: Tensor, y: Tensor, v: Tensor) -> Tensor:
        average: Tensor = u @ distance(x, y).double() @ v
        return average

    values = []
    atoms = zip(pieces(a, a.x), _weights(a), pieces(b, b.x), _weights(b), strict=True)
    for i, (x, u, y, v) in enumerate(atoms):
        inside = [mean(s, w, s, w) / (1 - _alone(w, i)) for s, w in ((x, u), (y, v))]
        values.append(2 * mean(x, u, y, v) - inside[0] - inside[1])
    return torch.stack(values)


def _weights(batch: SetBatch) -> list[Tensor]:
    return [w / w.sum() for w in pieces(batch, batch.w.double())]


def _inside(p: Points, index: int) -> Tensor:
    """Mean distance of two different atoms of one set."""
    return expected(_same, p, p) / (1 - _alone(p.w, index))


def _alone(w: Tensor, index: int) -> Tensor:
    """Return the sum of squared weights, or raise where a set has a single atom."""
    itself = w.square().sum()
    if float(itself.detach()) > 1 - _SINGLE:
        raise ValueError(
            f"Set {index} has a single atom of positive weight; the unbiased energy distance "
            "averages over pairs of different atoms and needs two. Drop the set, or use Energy()."
        )
    return itself


def _same(distance: Tensor) -> Tensor:
    return distance
