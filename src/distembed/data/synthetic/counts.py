r"""Collections of count vectors whose parameters are known.

    Multinomials       x ~ Multinomial(total, p_s)
    Poissons           x_j ~ Poisson(rate_{s,j}), independent
    NegativeBinomials  x_j ~ Poisson(mean_{s,j} g),  g ~ Gamma(r, r), independent

The variance of a negative binomial is mean + mean^2 / r. W2 between two multinomials is a problem
of optimal transport between finitely many points, and so exact.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.data.spaces import Counts
from distembed.data.synthetic.base import Known, parameter, positive, simplex

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Multinomials", "NegativeBinomials", "Poissons"]


class Multinomials(Known):
    """Sets of count vectors that each divide `total` among K categories.

    Args:
        p: `(S, K)`, not negative; each row is divided by its sum.
        total: Counts of one atom.
        size: Atoms of a set where no number is given.
        seed: Of the atoms that belong to a set.

    Raises:
        ValueError: If probabilities are negative or sum to zero, or `total` is not positive.
    """

    atoms = Counts()

    def __init__(self, p: ArrayLike, total: int, size: int = 500, seed: int = 0) -> None:
        self.p = simplex("p", p)
        self.total = positive(total)
        self.size = positive(size)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.p)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom, `(K,)`."""
        return (self.p.shape[1],)

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each set, `(B, m, K)`: each count is binomial given those before it."""
        p = self.p[index]
        remainder = torch.full((len(index), m), float(self.total), dtype=torch.float64)
        rest = p.flip(1).cumsum(1).flip(1)
        odds = p / rest.clamp_min(1e-300)  # exactly one in the last category that can occur
        counts = []
        for k in range(p.shape[1]):
            count = torch.binomial(remainder, odds[:, k, None].expand_as(remainder), generator=rng)
            remainder = remainder - count
            counts.append(count)
        return torch.stack(counts, 2).float()

    @classmethod
    def grid(cls, levels: int, total: int, size: int = 500, seed: int = 0) -> Multinomials:
        """Return all p of three categories whose entries are multiples of 1 / (levels - 1).

        Args:
            levels: Values of an entry, from 0 to 1; 10 levels are 55 distributions.
            total: Counts of one atom.
            size: As of the class.
            seed: As of the class.

        Example:
            >>> len(Multinomials.grid(10, 20))
            55
        """
        return cls(_compositions(levels - 1, 3), total, size, seed)

    def w2(self, i: ArrayLike, j: ArrayLike) -> np.ndarray:
        r"""Exact W2 between sets i and j, `(P,)` float64.

        The transport problem is between all vectors of counts, $\binom{total + K - 1}{K - 1}$ of
        them: 231 for 20 counts in three categories, and about 10 ms a pair.
        """
        from distembed.divergences.exact import pairwise_w2

        points = torch.from_numpy(_compositions(self.total, self.p.shape[1]))
        support = points.double().expand(len(self), -1, -1)
        sets = SetBatch.from_dense(support, self._probabilities(points))
        pairs = torch.as_tensor(np.stack([np.asarray(i), np.asarray(j)], 1))
        return pairwise_w2(sets.keep(sets.w > 0), pairs).numpy()

    def _probabilities(self, points: Tensor) -> Tensor:
        """Return the probability of each vector of counts `(N, K)` in each set, `(S, N)`."""
        ways = math.lgamma(self.total + 1) - torch.lgamma(points.double() + 1).sum(1)
        return (ways + torch.xlogy(points, self.p[:, None]).sum(2)).exp()


class Poissons(Known):
    """Sets of vectors of independent Poisson counts.

    Args:
        rate: `(S, D)`, not negative.
        size: As of `Multinomials`.
        seed: As of `Multinomials`.

    Raises:
        ValueError: If a rate is negative or not finite.
    """

    atoms = Counts()

    def __init__(self, rate: ArrayLike, size: int = 500, seed: int = 0) -> None:
        self.rate = parameter("rate", rate, 2)
        if bool((self.rate < 0).any()):
            raise ValueError("rate holds negative numbers; a Poisson rate is an expected count.")
        self.size = positive(size)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.rate)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom, `(D,)`."""
        return (self.rate.shape[1],)

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each set, `(B, m, D)`."""
        rate = self.rate[index].float().unsqueeze(1)
        return torch.poisson(rate.expand(-1, m, -1), generator=rng)


class NegativeBinomials(Known):
    """Sets of vectors of independent negative-binomial counts.

    Args:
        mean: `(S, D)`, positive.
        dispersion: r, `(S, D)`, positive; the variance is mean + mean^2 / r.
        size: As of `Multinomials`.
        seed: As of `Multinomials`.

    Raises:
        ValueError: If the shapes do not fit or a number is not positive.

    Example:
        >>> NegativeBinomials([[3.0, 1.0]], [[2.0, 2.0]]).batch([0]).x.shape
        torch.Size([500, 2])
    """

    atoms = Counts()

    def __init__(
        self, mean: ArrayLike, dispersion: ArrayLike, size: int = 500, seed: int = 0
    ) -> None:
        self.mean = parameter("mean", mean, 2)
        self.dispersion = parameter("dispersion", dispersion, 2)
        if self.mean.shape != self.dispersion.shape:
            raise ValueError(
                f"mean has shape {tuple(self.mean.shape)} and dispersion "
                f"{tuple(self.dispersion.shape)}; both need (S, D)."
            )
        if bool((self.mean <= 0).any()) or bool((self.dispersion <= 0).any()):
            raise ValueError("Mean and dispersion of a negative binomial are positive.")
        self.size, self.seed = positive(size), seed

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom, `(D,)`."""
        return (self.mean.shape[1],)

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each set, `(B, m, D)`."""
        r = self.dispersion[index].float().unsqueeze(1).expand(-1, m, -1)
        g = torch._standard_gamma(r.contiguous(), generator=rng) / r
        return torch.poisson(self.mean[index].float().unsqueeze(1) * g, generator=rng)


def _compositions(total: int, parts: int) -> np.ndarray:
    """Return all vectors of `parts` whole numbers of at least zero with a sum, `(N, parts)`."""
    # positions of the bars between stars
    bars = np.array(list(combinations(range(total + parts - 1), parts - 1)))
    ends = np.full((len(bars), 1), total + parts - 1)
    return np.diff(np.concatenate([np.full_like(ends, -1), bars, ends], 1), axis=1) - 1
