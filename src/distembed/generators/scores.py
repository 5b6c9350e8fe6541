r"""Normal scores of the features of an atom, of any distribution: skewed, bounded or with masses.

Let F be the distribution of a feature over all training atoms. The distributional transform

    g(x) = Phi^{-1}(F(x-) + v (F(x) - F(x-))),      v uniform on (0, 1),

of the training atoms is standard normal whatever F is, and $x = F^{-1}(\Phi(g))$ returns the
value. A mass, such as that of zero counts, becomes an interval of scores, so that a Gaussian of
scores draws the mass again. What is drawn lies between the smallest and the largest training atom
of its feature, and where training atoms share few values it is one of them.

F^{-1}(Phi) is tabulated on a regular grid of scores, beyond which it is constant, and interpolated
linearly, but for a step between two masses.

| On the distributional transform, Sklar's theorem, and the empirical copula process
  (Rueschendorf, 2009)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distembed.rng import stream

__all__ = ["NormalScores", "ScoreGrid"]


@dataclass(frozen=True)
class ScoreGrid:
    """The grid of scores.

    Attributes:
        largest: Largest score.
        points: Number of points K, from minus the largest score to it.
        atoms: Most atoms that a distribution is computed from.
    """

    largest: float = 4.0
    points: int = 513
    atoms: int = 2**16

    @property
    def step(self) -> float:
        """Distance of two points."""
        return 2 * self.largest / (self.points - 1)

    def scores(self) -> Tensor:
        """Return the points, `(K,)`."""
        return torch.linspace(-self.largest, self.largest, self.points)


class NormalScores(nn.Module):
    """Monotone maps of D features to normal scores; the identity until they are fitted.

    Args:
        dim: Number of features D.
        grid: The grid of scores.

    Example:
        >>> counts = torch.tensor([[0.0], [0.0], [0.0], [5.0]]).repeat(500, 1)
        >>> scores = NormalScores(1)
        >>> scores.fit(counts, torch.ones(2000))
        >>> round(scores(counts).std().item(), 1)
        1.0
        >>> scores.inverse(scores(counts)).equal(counts)
        True
    """

    values: Tensor
    masses: Tensor
    fitted: Tensor

    def __init__(self, dim: int, grid: ScoreGrid | None = None) -> None:
        super().__init__()
        self.grid = grid or ScoreGrid()
        self.register_buffer("values", self.grid.scores().repeat(dim, 1))
        self.register_buffer("masses", torch.zeros(dim, self.grid.points, dtype=torch.bool))
        self.register_buffer("fitted", torch.tensor(False))

    @torch.no_grad()
    def fit(self, x: Tensor, w: Tensor) -> None:
        """Tabulate the distributions of atoms `(N, D)` of weights `(N,)`."""
        every = -(-len(x) // self.grid.atoms)
        atoms, weights = (t[::every].double().cpu().numpy() for t in (x, w))
        levels = torch.special.ndtr(self.grid.scores().double()).numpy()
        tables = [_quantiles(column, weights, levels) for column in atoms.T]
        self.values.copy_(torch.from_numpy(np.stack([values for values, _ in tables])))
        self.masses.copy_(torch.from_numpy(np.stack([masses for _, masses in tables])))
        self.fitted.fill_(True)

    def reset(self) -> None:
        """Return to the identity."""
        self.fitted.fill_(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Map atoms `(..., D)` to scores; an atom's v depends on its place alone."""
        if not bool(self.fitted):
            return x
        table, step, last = self.values, self.grid.step, self.grid.points - 1
        flat = x.reshape(-1, x.shape[-1]).T.to(table.dtype).contiguous()
        low = torch.searchsorted(table, flat)
        high = torch.searchsorted(table, flat, right=True) - 1
        # a mass has its points of the grid, half of a cell up to another mass, or all beyond it
        before = self.masses.gather(1, (low - 1).clamp_min(0)) / 2
        after = self.masses.gather(1, (high + 1).clamp_max(last)) / 2
        edges = (
            torch.where(low > 0, low - before, -torch.inf),
            torch.where(high < last, high + after, torch.inf),
        )
        p, q = (torch.special.ndtr(edge * step - self.grid.largest) for edge in edges)
        # row by row, so that atoms that follow change nothing
        v = torch.rand(flat.T.shape, generator=stream(0, "scores")).T.to(flat)
        mass = torch.special.ndtri(p + v * (q - p))
        cell = (low - 1).clamp(0, last - 1)
        left, right = table.gather(1, cell), table.gather(1, cell + 1)
        part = (flat - left) / torch.where(right > left, right - left, 1)
        single = (cell + part.clamp(0, 1)) * step - self.grid.largest
        g = torch.where(high > low, mass, single).clamp(-self.grid.largest, self.grid.largest)
        return g.T.reshape(x.shape).to(x.dtype)

    def inverse(self, g: Tensor) -> Tensor:
        """Map scores `(..., D)` to atoms."""
        if not bool(self.fitted):
            return g
        last = self.grid.points - 1
        flat = g.reshape(-1, g.shape[-1]).T.contiguous()
        place = ((flat + self.grid.largest) / self.grid.step).clamp(0, last)
        cell = place.floor().long().clamp(0, last - 1)
        left, right = self.values.gather(1, cell), self.values.gather(1, cell + 1)
        part = place - cell
        step = self.masses.gather(1, cell) & self.masses.gather(1, cell + 1)
        x = left + torch.where(step, (part > 0.5).to(part), part) * (right - left)
        return x.T.reshape(g.shape).to(g.dtype)


def _quantiles(
    x: NDArray[np.float64], w: NDArray[np.float64], levels: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the quantiles of a feature `(N,)` at levels `(K,)`, and whether each is a mass.

    A value of several atoms is a mass. One of a single atom is a point, in the middle of its step
    of F, and F is continuous between such points.
    """
    values, place, count = np.unique(x, return_inverse=True, return_counts=True)
    share = np.bincount(place, w) / w.sum()
    high = np.cumsum(share)
    low = high - share
    tied = count > 1
    start, end = np.where(tied, (low, high), (low + high) / 2)
    quantiles = np.interp(levels, np.stack([start, end], 1).ravel(), np.repeat(values, 2))
    owner = np.searchsorted(end, levels).clip(max=len(values) - 1)
    return quantiles, tied[owner] & (start[owner] <= levels)
