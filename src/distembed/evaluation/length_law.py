r"""The law of the lengths of a set of sequences, smoothed, with a probability for every length.

    p(l) = (\sum_i n_i K_h(l | l_i) + g(l)) / (n + 1),      K_h(l | c) \propto e^{-|l - c| / h},

$n_i$ atoms of n have length $l_i$; K is a distribution over l = 0, 1, ..., and a single point
where h = 0. g is geometric with the mean of the lengths, and has the weight of one atom, so that
no length is impossible.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["LengthLaw"]


class LengthLaw:
    """A smoothed histogram of lengths.

    Args:
        length: Lengths, `(m,)` int64.
        count: How many atoms each of them stands for, `(m,)` float64.
        bandwidth: h, at least zero.

    Example:
        >>> law = LengthLaw(torch.tensor([2, 3]), torch.ones(2).double(), 0.0)
        >>> round(float(law.log_prob(torch.arange(200)).exp().sum()), 12)
        1.0
    """

    def __init__(self, length: Tensor, count: Tensor, bandwidth: float) -> None:
        self.centre, place = length.unique(return_inverse=True)
        self.count = torch.zeros(len(self.centre), dtype=torch.float64).index_add(0, place, count)
        self.total, self.bandwidth = float(count.sum()), bandwidth
        mean = float((self.centre * self.count).sum()) / max(self.total, 1e-300)
        # where all sequences are empty, others are improbable and not impossible
        mean = max(mean, 1 / (self.total + 1))
        self.ratio = mean / (1 + mean)

    def log_prob(self, length: Tensor) -> Tensor:
        """Return the log-probability of lengths, `(N,)` float64."""
        distinct, place = length.unique(return_inverse=True)
        kernel = self._kernel((distinct[:, None] - self.centre).abs().double())
        geometric = (1 - self.ratio) * self.ratio ** distinct.double()
        p: Tensor = (kernel @ self.count + geometric) / (self.total + 1)
        return p.log()[place]

    def draw(self, m: int, rng: torch.Generator) -> Tensor:
        """Draw lengths `(m,)`, without the share of g, which is there for unusual lengths."""
        if not self.bandwidth:
            row = torch.multinomial(self.count, m, True, generator=rng)
            chosen: Tensor = self.centre[row]
            return chosen
        # 16 bandwidths leave out one in 10^7
        reach = int(16 * self.bandwidth) + 1
        support = torch.arange(int(self.centre.max()) + reach + 1)
        p = self._kernel((support[:, None] - self.centre).abs().double()) @ self.count
        drawn: Tensor = torch.multinomial(p, m, True, generator=rng)
        return drawn

    def _kernel(self, gap: Tensor) -> Tensor:
        """K of distances to the centres `(K, C)`: two geometric tails, cut at length zero."""
        if not self.bandwidth:
            return (gap == 0).double()
        q = math.exp(-1 / self.bandwidth)
        mass = (1 + q - q ** (self.centre.double() + 1)) / (1 - q)
        kernel: Tensor = q**gap / mass
        return kernel
