r"""Conditioning: what the generator sees of an embedding and of its sampling error.

    none        C(z, m) = z                                               (the GDE paper)
    size        C(z, m) = [u, s]
    shrinkage   C(z, m) = [u + s r(u, s), s]

    u = (z - centre) / scale,      s = sqrt(k / (k + m))

u is z standardised over training sets, so that a generator resolves a small covariance coordinate
as well as a large mean coordinate while z itself keeps W2 units. The embedding must not depend on
the effective set size m, but its sampling error does: s is one for a set of nothing and zero for
infinitely many atoms. Following empirical Bayes, `shrinkage` moves a noisy embedding towards what
all sets share. r starts as a ridge regression of one part of a set on a disjoint one, linear in u
and in s (which is the posterior mean where k atoms weigh as much as the population does), and a
small network adds the rest. An embedding without a size is taken to be exact, s = 0, and the
correction vanishes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from distembed.nn.mlp import MLP, shrink
from distembed.nn.ridge import PenaltyGrid, ridge
from distembed.protocols import Halves

__all__ = ["Direct", "Shrinkage", "Size", "Standardised"]


class Direct(nn.Module):
    """Pass z to the generator unchanged.

    Args:
        latent: Dimension L of the embedding.
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.outputs, self.sized = latent, False

    def prepare(self, z: Tensor, halves: Callable[[], Sequence[Halves]], informed: int) -> None:
        """Leave everything as it is."""

    def forward(self, z: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Return z `(B, L)`."""
        return z


class Standardised(nn.Module):
    """Centre and scale each coordinate of z to unit deviation over training sets.

    Args:
        latent: Dimension L of the embedding.
        least_scale: Coordinates below this share of the largest deviation are not scaled up.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, latent: int, least_scale: float = 0.03) -> None:
        super().__init__()
        self.least_scale = least_scale
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("scale", torch.ones(latent))

    @torch.no_grad()
    def prepare(self, z: Tensor) -> None:
        """Measure means and deviations of training embeddings `(B, L)`."""
        deviation = z.std(0, unbiased=False)
        largest = deviation.max()
        # sets that are all alike have no scale: one keeps their embeddings finite
        floor = self.least_scale * largest if largest > 1e-6 else torch.ones_like(largest)
        self.centre.copy_(z.mean(0))
        self.scale.copy_(deviation.clamp_min(floor))

    def forward(self, z: Tensor) -> Tensor:
        """Return u `(B, L)`."""
        return (z - self.centre) / self.scale


class Size(nn.Module):
    """Pass the standardised embedding and its sampling uncertainty s.

    Args:
        latent: Dimension L of the embedding.
        prior_atoms: k, the number of atoms that weigh as much as the population.
    """

    def __init__(self, latent: int, prior_atoms: float = 8.0) -> None:
        super().__init__()
        self.outputs, self.sized, self.prior_atoms = latent + 1, True, prior_atoms
        self.standardise = Standardised(latent)

    def prepare(self, z: Tensor, halves: Callable[[], Sequence[Halves]], informed: int) -> None:
        """Measure means and deviations of training embeddings."""
        self.standardise.prepare(z)

    def forward(self, z: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Return `[u, s]`, `(B, L + 1)`."""
        u = self.standardise(z)
        return torch.cat([u, _uncertainty(sizes, self.prior_atoms, u)], 1)


class Shrinkage(nn.Module):
    """Shrink a noisy embedding, and pass it with its sampling uncertainty s.

    Args:
        latent: Dimension L of the embedding.
        network: Whether a network adds to the linear correction.
        prior_atoms: k, the number of atoms that weigh as much as the population.
    """

    linear: Tensor

    def __init__(self, latent: int, network: bool = True, prior_atoms: float = 8.0) -> None:
        super().__init__()
        self.outputs, self.sized, self.prior_atoms = latent + 1, True, prior_atoms
        self.standardise = Standardised(latent)
        self.network = MLP(latent + 1, latent, 4 * latent) if network else None
        if self.network is not None:
            shrink(cast(nn.Linear, self.network[-1]), 0.01)
        self.register_buffer("linear", torch.zeros(2 * latent + 2, latent))

    @torch.no_grad()
    def prepare(self, z: Tensor, halves: Callable[[], Sequence[Halves]], informed: int) -> None:
        """Regress the embedding of one part of a set on that of a disjoint one.

        Coordinates without signal before training predict nothing of a disjoint part. Shrinking
        these would keep gradients from them, so only the informed ones take part.
        """
        self.standardise.prepare(z)
        if not informed:
            return
        latent = self.outputs - 1
        design, gap, weight = [], [], []
        for half in halves():
            u = self.standardise(half.z)[:, :informed].double()
            s = _uncertainty(half.sizes, self.prior_atoms, u)
            gap.append(self.standardise(half.other)[:, :informed].double() - u)
            design.append(_basis(u, s))
            weight.append(1 - _uncertainty(half.other_sizes, self.prior_atoms, u).square())
        # sizes are few, so s and s^2 nearly cancel there and do not at other sizes
        grid = PenaltyGrid(smallest=1e-3, count=9)
        fit = ridge(torch.cat(design), torch.cat(gap), torch.cat(weight), False, grid)
        rows = (torch.arange(latent + 1) < informed).index_fill(0, torch.tensor(latent), True)
        index = rows.repeat(2).nonzero().flatten().to(z.device)
        self.linear[index, :informed] = fit.weight.to(self.linear)

    def forward(self, z: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Return `[u + s r(u, s), s]`, `(B, L + 1)`."""
        u = self.standardise(z)
        s = _uncertainty(sizes, self.prior_atoms, u)
        shrunk = u + _basis(u, s) @ self.linear
        if self.network is not None:
            shrunk = shrunk + s * self.network(torch.cat([u, s], 1))
        return torch.cat([shrunk, s], 1)


def _uncertainty(sizes: Tensor | None, prior_atoms: float, like: Tensor) -> Tensor:
    """S of effective sizes `(B,)`, zero without sizes; `(B, 1)` of the type of another tensor."""
    if sizes is None:
        return like.new_zeros(len(like), 1)
    return (prior_atoms / (prior_atoms + sizes)).sqrt().unsqueeze(1).to(like)


def _basis(u: Tensor, s: Tensor) -> Tensor:
    """Regressors of the linear correction, `(B, 2 L + 2)`; zero where s is."""
    affine = s * torch.cat([u, torch.ones_like(s)], 1)
    return torch.cat([affine, s * affine], 1)
