r"""Poolings: from features of atoms to numbers of a set, by the weights alone.

Each states in how many passes it streams (None: it sorts, and cannot) and whether it is
asymptotically normal in the number of atoms. The textbook forms of the robust ones break the
exact laws of sets: a median of an even number of atoms that takes the lower of two, a trimming
that drops whole atoms, a Huber location iterated until it settles. Here

- `median` is the middle of the lower and the upper quantile at cumulative weight 1/2;
- `trimmed` cuts weight and not atoms: $\frac{1}{1-2\alpha}\int_\alpha^{1-\alpha} F^{-1}(u)\,du$;
- `huber` is a fixed number of reweighted means that start from the mean (Huber, 1964), with
  $\omega = \min(1, \delta / |h - \mu|)$ and $\delta = 1.345$ deviations of the set;
- `logmeanexp` is $\log \mathbb{E}\,e^h$, the smooth relative of the maximum that has a normal
  limit (a maximum has an extreme-value one).
"""

from __future__ import annotations

from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.encoders import POOLINGS
from distembed.encoders.statistics import LogMeanExp, Mean, Stages, Variance
from distembed.registry import lookup

__all__ = [
    "HuberPooling",
    "LogMeanExpPooling",
    "MeanPooling",
    "MedianPooling",
    "MomentPooling",
    "Pooling",
    "TrimmedPooling",
    "pooling",
]

_TOLERANCE = 1e-9


class Pooling(Protocol):
    """Pools `h (N, H)` to `(B, columns * H)`."""

    columns: ClassVar[int]
    """Numbers for each feature."""
    passes: ClassVar[int | None]
    """How often the atoms are read; None where no number of passes is enough."""
    normal: ClassVar[bool]
    """Whether it is asymptotically normal."""
    smooth: ClassVar[bool]
    """Whether it has a derivative by the weights, which error bars are made from."""

    def __call__(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        """Yield the statistics it needs, be sent their values, and return what is pooled."""


def pooling(member: str | Pooling) -> Pooling:
    """Return a pooling by name, or the object itself.

    Raises:
        ValueError: If there is no such name; those that are no functions of the distribution or
            have no normal limit are refused with the reason.
    """
    if not isinstance(member, str):
        return member
    if member in _REFUSED:
        raise ValueError(f"{member} pooling is refused: {_REFUSED[member]}")
    return cast(Pooling, lookup(POOLINGS, member, "pooling")())


_REFUSED = {
    "sum": "it grows with the number of atoms, so z is no function of the distribution. Use mean.",
    "max": "its limit is an extreme-value one, so z is not asymptotically normal, and an atom of "
    "weight zero moves it. Use logmeanexp.",
}


class MeanPooling:
    """The mean."""

    columns: ClassVar[int] = 1
    passes: ClassVar[int | None] = 1
    normal: ClassVar[bool] = True
    smooth: ClassVar[bool] = True

    def __call__(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        """Pool `(N, H)` to `(B, H)`."""
        ((mean,),) = yield (Mean(h),)
        return mean


class MomentPooling:
    """Mean and standard deviation."""

    columns: ClassVar[int] = 2
    passes: ClassVar[int | None] = 1
    normal: ClassVar[bool] = True
    smooth: ClassVar[bool] = True

    def __call__(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        """Pool `(N, H)` to `(B, 2 H)`."""
        ((mean, variance),) = yield (Variance(h),)
        return torch.cat([mean, (variance + 1e-6).sqrt()], 1)


class LogMeanExpPooling:
    """The logarithm of the mean exponential."""

    columns: ClassVar[int] = 1
    passes: ClassVar[int | None] = 1
    normal: ClassVar[bool] = True
    smooth: ClassVar[bool] = True

    def __call__(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        """Pool `(N, H)` to `(B, H)`."""
        ((value,),) = yield (LogMeanExp(h),)
        return value


class HuberPooling:
    """Three reweighted means that start from the mean."""

    columns: ClassVar[int] = 1
    passes: ClassVar[int | None] = 4
    normal: ClassVar[bool] = True
    smooth: ClassVar[bool] = True

    def __call__(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        """Pool `(N, H)` to `(B, H)`."""
        ((mean, variance),) = yield (Variance(h),)
        delta = 1.345 * (variance + 1e-6).sqrt().to(h.dtype)
        for _ in range(3):
            gap = (h - batch.expand(mean.to(h.dtype))).abs()
            wide = batch.expand(delta)
            weight = wide / torch.maximum(gap, wide)
            ((total,),) = yield (Mean(torch.cat([weight * h, weight], 1)),)
            weighted, mass = total.chunk(2, 1)
            mean = weighted / mass
        return mean


class TrimmedPooling:
    """The mean of what is left after a tenth of the weight is cut on either side."""

    columns: ClassVar[int] = 1
    passes: ClassVar[int | None] = None
    normal: ClassVar[bool] = True
    smooth: ClassVar[bool] = True
    cut: ClassVar[float] = 0.1

    def __call__(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        """Pool `(N, H)` to `(B, H)`."""
        values, above = _sorted(batch, h)
        kept = above.clamp(self.cut, 1 - self.cut)
        share = torch.diff(kept, dim=1, prepend=torch.full_like(kept[:, :1], self.cut))
        yield from ()
        return ((share * values.double()).sum(1) / (1 - 2 * self.cut)).to(h.dtype)


class MedianPooling:
    """The middle of the lower and the upper median; normal where the density is positive."""

    columns: ClassVar[int] = 1
    passes: ClassVar[int | None] = None
    normal: ClassVar[bool] = True
    smooth: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        """Pool `(N, H)` to `(B, H)`."""
        values, above = _sorted(batch, h)
        # cumulative weights are sums, so a half is met up to rounding
        lower = (above < 0.5 - _TOLERANCE).sum(1, keepdim=True)
        upper = (above <= 0.5 + _TOLERANCE).sum(1, keepdim=True)
        yield from ()  # no statistic of one pass
        return (values.gather(1, lower) + values.gather(1, upper)).squeeze(1) / 2


def _sorted(batch: SetBatch, h: Tensor) -> tuple[Tensor, Tensor]:
    """Values of each set in order, and the cumulative weight up to each, `(B, M, H)` twice."""
    values, log_w = batch.dense(h)
    w = log_w.exp().double()
    values, order = values.sort(1)
    total = w.unsqueeze(2).expand(-1, -1, h.shape[1]).gather(1, order).cumsum(1)
    return values, total / total[:, -1:]
