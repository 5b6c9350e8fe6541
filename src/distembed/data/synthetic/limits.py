r"""Distributions whose embedding is known: as weighted sets that stand for them.

z is a function of a distribution. One on finitely many atoms is a weighted set, exactly. A mixture
of Gaussians is put on the points of a scrambled Sobol net, mapped to each of its parts: what a
smooth function of it is in error by falls nearly as one over their number, and another scrambling
tells how much it is.
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

__all__ = ["POINTS", "NormalMixtures", "PooledMixtures", "Source"]

POINTS = 2**12
"""Of a net, at most."""


class Source(Protocol):
    """Distributions that are known."""

    def __len__(self) -> int: ...

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each of the distributions `index (B,)`, `(B, m, *event)`."""

    def points(self, index: Tensor, seed: int) -> SetBatch:
        """Return a weighted set for each that stands for the distribution itself."""

    def w2(self, i: Tensor, j: Tensor) -> Tensor | None:
        """W2 of pairs, `(P,)`, where it can be known."""

    def moved(self, share: float) -> Source:
        """Move each distribution by a share of the way to the next."""


@dataclass(frozen=True)
class NormalMixtures:
    """Mixtures of K Gaussians, on a quasi-random net.

    Attributes:
        known: The mixtures.
    """

    known: Mixtures

    def __len__(self) -> int:
        return len(self.known)

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each, `(B, m, D)`."""
        return self.known.draw(index, m, rng)

    def points(self, index: Tensor, seed: int) -> SetBatch:
        """Return nets of equal weights within a part."""
        mean, parts = self.known.mean[index], self.known.weights.shape[1]
        count = 2 ** ((POINTS // parts).bit_length() - 1)
        net = torch.quasirandom.SobolEngine(mean.shape[2], scramble=True, seed=seed)
        cell = net.draw(count, dtype=torch.float64).clamp(2**-31, 1 - 2**-31)
        root = torch.linalg.cholesky(self.known.cov[index])
        x = mean[:, :, None] + torch.special.ndtri(cell) @ root.mT
        w = self.known.weights[index].repeat_interleave(count, 1)
        return SetBatch.from_dense(x.flatten(1, 2).float(), w)

    def w2(self, i: Tensor, j: Tensor) -> Tensor | None:
        """W2 of single Gaussians; None of mixtures, which have no formula."""
        if self.known.weights.shape[1] > 1:
            return None
        mean, cov = self.known.mean[:, 0], self.known.cov[:, 0]
        return bures_w2(mean[i], cov[i], mean[j], cov[j])

    def moved(self, share: float) -> Source:
        """Move parameters towards those of the next."""
        known = self.known
        weights, mean, cov = (
            torch.lerp(p, p.roll(-1, 0), share) for p in (known.weights, known.mean, known.cov)
        )
        return NormalMixtures(Mixtures(weights, mean, cov))


@dataclass(frozen=True)
class PooledMixtures:
    """Mixtures of finite pools of atoms; draws are with replacement.

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
        chosen = self.parts[index].gather(1, part)
        place = torch.rand(chosen.shape, generator=rng, dtype=torch.float64)
        return self.pool.x[self.pool.offsets[chosen] + (place * self.pool.sizes[chosen]).long()]

    def points(self, index: Tensor, seed: int) -> SetBatch:
        """Return the distributions themselves, on all atoms of their pools."""
        pools = self.pool.select(self.parts[index].flatten())
        w = pools.w * self.share[index].flatten()[pools.owner].to(pools.w)
        step = self.parts.shape[1]
        return SetBatch(pools.x, w, pools.offsets[::step].contiguous()).checked(normalise=True)

    def w2(self, i: Tensor, j: Tensor) -> Tensor | None:
        """W2 by optimal transport, exactly."""
        return ExactW2()(self.points(i, 0), self.points(j, 0))

    def moved(self, share: float) -> Source:
        """Move shares towards those of the next."""
        # the next one may be of other pools; its shares are as good as any
        return PooledMixtures(
            self.pool, self.parts, torch.lerp(self.share, self.share.roll(-1, 0), share)
        )
