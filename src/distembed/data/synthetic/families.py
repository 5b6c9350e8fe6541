r"""Families of distributions that generators find difficult, with parameters drawn from a prior.

- `rings`: eight narrow Gaussians on a circle of random radius and rotation, with equal masses or
  random ones.
- `blobs`: three Gaussians in the plane, of random means and weights.
- `moons`: two interlocking half circles, rotated, stretched and blurred at random.
- `low_rank`: Gaussians in 50 dimensions whose covariance has three large axes that depend on the
  set.
- `counts`: overdispersed counts, negative binomials of random mean and dispersion.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from distembed.data.synthetic.base import Known, parameter, positive
from distembed.data.synthetic.counts import NegativeBinomials
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.rng import stream

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Moons", "blobs", "counts", "low_rank", "moons", "rings"]

MODES, RING_WIDTH = 8, 0.15


def rings(sets: int, size: int = 500, seed: int = 0, spread: float = 0.0) -> Mixtures:
    """Draw rings of radius 2 to 4 at a random rotation.

    Args:
        sets: Number of sets.
        size: Atoms of each.
        seed: Of the parameters and of the atoms.
        spread: Masses of the modes are in proportion to numbers from 1 - spread to 1 + spread.

    Example:
        >>> rings(2).batch([0, 1]).x.norm(dim=1).min() > 1
        tensor(True)
    """
    radius, turn = 2 + 2 * _uniform(sets, seed, "radius"), _uniform(sets, seed, "turn")
    angle = 2 * math.pi * (torch.arange(MODES) + turn) / MODES
    mean = radius[:, :, None] * torch.stack([angle.cos(), angle.sin()], 2)
    cov = RING_WIDTH**2 * torch.eye(2, dtype=torch.float64).expand(sets, MODES, 2, 2)
    mass = torch.rand(sets, MODES, generator=stream(seed, "mass"), dtype=torch.float64)
    return Mixtures(1 + spread * (2 * mass - 1), mean, cov, size, seed)


def blobs(sets: int, size: int = 500, seed: int = 0) -> Mixtures:
    """Draw mixtures of three Gaussians, of means in [0, 5]^2; arguments as of `rings`."""
    return Mixtures.prior(sets, 3, 2, 10, size=size, seed=seed)


def low_rank(sets: int, size: int = 500, seed: int = 0, d: int = 50) -> Gaussians:
    """Draw Gaussians whose mean and axes are linear in four numbers; arguments as of `rings`."""
    rng = stream(0, "low rank", d)  # the family is the same for every seed
    means = torch.randn(d, 4, generator=rng, dtype=torch.float64)
    axes = torch.randn(d, 3, 4, generator=rng, dtype=torch.float64) / 2
    code = torch.randn(sets, 4, generator=stream(seed, "code"), dtype=torch.float64)
    loading = torch.einsum("dkc,sc->sdk", axes, code)
    cov = loading @ loading.mT + 0.1 * torch.eye(d, dtype=torch.float64)
    return Gaussians(code @ means.T, cov, size, seed)


def moons(sets: int, size: int = 500, seed: int = 0) -> Moons:
    """Draw pairs of half circles; arguments as of `rings`."""
    turn = 2 * math.pi * _uniform(sets, seed, "turn")[:, 0]
    stretch = 1 + 2 * _uniform(sets, seed, "stretch")[:, 0]
    blur = 0.05 + 0.15 * _uniform(sets, seed, "blur")[:, 0]
    return Moons(turn, stretch, blur, size, seed)


def counts(sets: int, size: int = 500, seed: int = 0, d: int = 10) -> NegativeBinomials:
    """Draw count vectors of mean 1 to 50 and dispersion 0.5 to 5; arguments as of `rings`."""
    rng = stream(seed, "counts")
    log_mean = math.log(50) * torch.rand(sets, d, generator=rng, dtype=torch.float64)
    log_r = math.log(10) * torch.rand(sets, 1, generator=rng, dtype=torch.float64)
    return NegativeBinomials(log_mean.exp(), (log_r.exp() / 2).expand(-1, d), size, seed)


class Moons(Known):
    """Sets of two interlocking half circles.

    Args:
        turn: Angle, `(S,)`.
        stretch: Factor of the first axis before the turn, `(S,)`.
        blur: Deviation of the noise, `(S,)`.
        size: Atoms of a set where no number is given.
        seed: Of the atoms that belong to a set.

    Example:
        >>> Moons([0.0], [1.0], [0.1]).batch([0]).x.shape
        torch.Size([500, 2])
    """

    event_shape = (2,)

    def __init__(
        self,
        turn: ArrayLike,
        stretch: ArrayLike,
        blur: ArrayLike,
        size: int = 500,
        seed: int = 0,
    ) -> None:
        self.turn, self.stretch = parameter("turn", turn, 1), parameter("stretch", stretch, 1)
        self.blur = parameter("blur", blur, 1)
        self.size, self.seed = positive(size), seed

    def __len__(self) -> int:
        return len(self.turn)

    def draw(self, index: Tensor, m: int, rng: torch.Generator) -> Tensor:
        """Draw m atoms of each set, `(B, m, 2)`."""
        shape = (len(index), m)
        side = torch.randint(2, shape, generator=rng)
        angle = math.pi * torch.rand(shape, generator=rng)
        sign = 1 - 2 * side
        x = torch.stack([sign * angle.cos() + side - 0.5, sign * angle.sin() + side / 2 - 0.25], 2)
        x = x + self.blur[index].float()[:, None, None] * torch.randn(x.shape, generator=rng)
        cos, sin = self.turn[index].float().cos(), self.turn[index].float().sin()
        stretch = self.stretch[index].float()
        rows = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        return (x * torch.stack([stretch, torch.ones_like(stretch)], 1)[:, None]) @ rows.mT


def _uniform(sets: int, seed: int, name: str) -> Tensor:
    return torch.rand(sets, 1, generator=stream(seed, name), dtype=torch.float64)
