r"""Simulated cells that divide between two fates, with a known law at every time.

Unit u (a donor, a clone) has a bias p toward the upper fate and a speed v. At time t a cell is
still undecided with probability $u = e^{-vt}$, and its law is the mixture of three normals

    u N((0, p - 1/2), s^2) + (1 - u) [p N(vt (1, 1), s^2) + (1 - p) N(vt (1, -1), s^2)],

so that p and v show at every time, and the next law follows from them, not linearly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distembed.sets.collection import Sets
from distembed.sets.read import read

__all__ = ["Branching"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Branching:
    """Units with their bias and speed.

    Attributes:
        bias: p, `(U,)`.
        speed: v, `(U,)`.
        times: Times at which cells are taken.
        deviation: s.
    """

    bias: Array
    speed: Array
    times: tuple[float, ...] = (0.5, 1.0, 1.5)
    deviation: float = 0.3

    @classmethod
    def drawn(cls, units: int, seed: int) -> Branching:
        """Draw units: p of Beta(2, 2), v log-normal with median one and deviation 0.4."""
        rng = np.random.default_rng(seed)
        return cls(rng.beta(2, 2, units), np.exp(0.4 * rng.normal(size=units)))

    def atoms(self, unit: int, time: float, n: int, rng: np.random.Generator) -> Array:
        """Draw cells of a unit at a time, `(n, 2)`."""
        p, v = self.bias[unit], self.speed[unit]
        decided, up = rng.random(n) > np.exp(-v * time), rng.random(n) < p
        fate = np.stack([np.full(n, v * time), np.where(up, v * time, -v * time)], axis=1)
        centre = np.where(decided[:, None], fate, [0.0, p - 0.5])
        cells: Array = centre + self.deviation * rng.normal(size=(n, 2))
        return cells

    def sets(self, n: int, seed: int) -> Sets:
        """Draw n cells of every unit at every time, with `unit` and `time` as metadata."""
        rng = np.random.default_rng(seed)
        keys = [(u, t) for u in range(len(self.bias)) for t in self.times]
        drawn = read([self.atoms(u, t, n, rng) for u, t in keys], atoms="vectors")
        unit, time = zip(*keys, strict=True)
        return drawn.with_meta({"unit": np.array(unit), "time": np.array(time)})
