r"""The sliced Wasserstein distance: exact W2 on the line, averaged over directions.

    SW_2^2(P, Q) = E_theta int_0^1 (F^{-1}_{theta P}(u) - F^{-1}_{theta Q}(u))^2 du,

with theta uniform on the sphere. The quantile functions are steps at the cumulative weights, so
the integral is a sum over the merged steps of both sets. A shift by delta in D dimensions moves
SW_2 by |delta| / sqrt(D), and SW_2 <= W_2 / sqrt(D).

| Sliced and Radon Wasserstein barycenters of measures (Bonneel et al., 2015), section 2
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences.pairing import aligned, pieces, root
from distembed.rng import stream

__all__ = ["SlicedW2", "directions", "squared_w2_along", "squared_w2_line"]

_NUMBERS = 2**24  # projected at a time, so that memory stays bounded


@dataclass(frozen=True)
class SlicedW2:
    """Sliced W2 between the b-th sets of two batches, over directions that stay the same.

    Differentiable in the atoms and in the weights. On the line it is W2 itself.

    Args:
        projections: Number of random directions K.
        seed: Seed of the random directions.
        along: The directions themselves in place of random ones, K vectors of D numbers of any
            length, such as the axes that matter.

    Raises:
        ValueError: If there is no direction, or one has no length.

    Example:
        >>> a = SetBatch.from_list([[[0.0], [1.0]]])
        >>> b = SetBatch.from_list([[[2.0], [3.0], [2.0], [3.0]]])
        >>> SlicedW2()(a, b).item()
        2.0
    """

    projections: int = 128
    seed: int = 0
    along: Sequence[Sequence[float]] | None = None

    def __post_init__(self) -> None:
        if self.projections < 1 or (self.along is not None and not len(self.along)):
            raise ValueError(f"projections = {self.projections}; at least one is needed.")
        if self.along is not None and not all(0 < math.hypot(*v) < math.inf for v in self.along):
            raise ValueError("A direction in `along` is zero or not finite; it has no direction.")

    def __call__(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Compare set by set, `(B,)`, in the type of the atoms."""
        dtype = aligned(a, b)
        x, y = a.x.flatten(1).to(dtype), b.x.flatten(1).to(dtype)
        theta = self._directions(x.shape[1]).to(x)
        k = theta.shape[1]
        width = max(1, _NUMBERS // (len(x) + len(y)))
        blocks = (theta[:, i : i + width] for i in range(0, k, width))
        parts = [squared_w2_along(a, b, x @ block, y @ block).sum(1) for block in blocks]
        return root(torch.stack(parts).sum(0) / k)

    def _directions(self, d: int) -> Tensor:
        if self.along is None:
            return directions(d, self.projections, self.seed)
        if any(len(v) != d for v in self.along):
            raise ValueError(
                f"A direction in `along` has {len(self.along[0])} numbers and an atom {d}; the "
                "distance is taken along vectors of the space of the (flattened) atoms."
            )
        theta = torch.tensor([[float(t) for t in v] for v in self.along], dtype=torch.float64)
        return nn.functional.normalize(theta.T, dim=0)


def directions(d: int, k: int, seed: int) -> Tensor:
    """Return k random unit vectors, `(D, K)` float64; on the line just one, for all are equal."""
    if d == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    theta = torch.randn(d, k, dtype=torch.float64, generator=stream(seed, "sliced", d))
    return nn.functional.normalize(theta, dim=0)


def squared_w2_line(x: Tensor, u: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """Return the squared W2 of weighted points on the line.

    Args:
        x: Points, `(*batch, m)`.
        u: Their weights, `(*batch, m)`.
        y: Points, `(*batch, n)`.
        v: Their weights, `(*batch, n)`.

    Returns:
        `(*batch,)`.
    """
    x, cdf_x = _quantiles(x, u)
    y, cdf_y = _quantiles(y, v)
    levels = torch.cat([cdf_x, cdf_y], -1).sort(-1).values
    steps = torch.diff(levels, dim=-1, prepend=torch.zeros_like(levels[..., :1]))
    gap = _at(x, cdf_x, levels) - _at(y, cdf_y, levels)
    return (steps.to(gap.dtype) * gap**2).sum(-1)


def squared_w2_along(a: SetBatch, b: SetBatch, x: Tensor, y: Tensor) -> Tensor:
    """Return the squared W2 along each direction, from `(N, K)` projections to `(B, K)`."""
    m, n = a.equal, b.equal
    if m is not None and m == n:
        # equal weights on both sides: the k-th smallest goes to the k-th smallest
        x, y = (p.view(len(a), m, -1).sort(1).values for p in (x, y))
        return (x - y).square().mean(1)
    sets = zip(pieces(a, x), pieces(a, a.w), pieces(b, y), pieces(b, b.w), strict=True)
    return torch.stack(
        [squared_w2_line(p.T, u.expand_as(p.T), q.T, v.expand_as(q.T)) for p, u, q, v in sets]
    )


def _quantiles(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Sort points and return them with their cumulative weights, which end at one exactly."""
    x, order = x.sort(-1)
    # float64, because steps that differ by rounding would count as mass
    cdf = w.double().gather(-1, order).cumsum(-1)
    return x, cdf / cdf[..., -1:]


def _at(x: Tensor, cdf: Tensor, levels: Tensor) -> Tensor:
    """Quantile function at levels: the first point whose cumulative weight reaches them."""
    index = torch.searchsorted(cdf.detach().contiguous(), levels.detach().contiguous())
    return x.gather(-1, index.clamp_max(x.shape[-1] - 1))
