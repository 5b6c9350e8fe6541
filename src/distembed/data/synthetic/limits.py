r"""Known distributions as weighted sets, for which the limit of an embedding is computed.

z is a function of a distribution. A distribution on finitely many atoms is a weighted set exactly.
A mixture of Gaussians is represented by the points of a scrambled Sobol net, mapped to each of its
components: the error of a smooth function falls nearly as one over the number of points, and is
estimated by another scrambling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.data.synthetic.gaussians import Mixtures
from distembed.divergences.bures import bures_w2
from distembed.divergences.exact import ExactW2

__all__ = ["NormalMixtures", "PooledMixtures", "Source"]


class Source(Protocol):
    """Collection of known distributions."""

    def __len__(self) -> int: ...

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each of the distributions `index (B,)`, `(B, m, *event)`."""

    def points(self, index: Tensor, seed: int) -> SetBatch:
        """Return a weighted set for each distribution that represents it."""

    def w2(self, i: Tensor, j: Tensor) -> Tensor | None:
        """Return W2 of pairs `(P,)`, or None where there is no formula."""

    def moved(self, share: float) -> Source:
        """Interpolate each distribution towards the next one by a share of the way."""


@dataclass(frozen=True)
class NormalMixtures:
    """Mixtures of K Gaussians, on a quasi-random net.

    Attributes:
        mixtures: The mixtures.
        size: Most points of the net of a mixture.
    """

    mixtures: Mixtures
    size: int = 2**12

    def __len__(self) -> int:
        return len(self.mixtures)

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each, `(B, m, D)`."""
        return self.mixtures.draw(index, m, rng)

    def points(self, index: Tensor, seed: int) -> SetBatch:
        """Return nets of equal weights within a component."""
        mean, components = self.mixtures.mean[index], self.mixtures.weights.shape[1]
        count = 2 ** ((self.size // components).bit_length() - 1)
        net = torch.quasirandom.SobolEngine(mean.shape[2], scramble=True, seed=seed)
        cell = net.draw(count, dtype=torch.float64).clamp(2**-31, 1 - 2**-31)
        root = torch.linalg.cholesky(self.mixtures.cov[index])
        x = mean[:, :, None] + torch.special.ndtri(cell) @ root.mT
        w = self.mixtures.weights[index].repeat_interleave(count, 1)
        return SetBatch.from_dense(x.flatten(1, 2).float(), w)

    def w2(self, i: Tensor, j: Tensor) -> Tensor | None:
        """Return W2 of single Gaussians; None for mixtures, which have no formula."""
        if self.mixtures.weights.shape[1] > 1:
            return None
        mean, cov = self.mixtures.mean[:, 0], self.mixtures.cov[:, 0]
        return bures_w2(mean[i], cov[i], mean[j], cov[j])

    def moved(self, share: float) -> Source:
        """Interpolate parameters towards those of the next mixture."""
        own = self.mixtures
        weights, mean, cov = (
            torch.lerp(p, p.roll(-1, 0), share) for p in (own.weights, own.mean, own.cov)
        )
        return NormalMixtures(Mixtures(weights, mean, cov))


@dataclass(frozen=True)
class PooledMixtures:
    """Mixtures of finite pools of atoms, with draws with replacement.

    Attributes:
        pool: The pools, one set each.
        parts: The pools of each mixture, `(S, K)`.
        share: Their shares, `(S, K)`.
    """

    pool: SetBatch
    parts: Tensor
    share: Tensor

    def __len__(self) -> int:
        return len(self.share)

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each with replacement, `(B, m, *event)`."""
        part = torch.multinomial(self.share[index], m, replacement=True, generator=rng)
        pool = self.parts[index].gather(1, part)
        place = torch.rand(pool.shape, generator=rng, dtype=torch.float64)
        return self.pool.x[self.pool.offsets[pool] + (place * self.pool.sizes[pool]).long()]

    def points(self, index: Tensor, seed: int) -> SetBatch:
        """Return the distributions themselves, on all atoms of their pools."""
        pools = self.pool.select(self.parts[index].flatten())
        w = pools.w * self.share[index].flatten()[pools.owner].to(pools.w)
        step = self.parts.shape[1]
        return SetBatch(pools.x, w, pools.offsets[::step].contiguous()).checked(normalise=True)

    def w2(self, i: Tensor, j: Tensor) -> Tensor | None:
        """Return W2 by exact optimal transport."""
        return ExactW2()(self.points(i, 0), self.points(j, 0))

    def moved(self, share: float) -> Source:
        """Interpolate shares towards those of the next mixture, which may have other pools."""
        return PooledMixtures(
            self.pool, self.parts, torch.lerp(self.share, self.share.roll(-1, 0), share)
        )
