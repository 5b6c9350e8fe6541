r"""Distances of embeddings whose last coordinate is the length of what the others leave out.

What is left of two sets in many dimensions is nearly orthogonal
(`distembed.encoders.orthogonal`), so the squares of the lengths u and v add. With x the squared
distance of the embeddings, which has their squared difference,

    x + 2 u v (1 - exp(-x / (2 h u v))).

For x well above 2 h u v this is the squared distance of the other coordinates plus u^2 + v^2. At
x = 0 it is zero, since equal embeddings have equal remainders, and it increases with x: two sets
that share their moments share what is left of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SHARED", "add_remainders"]

SHARED = 0.01
"""h: remainders are shared where the squared distance is below this part of 2 u v."""

Array = NDArray[np.float64]


def add_remainders(squared: ArrayLike, u: ArrayLike, v: ArrayLike) -> Array:
    """Return squared distances with remainders, of the shape to which the arguments broadcast.

    Args:
        squared: Squared distances x of embeddings; estimates below zero stay as they are.
        u: Lengths of the first sets; what is below zero counts as zero.
        v: Those of the second sets.

    Example:
        >>> add_remainders([0.0, 9.0], 1.0, 2.0).round(6).tolist()
        [0.0, 13.0]
    """
    x = np.asarray(squared, dtype=np.float64)
    both = 2 * np.clip(u, 0, None).astype(np.float64) * np.clip(v, 0, None)
    with np.errstate(over="ignore"):  # a remainder next to zero is not shared
        share = -np.expm1(-x.clip(0) / np.maximum(SHARED * both, 1e-300))
    total: Array = x + both * share
    return total
