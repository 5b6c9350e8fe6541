r"""Straight paths between embeddings, $z_t = (1 - t) z_0 + t z_1$.

Where latent distances are W2 distances, a straight line in z is a shortest path between the two
distributions, as displacement interpolation is (McCann, 1997).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["straight_path"]


def straight_path(z0: ArrayLike, z1: ArrayLike, steps: int = 11) -> NDArray[np.float32]:
    """Return `steps` equally spaced embeddings from one to the other, both ends included.

    Args:
        z0: Where the path begins, `(L,)`.
        z1: Where it ends, `(L,)`.
        steps: Number of points, at least 2.

    Returns:
        `(steps, L)`.

    Raises:
        ValueError: If `steps < 2` or the ends are not vectors of the same dimension.

    Example:
        >>> straight_path([0.0], [1.0], steps=3)[:, 0].tolist()
        [0.0, 0.5, 1.0]
    """
    start, end = np.asarray(z0, dtype=np.float64), np.asarray(z1, dtype=np.float64)
    if start.ndim != 1 or start.shape != end.shape:
        raise ValueError(
            f"The ends have shapes {start.shape} and {end.shape}; each is one embedding, (L,)."
        )
    if steps < 2:
        raise ValueError(f"steps = {steps}; a path has at least its two ends.")
    t = np.linspace(0, 1, steps)[:, None]
    return ((1 - t) * start + t * end).astype(np.float32)
