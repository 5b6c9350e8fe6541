"""How every divergence pairs the sets of two batches, and the atoms of two sets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from distembed.batch import SetBatch

__all__ = ["Points", "aligned", "expected", "pieces", "points", "root"]

_NUMBERS = 2**22  # distances held at a time, so that memory stays bounded


class Points(NamedTuple):
    """Atoms `(m, D)` of one set and their weights `(m,)`, in float64."""

    x: Tensor
    w: Tensor


def aligned(a: SetBatch, b: SetBatch) -> torch.dtype:
    """Check that the sets of two batches correspond, and return the type of the result.

    Raises:
        ValueError: If the number of sets or the event shapes differ, or atoms are integers.
    """
    if not (a.x.is_floating_point() and b.x.is_floating_point()):
        raise ValueError(
            f"The atoms are integers, as tokens are ({a.x.dtype}, {b.x.dtype}), and a divergence "
            "is not defined for tokens: it compares numbers by their distance. If the atoms are "
            "numbers, convert them: batch.replace(x=batch.x.float())."
        )
    if len(a) != len(b):
        raise ValueError(
            f"The batches have {len(a)} and {len(b)} sets; set b of one is compared with set b "
            "of the other."
        )
    if a.event_shape != b.event_shape:
        raise ValueError(
            f"The atoms have event shapes {a.event_shape} and {b.event_shape}; atoms of one shape "
            "are compared, feature by feature."
        )
    return torch.promote_types(torch.promote_types(a.x.dtype, b.x.dtype), torch.float32)


def pieces(batch: SetBatch, h: Tensor) -> list[Tensor]:
    """Cut `h (N, *H)` into the rows of each set, B views."""
    return [h[first:last] for first, last in pairwise(batch.offsets.tolist())]


def points(batch: SetBatch) -> list[Points]:
    """Return each set by itself, its weights normalised."""
    atoms = pieces(batch, batch.flat.double())
    weights = pieces(batch, batch.w.double())
    return [Points(x, w / w.sum()) for x, w in zip(atoms, weights, strict=True)]


def expected(score: Callable[[Tensor], Tensor], p: Points, q: Points) -> Tensor:
    """Return the weighted mean of score(|x - y|) over all pairs of atoms.

    Blocks of pairs are computed again for the gradient, so that memory stays bounded there too.
    """

    def block(x: Tensor, u: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return u @ score(torch.cdist(x, y)) @ v

    rows = max(1, _NUMBERS // len(q.x))
    parts = list(zip(p.x.split(rows), p.w.split(rows), strict=True))
    if len(parts) == 1:
        return block(*p, *q)
    sums = [checkpoint(block, *part, *q, use_reentrant=False) for part in parts]
    return torch.stack(sums).sum()


def root(squared: Tensor) -> Tensor:
    """Square root of what is not negative, with gradient zero at zero instead of infinity."""
    positive = squared > 0
    return torch.where(positive, squared, 1).sqrt() * positive
