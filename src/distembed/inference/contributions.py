r"""Attribute an embedding, and the difference between two embeddings, to atoms.

To first order z is a sum over atoms, $\sum_i w_i \psi_i$ with the influences $\psi$ of
`distembed.inference.covariance`; along a direction u the terms are numbers,

    w_i psi_i . u,      which sum to zero over a set.

Between two sets the derivative is integrated along the path of mixtures
$P_t = (1 - t) P_a + t P_b$, as in integrated gradients (Sundararajan, Taly, Yan, 2017):

    (z_b - z_a) . u = int_0^1 [sum_{i in b} w_i psi_t(x_i) - sum_{i in a} w_i psi_t(x_i)] . u dt,

so each atom has a term, and all terms sum to the change. Where z is linear in P, a mean of
features h, they are $\pm w_i (h(x_i) - (z_a + z_b)/2) \cdot u$, half of the change in each set.

The nodes are Gauss-Legendre in the angle s of $t = (1 - \cos \pi s)/2$, because the deviation of a
mixture with a set without spread grows like $\sqrt t$, which is smooth in s at both ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.inference.derivative import ATOMS, frozen_copy, set_runs, weight_graph
from distembed.protocols import Encoder

__all__ = ["Attribution", "attribute_change", "contributions"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Attribution:
    """Attribution of a change to the atoms of two sets, for B pairs of sets.

    Attributes:
        a: Contributions of the atoms of each first set, B arrays `(m_b,)`.
        b: Contributions of the atoms of each second set.
        change: Change along the direction, `(B,)`: the squared distance where the direction is
            the change itself.
        gap: Sum of the contributions less the change, `(B,)`: the error of the integral.
    """

    a: list[Array]
    b: list[Array]
    change: Array
    gap: Array


def contributions(
    encoder: Encoder,
    batch: SetBatch,
    direction: ArrayLike | Tensor,
    *,
    double: bool = False,
    atoms: int = ATOMS,
) -> list[Array]:
    r"""Attribute z along a direction to atoms, to first order.

    The contribution is $w_i \psi_i \cdot u$, of sum zero over each set, and zero for atoms of
    weight zero. It takes one backward pass.

    Args:
        encoder: A module, or any callable `SetBatch -> (B, L)`.
        batch: B sets.
        direction: The direction u, `(L,)`, or one for each set, `(B, L)`.
        double: Whether to embed in float64.
        atoms: Number of atoms that are embedded at once, unless a set has more.

    Returns:
        B arrays `(m_b,)`.

    Raises:
        ValueError: If z has no derivative by the weights or the direction does not fit z.

    Example:
        >>> batch = SetBatch.from_list([[[0.0], [2.0], [4.0], [6.0]]])
        >>> class Mean:
        ...     latent = 1
        ...     def __call__(self, batch):
        ...         return batch.mean(batch.x)
        >>> contributions(Mean(), batch, [1.0], double=True)[0].tolist()
        [-0.75, -0.25, 0.25, 0.75]
    """
    replica, positive = frozen_copy(encoder, batch.keep(batch.w > 0), double)
    u = torch.as_tensor(direction, dtype=torch.float64, device=batch.w.device)
    terms = []
    for run in set_runs(positive.sizes, atoms):
        part = positive.select(run)
        z, w = weight_graph(replica, part)
        terms.append(part.w.double() * _slope(part, z, w, _directions(u, z, run, len(batch))))
    out = torch.zeros_like(batch.w, dtype=torch.float64)
    out[batch.w > 0] = torch.cat(terms)
    return _by_set(out, batch)


def attribute_change(
    encoder: Encoder,
    a: SetBatch,
    b: SetBatch,
    direction: ArrayLike | Tensor | None = None,
    *,
    nodes: int = 16,
    double: bool = False,
    atoms: int = ATOMS,
) -> Attribution:
    """Attribute the change of z from each set of `a` to the same row of `b` to their atoms.

    The contributions sum to the change along the direction up to `gap`, which is returned. Each
    node takes one forward and one backward pass.

    Args:
        encoder: A module, or any callable `SetBatch -> (B, L)`.
        a: B sets.
        b: B sets.
        direction: `(L,)` or `(B, L)`; by default $z_b - z_a$ of each pair, for which the sum is
            the squared distance.
        nodes: Nodes of the integral. With 16 the gap is about 1e-5 of the change between sets of a
            hundred atoms; few atoms, or a small change, may need 64. The gap does not vanish
            where z jumps as atoms of another set enter, as exponentials of whitened atoms do
            beside a set without full rank.
        double: Whether to embed in float64.
        atoms: Number of atoms that are embedded at once, unless a pair has more.

    Raises:
        ValueError: If `a` and `b` differ in the number of sets, nodes are not positive, z has no
            derivative by the weights, or the direction does not fit z.

    Example:
        >>> class Mean:
        ...     latent = 1
        ...     def __call__(self, batch):
        ...         return batch.mean(batch.x)
        >>> a, b = SetBatch.from_list([[[0.0], [2.0]]]), SetBatch.from_list([[[3.0], [7.0]]])
        >>> change = attribute_change(Mean(), a, b)
        >>> [round(float(v)) for v in (*change.a[0], *change.b[0], change.change[0])]
        [6, 2, 0, 8, 16]
    """
    if len(a) != len(b):
        raise ValueError(f"There are {len(a)} sets in a and {len(b)} in b; sets are paired.")
    if nodes < 1:
        raise ValueError(f"nodes = {nodes}; an integral needs at least one.")
    whole = SetBatch.concat([a, b])
    replica, ends = frozen_copy(encoder, whole.keep(whole.w > 0), double)
    u = None
    if direction is not None:
        u = torch.as_tensor(direction, dtype=torch.float64, device=ends.w.device)
    path = _path(nodes)
    pairs = [
        _integrate(replica, ends, run, u, path)
        for run in set_runs(ends.sizes[: len(a)] + ends.sizes[len(a) :], atoms)
    ]
    terms, change = (torch.cat(each) for each in zip(*pairs, strict=True))
    rows = (whole.w > 0).nonzero().flatten()
    out = torch.zeros_like(whole.w, dtype=torch.float64)
    out[_alternating(ends.replace(x=rows), range(len(a))).x] = terms
    total = change.new_zeros(2 * len(a)).index_add(0, whole.owner, out)
    gap = total[: len(a)] + total[len(a) :] - change
    parts = _by_set(out, whole)
    return Attribution(parts[: len(a)], parts[len(a) :], change.cpu().numpy(), gap.cpu().numpy())


def _path(nodes: int) -> list[tuple[float, float]]:
    """Return the times of the nodes and their weights, which sum to one."""
    angle, weight = np.polynomial.legendre.leggauss(nodes)
    times = (1 - np.cos(np.pi * (angle + 1) / 2)) / 2
    weight = weight * np.cos(np.pi * angle / 2)
    return list(zip(times.tolist(), (weight / weight.sum()).tolist(), strict=True))


def _integrate(
    encoder: Encoder,
    ends: SetBatch,
    run: range,
    direction: Tensor | None,
    path: list[tuple[float, float]],
) -> tuple[Tensor, Tensor]:
    """Return the contributions of the atoms of some pairs, sets alternating, and their changes."""
    both = _alternating(ends, run)
    with torch.no_grad():
        z = encoder(both).double()
    step = z[1::2] - z[::2]
    u = step if direction is None else _directions(direction, step, run, len(ends) // 2)
    second = (both.owner % 2).double()
    mixed = SetBatch(both.x, both.w, both.offsets[::2].contiguous())
    total = torch.zeros_like(second)
    for t, weight in path:
        mass = (1 - t + (2 * t - 1) * second).to(both.w)
        mixture = mixed.replace(w=both.w * mass)
        point, w = weight_graph(encoder, mixture)
        total += weight * _slope(mixture, point, w, u)
    return (2 * second - 1) * both.w.double() * total, (step * u).sum(1)


def _slope(batch: SetBatch, z: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """Return the influence of every atom on z along directions `(B, L)`, `(N,)` in float64."""
    with torch.enable_grad():
        (slope,) = torch.autograd.grad((z.double() * u).sum(), w)
    slope = slope.double()
    return slope - batch.expand(batch.mean(slope))


def _directions(direction: Tensor, z: Tensor, run: range, sets: int) -> Tensor:
    """Return the directions of a run of sets, `(len(run), L)`."""
    latent = z.shape[1]
    if direction.shape not in ((latent,), (sets, latent)):
        raise ValueError(
            f"direction has shape {tuple(direction.shape)}; z has {latent} coordinates, so it "
            f"needs shape ({latent},), or ({sets}, {latent}) for one a set."
        )
    return direction.expand(sets, latent)[run.start : run.stop]


def _alternating(ends: SetBatch, run: range) -> SetBatch:
    """Select a run of pairs from 2 B sets: the first set of each pair and then its second."""
    return ends.select([k for p in run for k in (p, p + len(ends) // 2)])


def _by_set(values: Tensor, batch: SetBatch) -> list[Array]:
    return [part.numpy() for part in values.cpu().split(batch.sizes.tolist())]
