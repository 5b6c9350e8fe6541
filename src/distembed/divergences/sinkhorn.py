r"""The Sinkhorn divergence: entropic transport of a squared cost, without its entropic bias.

    OT_e(P, Q) = min over couplings p of sum_ij p_ij |x_i - y_j|^2 + e KL(p | P x Q)
               = max over f, g of <P, f> + <Q, g> - e <P x Q, exp((f + g - |x - y|^2) / e) - 1>,
    S_e(P, Q)  = OT_e(P, Q) - OT_e(P, P) / 2 - OT_e(Q, Q) / 2.

S_e is never negative and zero only for equal distributions. It is in *squared* units and is no
squared Wasserstein distance: it runs from W_2^2 at e = 0 to the squared distance of the means at
e = infinity, and a shift of a set by t is at |t|^2 for every e.

Potentials are found in the log domain by the symmetric averaged update

    f <- (f - e log Q exp((g - c) / e)) / 2, and the same for g with the old f,

while e is halved down to its value, and from there with momentum, which starts again where it
points uphill: half the time or less. The dual is then read off at these potentials. It is flat
around the best ones, so the error of the value is of second order, and its derivative in atoms and
weights needs no derivative of potentials (envelope theorem).

| Interpolating between optimal transport and MMD using Sinkhorn divergences (Feydy et al., 2019),
  Theorem 1, Proposition 2 and section 3.1
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.pairing import aligned

__all__ = ["Sinkhorn"]

_NUMBERS = 2**21  # costs held at a time, so that memory stays bounded
_SMALL = 2**15


@dataclass(frozen=True)
class Sinkhorn:
    """Debiased Sinkhorn divergence of the squared distance, in squared units of the atoms.

    Differentiable in the atoms and the weights of both sides, once. Time grows with m n and, for
    the terms that remove the bias, with m^2 and n^2.

    Args:
        epsilon: Strength of the entropy; with `relative`, in units of the mean squared distance
            E|x - y|^2 of the two sets, which passes no gradient, else in squared units.
        relative: Whether epsilon follows the sets, so that units do not matter.
        iterations: Updates at most; where they run out the value is a lower approximation.
        tolerance: Largest last change of a potential, in units of epsilon; the error
            of the value is of second order.

    Raises:
        ValueError: If an argument is not positive.

    Example:
        >>> a = SetBatch.from_list([[[0.0], [1.0]]])
        >>> b = SetBatch.from_list([[[2.0], [3.0], [2.0], [3.0]]])
        >>> round(Sinkhorn()(a, b).item(), 6)
        4.0
    """

    epsilon: float = 0.1
    relative: bool = True
    iterations: int = 1000
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        for name in ("epsilon", "iterations", "tolerance"):
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"{name} = {getattr(self, name)}; it has to be positive. Without entropy use "
                    "the exact distance."
                )

    def __call__(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Compare set by set, `(B,)`, in the type of the atoms."""
        dtype = aligned(a, b)
        wide = [s.to(dtype=torch.float64) for s in (a, b)]
        left, right = (s.replace(x=s.flat.double(), w=s.w / s.mass[s.owner]) for s in wide)
        value = left.w.new_zeros(len(left))
        slopes = [_Slope(torch.zeros_like(s.x), torch.zeros_like(s.w)) for s in (left, right)]
        with torch.no_grad():
            for group in _groups(left, right):
                parts = left.select(group), right.select(group)
                value[group], found = self._solve(*parts)
                for whole, batch, part, slope in zip(
                    slopes, (left, right), parts, found, strict=True
                ):
                    rows = batch.offsets[:-1][group][part.owner] + part.rank
                    whole.x[rows] = slope.x[part.owner, part.rank]
                    whole.w[rows] = slope.w[part.owner, part.rank]
        # a number with the derivative that the envelope theorem gives it
        for batch, slope in zip((left, right), slopes, strict=True):
            move = ((batch.x - batch.x.detach()) * slope.x).sum(1)
            move = move + (batch.w - batch.w.detach()) * slope.w
            value = value.index_add(0, batch.owner, move)
        return value.to(dtype)

    def _solve(self, a: SetBatch, b: SetBatch) -> tuple[Tensor, tuple[_Slope, _Slope]]:
        """Return the divergences of a group of sets, and their slopes in padded rows."""
        middle = (a.mean(a.x) + b.mean(b.x)) / 2
        one, two = (_Side(*s.dense(s.x - s.expand(middle))) for s in (a, b))
        scale = one.second + two.second - 2 * (one.mean * two.mean).sum(1)
        scale = torch.where(scale > 0, scale, 1)
        epsilon = scale * self.epsilon if self.relative else torch.full_like(scale, self.epsilon)
        cross = self._dual(one, two, epsilon, scale)
        self1, self2 = (self._dual(s, s, epsilon, scale) for s in (one, two))
        value = (cross.value - (self1.value + self2.value) / 2).clamp_min(0)
        # a set is both sides of its own term, which cancels the half
        left = _Slope(cross.left.x - self1.left.x, cross.left.w - self1.left.w)
        right = _Slope(cross.right.x - self2.right.x, cross.right.w - self2.right.w)
        return value, (left, right)

    def _dual(self, one: _Side, two: _Side, epsilon: Tensor, start: Tensor) -> _Dual:
        """Solve one transport problem a set; `start` is the epsilon that is halved."""
        there, back = _Cost(one.x, two.x), _Cost(two.x, one.x)
        f = last_f = torch.zeros_like(one.log_w)
        g = last_g = torch.zeros_like(two.log_w)
        active = torch.ones_like(epsilon, dtype=torch.bool)
        age = torch.zeros_like(epsilon)
        for k in range(self.iterations):
            now = torch.maximum(epsilon, start * 0.5**k)[:, None]
            new_f = (f + there.softmin(two.log_w + g / now, now)) / 2
            new_g = new_f if two is one else (g + back.softmin(one.log_w + f / now, now)) / 2
            gaps = ((new_f - f) * (one.w > 0), (new_g - g) * (two.w > 0))
            change = torch.maximum(*(gap.abs().amax(1) for gap in gaps))
            move_f, move_g = new_f - last_f, new_g - last_g
            ahead = (one.w * gaps[0] * move_f).sum(1) + (two.w * gaps[1] * move_g).sum(1)
            # momentum starts at the last epsilon, and again where it points uphill
            settled = now[:, 0] <= epsilon
            age = torch.where(settled & (ahead > 0), age + 1, 0)
            momentum = (age / (age + 3))[:, None]
            # each set stops by itself, so that it does not depend on the others
            go = active[:, None]
            last_f, last_g = torch.where(go, new_f, last_f), torch.where(go, new_g, last_g)
            f, g = last_f + momentum * move_f, last_g + momentum * move_g
            active = active & (~settled | (change > self.tolerance * epsilon))
            if not bool(active.any()):
                break
        f, g = last_f, last_g
        e = epsilon[:, None]
        rows, moved = there.plan(one.log_w + f / e, two.log_w + g / e, e, two.x)
        columns, moved_back = back.plan(two.log_w + g / e, one.log_w + f / e, e, one.x)
        value = (one.w * f).sum(1) + (two.w * g).sum(1) - epsilon * (rows.sum(1) - 1)
        left = _Slope(2 * (rows[..., None] * one.x - moved), f)
        right = _Slope(2 * (columns[..., None] * two.x - moved_back), g)
        return _Dual(value, left, right)


class _Slope(NamedTuple):
    """Derivative of a value in atoms and in weights."""

    x: Tensor
    w: Tensor


class _Dual(NamedTuple):
    value: Tensor
    left: _Slope
    right: _Slope


@dataclass(frozen=True)
class _Side:
    """Padded atoms `(G, M, D)` with log-weights, minus infinity where there is no mass."""

    x: Tensor
    log_w: Tensor
    w: Tensor = field(init=False)
    mean: Tensor = field(init=False)
    second: Tensor = field(init=False)

    def __post_init__(self) -> None:
        w = self.log_w.exp()
        object.__setattr__(self, "w", w)
        object.__setattr__(self, "mean", (w[..., None] * self.x).sum(1))
        object.__setattr__(self, "second", (w * self.x.square().sum(2)).sum(1))


class _Cost:
    """Squared distances `(G, M, N)` in blocks of rows; a single block is kept."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        rows = max(1, _NUMBERS // (len(x) * y.shape[1]))
        self.parts, self.y = x.split(rows, 1), y
        self.kept = [self._block(x)] if len(self.parts) == 1 else None

    def _block(self, x: Tensor) -> Tensor:
        squares = x.square().sum(2)[:, :, None] + self.y.square().sum(2)[:, None]
        return torch.baddbmm(squares, x, self.y.mT, alpha=-2)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.kept or map(self._block, self.parts))

    def softmin(self, h: Tensor, e: Tensor) -> Tensor:
        """Return -e log sum_j exp(h_j - c_ij / e), `(G, M)`."""
        parts = [torch.logsumexp(h[:, None] - c / e[..., None], 2) for c in self]
        return -e * torch.cat(parts, 1)

    def plan(self, f: Tensor, g: Tensor, e: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return row sums `(G, M)` of p = exp(f_i + g_j - c_ij / e), and p y, `(G, M, D)`."""
        sums, moved, first = [], [], 0
        for c in self:
            level = f[:, first : first + c.shape[1], None] + g[:, None]
            p = torch.exp(level - c / e[..., None])
            sums.append(p.sum(2))
            moved.append(p @ y)
            first += c.shape[1]
        return torch.cat(sums, 1), torch.cat(moved, 1)


def _groups(a: SetBatch, b: SetBatch) -> Iterator[Tensor]:
    """Put pairs of similar size together, as many as memory allows."""
    size = torch.maximum(a.sizes, b.sizes)
    order = size.argsort(stable=True)
    first = 0
    sizes = size[order].tolist()
    for k, longest in enumerate([*sizes[1:], math.inf], 1):
        # padding may waste what is small, and else up to three quarters
        allowed = _NUMBERS if longest <= 2 * sizes[first] else _SMALL
        if (k + 1 - first) * longest**2 > allowed:
            yield order[first:k]
            first = k
