r"""What each atom contributes to z, and to the change from one set to another.

To first order z is a sum over atoms, $\sum_i w_i \psi_i$ with the influences $\psi$ of
`distembed.inference.covariance`; along a direction u the terms are numbers,

    w_i psi_i . u,      which sum to zero over a set: what pulls one way and what the other.

Between two sets the derivative is followed along the path of mixtures
$P_t = (1 - t) P_a + t P_b$, as integrated gradients do (Sundararajan, Taly, Yan, 2017):

    (z_b - z_a) . u = int_0^1 [sum_{i in b} w_i psi_t(x_i) - sum_{i in a} w_i psi_t(x_i)] . u dt,

so each atom owns a term, and all terms sum to the change. Where z is linear in P, a mean of
features h, they are exact: $\pm w_i (h(x_i) - (z_a + z_b)/2) \cdot u$, and each set owns half.

Gauss-Legendre nodes are laid on the angle s of $t = (1 - \cos \pi s)/2$. A deviation grows like
$\sqrt t$ where a set without spread begins to mix; in s it is smooth at both ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.inference.derivative import prepared, runs, tracked
from distembed.protocols import Encoder

__all__ = ["Explained", "contributions", "explained"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Explained:
    """How much of a change each atom of two sets owns, for B pairs of sets.

    Attributes:
        a: Contributions of the atoms of each first set, B arrays `(m_b,)`.
        b: Contributions of the atoms of each second set.
        change: The change along the direction, `(B,)`: the squared distance where the direction
            is the change itself.
        gap: Sum of the contributions less the change, `(B,)`: the error of the integral.
    """

    a: list[Array]
    b: list[Array]
    change: Array
    gap: Array


def contributions(
    encoder: Encoder, batch: SetBatch, direction: ArrayLike | Tensor, *, double: bool = False
) -> list[Array]:
    r"""Return what each atom contributes to z along a direction, to first order.

    $w_i \psi_i \cdot u$, of sum zero over each set; zero for atoms of weight zero. One backward
    pass.

    Args:
        encoder: A module, or any callable `SetBatch -> (B, L)`.
        batch: B sets.
        direction: The direction u, `(L,)`, or one for each set, `(B, L)`.
        double: Embed in float64.

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
    exact, seen = prepared(encoder, batch.keep(batch.w > 0), double)
    given = torch.as_tensor(direction, dtype=torch.float64, device=batch.w.device)
    terms = []
    for run in runs(seen.sizes):
        part = seen.select(run)
        z, w = tracked(exact, part)
        u = _fit(given, z, run, len(batch))
        terms.append(part.w.double() * _pull(part, z, w, u))
    out = torch.zeros_like(batch.w, dtype=torch.float64)
    out[batch.w > 0] = torch.cat(terms)
    return _by_set(out, batch)


def explained(
    encoder: Encoder,
    a: SetBatch,
    b: SetBatch,
    direction: ArrayLike | Tensor | None = None,
    *,
    nodes: int = 16,
    double: bool = False,
) -> Explained:
    """Share out the change of z from each set of `a` to the set of `b` beside it over all atoms.

    The sum is the change along the direction up to `gap`, which is returned. One forward and one
    backward pass for each node.

    Args:
        encoder: A module, or any callable `SetBatch -> (B, L)`.
        a: B sets.
        b: B sets.
        direction: `(L,)` or `(B, L)`; $z_b - z_a$ of each pair where left out, and then the sum
            is the squared distance.
        nodes: Nodes of the integral. With 16 the gap is below 1e-5 of the change between sets of
            some tens of atoms or more; sets of fewer atoms than features may need 64. No number
            closes it where z jumps as atoms of another set enter, as exponentials of whitened
            atoms do beside a set without full rank.
        double: Embed in float64.

    Raises:
        ValueError: If there are not as many sets in both, nodes are not positive, z has no
            derivative by the weights, or the direction does not fit z.

    Example:
        >>> class Mean:
        ...     latent = 1
        ...     def __call__(self, batch):
        ...         return batch.mean(batch.x)
        >>> a, b = SetBatch.from_list([[[0.0], [2.0]]]), SetBatch.from_list([[[3.0], [7.0]]])
        >>> found = explained(Mean(), a, b)
        >>> [round(float(v)) for v in (*found.a[0], *found.b[0], found.change[0])]
        [6, 2, 0, 8, 16]
    """
    if len(a) != len(b):
        raise ValueError(f"There are {len(a)} sets in a and {len(b)} in b; sets are paired.")
    if nodes < 1:
        raise ValueError(f"nodes = {nodes}; an integral needs at least one.")
    whole = SetBatch.concat([a, b])
    seen = whole.w > 0
    exact, ends = prepared(encoder, whole.keep(seen), double)
    given = None
    if direction is not None:
        given = torch.as_tensor(direction, dtype=torch.float64, device=ends.w.device)
    pairs = [
        _share(exact, ends, run, given, nodes)
        for run in runs(ends.sizes[: len(a)] + ends.sizes[len(a) :])
    ]
    terms, change = (torch.cat(each) for each in zip(*pairs, strict=True))
    rows = torch.arange(len(seen), device=seen.device)[seen]
    out = torch.zeros_like(whole.w, dtype=torch.float64)
    out[_in_turn(ends.replace(x=rows), range(len(a))).x] = terms
    total = change.new_zeros(2 * len(a)).index_add(0, whole.owner, out)
    gap = total[: len(a)] + total[len(a) :] - change
    parts = _by_set(out, whole)
    return Explained(parts[: len(a)], parts[len(a) :], change.cpu().numpy(), gap.cpu().numpy())


def _share(
    encoder: Encoder, ends: SetBatch, run: range, given: Tensor | None, nodes: int
) -> tuple[Tensor, Tensor]:
    """Contributions of the atoms of some pairs, first set and second in turn, and their change."""
    both = _in_turn(ends, run)
    with torch.no_grad():
        z = encoder(both).double()
    step = z[1::2] - z[::2]
    u = step if given is None else _fit(given, step, run, len(ends) // 2)
    second = both.owner % 2 == 1
    mixed = SetBatch(both.x, both.w, both.offsets[::2].contiguous())
    sign = 2 * second.double() - 1
    angle, share = np.polynomial.legendre.leggauss(nodes)
    times, share = (1 - np.cos(np.pi * (angle + 1) / 2)) / 2, share * np.cos(np.pi * angle / 2)
    total = torch.zeros_like(sign)
    for t, s in zip(times.tolist(), (share / share.sum()).tolist(), strict=True):
        mass = (1 - t + (2 * t - 1) * second.double()).to(both.w)
        here = mixed.replace(w=both.w * mass)
        point, w = tracked(encoder, here)
        total += s * _pull(here, point, w, u)
    return sign * both.w.double() * total, (step * u).sum(1)


def _pull(batch: SetBatch, z: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """Influence of every atom on z along a direction of each set `(B, L)`, `(N,)` in float64."""
    with torch.enable_grad():
        (slope,) = torch.autograd.grad((z.double() * u).sum(), w)
    slope = slope.double()
    return slope - batch.expand(batch.mean(slope))


def _fit(direction: Tensor, z: Tensor, run: range, sets: int) -> Tensor:
    """Return the directions of some sets, `(len(run), L)`."""
    latent = z.shape[1]
    if direction.shape not in ((latent,), (sets, latent)):
        raise ValueError(
            f"direction has shape {tuple(direction.shape)}; z has {latent} coordinates, so it "
            f"needs shape ({latent},), or ({sets}, {latent}) for one a set."
        )
    return direction.expand(sets, latent)[run.start : run.stop]


def _in_turn(ends: SetBatch, run: range) -> SetBatch:
    """Take some pairs of 2 B sets: the first set of each and then its second."""
    return ends.select([k for p in run for k in (p, p + len(ends) // 2)])


def _by_set(values: Tensor, batch: SetBatch) -> list[Array]:
    return [part.numpy() for part in values.cpu().split(batch.sizes.tolist())]
