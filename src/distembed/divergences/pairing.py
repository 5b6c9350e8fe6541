"""How every divergence pairs the sets of two batches."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from distembed.batch import SetBatch

__all__ = ["aligned", "pieces", "root"]


def aligned(a: SetBatch, b: SetBatch) -> torch.dtype:
    """Check that the sets of two batches correspond, and return the type of the result.

    Raises:
        ValueError: If the number of sets or the event shapes differ.
    """
    if len(a) != len(b):
        raise ValueError(
            f"The batches have {len(a)} and {len(b)} sets; set b of one is compared with set b "
            "of the other."
        )
    if a.event_shape != b.event_shape:
        raise ValueError(f"The atoms have event shapes {a.event_shape} and {b.event_shape}.")
    return torch.promote_types(torch.promote_types(a.x.dtype, b.x.dtype), torch.float32)


def pieces(batch: SetBatch, h: Tensor) -> list[Tensor]:
    """Cut `h (N, *H)` into the rows of each set, B views."""
    return [h[first:last] for first, last in pairwise(batch.offsets.tolist())]


def root(squared: Tensor) -> Tensor:
    """Square root of what is not negative, with gradient zero at zero instead of infinity."""
    positive = squared > 0
    return torch.where(positive, squared, 1).sqrt() * positive
