r"""The max-sliced Wasserstein distance: exact W2 on the line that tells two sets apart best.

    max-SW_2(P, Q) = max over unit vectors theta of W_2(theta P, theta Q).

It is a metric, SW_2 <= max-SW_2 <= W_2, and a shift by delta moves a set by |delta| in any
dimension. The squared distance along theta is theta' A theta, with A the second moment of x - y
under the best coupling along theta, so its derivative is 2 A theta. Ascent starts at the best of
many directions and the one between the means, in steps that are halved where they fail. The
problem is not concave, so only a lower bound is certain. The derivative in the atoms is the one
along the direction found (Danskin's theorem), one of several where couplings tie.

| Max-sliced Wasserstein distance and its use for GANs (Deshpande et al., 2019), section 3
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences.pairing import aligned, root
from distembed.divergences.sliced import directions, squared_w2_along
from distembed.nn.per_set import apply_per_set

__all__ = ["MaxSlicedW2"]


@dataclass(frozen=True)
class MaxSlicedW2:
    """Max-sliced W2 between the b-th sets of two batches.

    Differentiable in the atoms and in the weights. On the line it is W2 itself.

    Args:
        candidates: Random directions that are tried, beside the one between the means.
        starts: How many of the best are improved by ascent.
        steps: Steps of ascent.
        seed: Seed of the random directions.

    Raises:
        ValueError: If there is no candidate or start, or steps are negative.

    Example:
        >>> a = SetBatch.from_list([[[0.0, 0.0], [1.0, 0.0]]])
        >>> b = SetBatch.from_list([[[0.0, 2.0], [1.0, 2.0]]])
        >>> round(MaxSlicedW2()(a, b).item(), 4)
        2.0
    """

    candidates: int = 64
    starts: int = 4
    steps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.candidates < 1 or self.starts < 1 or self.steps < 0:
            raise ValueError(
                f"candidates = {self.candidates}, starts = {self.starts}, steps = {self.steps}; "
                "at least one candidate and one start are needed, and steps >= 0."
            )

    def __call__(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Compare set by set, `(B,)`, in the type of the atoms."""
        dtype = aligned(a, b)
        wide = [s.replace(x=s.flat.double()) for s in (a, b)]
        still = [s.replace(x=s.x.detach(), w=s.w.detach()) for s in wide]
        theta = self._best(still[0], still[1])
        return root(_squared(wide[0], wide[1], theta)[:, 0]).to(dtype)

    def _best(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Return the best direction found for each set, `(B, 1, D)`."""
        d = a.x.shape[1]
        fixed = directions(d, self.candidates, self.seed).to(a.x).T.expand(len(a), -1, d)
        between = nn.functional.normalize(a.mean(a.x) - b.mean(b.x), dim=1)
        theta = torch.cat([fixed, between[:, None]], 1)
        with torch.no_grad():
            value = torch.cat([_squared(a, b, part) for part in theta.split(self.starts, 1)], 1)
        value, index = value.topk(min(self.starts, theta.shape[1]), 1)
        theta = theta.gather(1, index[..., None].expand(-1, -1, d))
        theta, value = self._ascend(a, b, theta)
        return theta.gather(1, value.argmax(1)[:, None, None].expand(-1, 1, d))

    def _ascend(self, a: SetBatch, b: SetBatch, theta: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = _slope(a, b, theta)
        rate = torch.ones_like(value)
        for _ in range(self.steps if theta.shape[2] > 1 else 0):
            trial = nn.functional.normalize(theta + rate[..., None] * slope, dim=2)
            new_value, new_slope = _slope(a, b, trial)
            better = new_value > value
            rate = torch.where(better, 2 * rate, rate / 2)
            moved = better[..., None]
            theta, slope = torch.where(moved, trial, theta), torch.where(moved, new_slope, slope)
            value = torch.where(better, new_value, value)
        return theta, value


def _squared(a: SetBatch, b: SetBatch, theta: Tensor) -> Tensor:
    """Squared W2 along directions of each set's own, `(B, K, D) -> (B, K)`."""
    return squared_w2_along(a, b, apply_per_set(a, theta, a.x), apply_per_set(b, theta, b.x))


@torch.enable_grad()
def _slope(a: SetBatch, b: SetBatch, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances and the part of their derivative along the sphere, in units of both."""
    theta = theta.detach().requires_grad_()
    value = _squared(a, b, theta)
    (slope,) = torch.autograd.grad(value.sum(), theta)
    theta, value = theta.detach(), value.detach()
    slope = slope - (slope * theta).sum(2, keepdim=True) * theta
    return value, slope / torch.where(value > 0, 2 * value, 1)[..., None]
