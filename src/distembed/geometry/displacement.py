r"""Shortest paths of distributions, to which paths in z are compared.

Displacement interpolation (McCann, 1997) moves mass on straight lines along an optimal coupling,
and $W_2(P_s, P_t) = |s - t|\, W_2(P_0, P_1)$. Between Gaussians, with U the polar factor of
$C_1^{1/2} C_0^{1/2}$,

    m_t = (1 - t) m_0 + t m_1,     C_t = R_t R_t^T,     R_t = (1 - t) C_0^{1/2} + t C_1^{1/2} U.

Between mixtures of Gaussians, the shortest path of MW2 displaces each matched pair of components
so (Delon and Desolneux, 2020, section 4). It is a path of mixtures, and nearly the shortest of W2
where components are narrow beside their distances. Between samples, the atoms of an exact optimal
coupling move.

A path is judged by its gap to the shortest path, averaged over its points and divided by the W2 of
its ends, and by its length over that W2, its chord: the sum of the W2 of successive points, at
least 1, and 1 for a shortest path only.

| A convexity principle for interacting gases (McCann, 1997)
| On the Bures-Wasserstein distance between positive definite matrices (Bhatia, Jain, Lim, 2019)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.bures import bures_w2
from distembed.divergences.exact import ExactW2, optimal_plan
from distembed.nn.sqrtm import sqrtm

__all__ = [
    "MixturePath",
    "gaussian_path",
    "geodesic_error",
    "length_over_chord",
    "mixture_path",
    "sample_path",
]


def gaussian_path(
    mean0: Tensor, cov0: Tensor, mean1: Tensor, cov1: Tensor, t: ArrayLike
) -> tuple[Tensor, Tensor]:
    """Return means and covariances on the shortest path between Gaussians, in float64.

    Args:
        mean0: `(*batch, D)`.
        cov0: `(*batch, D, D)`, positive semidefinite; it may be singular.
        mean1: As `mean0`.
        cov1: As `cov0`.
        t: Positions in [0, 1], `(T,)`.

    Returns:
        `(T, *batch, D)` and `(T, *batch, D, D)`.

    Raises:
        ValueError: If a position is outside of [0, 1].

    Example:
        >>> one = torch.ones(1, 1)
        >>> mean, cov = gaussian_path(torch.zeros(1), one, torch.ones(1), 9 * one, [0.5])
        >>> mean.item(), cov.item()
        (0.5, 4.0)
    """
    at = _inside(t)
    root0, root1 = sqrtm(cov0.double()), sqrtm(cov1.double())
    left, _, right = torch.linalg.svd(root1 @ root0)
    at_mean = at.view(-1, *[1] * mean0.ndim)
    at_cov = at_mean.unsqueeze(-1)
    root = (1 - at_cov) * root0 + at_cov * (root1 @ (left @ right))
    return (1 - at_mean) * mean0.double() + at_mean * mean1.double(), root @ root.mT


class MixturePath(NamedTuple):
    """Mixtures of P matched components at T positions.

    Attributes:
        weights: `(P,)`, the same at all positions.
        means: `(T, P, D)`.
        covs: `(T, P, D, D)`.
    """

    weights: Tensor
    means: Tensor
    covs: Tensor


def mixture_path(
    weights0: Tensor,
    means0: Tensor,
    covs0: Tensor,
    weights1: Tensor,
    means1: Tensor,
    covs1: Tensor,
    t: ArrayLike,
) -> MixturePath:
    """Return the mixtures on the shortest path of MW2 between two, in float64.

    Args:
        weights0: `(K,)`, positive.
        means0: `(K, D)`.
        covs0: `(K, D, D)`, positive semidefinite.
        weights1: `(L,)`, positive.
        means1: `(L, D)`.
        covs1: `(L, D, D)`.
        t: Positions in [0, 1], `(T,)`.

    Raises:
        ValueError: If a position is outside of [0, 1] or a covariance is not symmetric.
    """
    cost = bures_w2(means0[:, None], covs0[:, None], means1[None], covs1[None]).square()
    u, v = ((w.double() / w.double().sum()).numpy() for w in (weights0, weights1))
    plan = optimal_plan(u, v, cost.numpy())
    i, j = torch.from_numpy(plan.rows), torch.from_numpy(plan.columns)
    means, covs = gaussian_path(means0[i], covs0[i], means1[j], covs1[j], t)
    return MixturePath(torch.from_numpy(np.asarray(plan.mass)), means, covs)


def sample_path(a: SetBatch, b: SetBatch, t: ArrayLike) -> SetBatch:
    """Displace the atoms of one set to those of another along an exact optimal coupling.

    Args:
        a: One set, of vectors.
        b: Another.
        t: Positions in [0, 1], `(T,)`.

    Returns:
        T sets, of one atom for each positive entry of the coupling.

    Raises:
        ValueError: If there is more than one set on a side, a position is outside of [0, 1], or
            atoms are tokens.

    Example:
        >>> a, b = SetBatch.from_list([[[0.0], [1.0]]]), SetBatch.from_list([[[4.0], [3.0]]])
        >>> sample_path(a, b, [0.0, 0.5]).x.flatten().tolist()
        [0.0, 1.0, 1.5, 2.5]
    """
    if len(a) != 1 or len(b) != 1:
        raise ValueError(f"There are {len(a)} and {len(b)} sets; a path is between two sets.")
    if not (a.x.is_floating_point() and b.x.is_floating_point()):
        raise ValueError(
            f"The atoms are integers, as tokens are ({a.x.dtype}, {b.x.dtype}), and between two "
            "sequences there is no third to pass through. Interpolate embeddings and draw from "
            "them: model.interpolate. Numbers are converted by batch.replace(x=batch.x.float())."
        )
    at = _inside(t)
    x, y = a.flat.double(), b.flat.double()
    u, v = (s.w.double() / s.w.double().sum() for s in (a, b))
    plan = optimal_plan(u.numpy(), v.numpy(), torch.cdist(x, y).square().numpy())
    start, end = x[torch.from_numpy(plan.rows)], y[torch.from_numpy(plan.columns)]
    moved = torch.lerp(start, end, at.view(-1, 1, 1)).reshape(-1, *a.event_shape)
    mass = torch.from_numpy(np.asarray(plan.mass)).repeat(len(at))
    offsets = torch.arange(len(at) + 1) * len(start)
    return SetBatch(moved.to(a.x.dtype), mass.to(a.w.dtype), offsets)


def geodesic_error(gap: ArrayLike, separation: ArrayLike) -> np.ndarray:
    """Return the W2 gap to the shortest path, averaged over a path, over the W2 of its ends.

    Args:
        gap: W2 between the points of a path and those of the shortest path, `(*paths, T)`.
        separation: W2 of the ends, `(*paths,)`, positive.

    Returns:
        `(*paths,)`.

    Raises:
        ValueError: If a separation is not positive.

    Example:
        >>> geodesic_error([0.0, 0.2, 0.1], 2.0).round(3).item()
        0.05
    """
    distance = np.asarray(separation, dtype=np.float64)
    if not (distance > 0).all():
        raise ValueError("The ends of a path coincide, so an error relative to W2 is undefined.")
    error: np.ndarray = np.asarray(np.asarray(gap, dtype=np.float64).mean(-1) / distance)
    return error


def length_over_chord(path: SetBatch) -> float:
    """Return the sum of the W2 of successive sets over the W2 of the first and the last.

    Draw the sets with common noise: between independent samples the length is that of their
    sampling noise.

    Raises:
        ValueError: If the ends coincide.
    """
    last = len(path) - 1
    steps = ExactW2()(path.select(range(last)), path.select(range(1, last + 1))).sum()
    chord = ExactW2()(path.select([0]), path.select([last]))
    if not bool(chord > 0):
        raise ValueError("The ends of the path coincide, so its length has no chord to compare.")
    return float(steps / chord)


def _inside(t: ArrayLike) -> Tensor:
    """Return positions `(T,)`, or raise where one is outside of [0, 1]."""
    at = torch.as_tensor(np.asarray(t, dtype=np.float64))
    if at.ndim != 1 or not bool(((at >= 0) & (at <= 1)).all()):
        raise ValueError(
            "Positions on a shortest path are a list of numbers in [0, 1]: beyond its ends it is "
            "in general not shortest."
        )
    return at
