r"""Straight paths between embeddings, $z_t = (1 - t) z_0 + t z_1$, and weighted means of them.

Where latent distances are W2 distances, a straight line in z is a shortest path between the two
distributions, as displacement interpolation is (McCann, 1997), and a weighted mean minimises the
weighted sum of squared distances, as a Wasserstein barycenter does (Agueh and Carlier, 2011).
Whether that holds on data is measured by `distembed.geometry.displacement`.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["barycenter", "positions", "set_weights", "straight_path"]

logger = logging.getLogger(__name__)


def positions(steps: int = 11, t: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return positions on a path: `t` itself, or `steps` equally spaced ones from 0 to 1, `(T,)`.

    Raises:
        ValueError: If `steps < 2`, or `t` is not a list of finite numbers.
    """
    if t is None:
        if steps < 2:
            raise ValueError(f"steps = {steps}; a path has at least its two ends.")
        return np.linspace(0, 1, steps)
    numbers = np.asarray(t, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(
            f"t has shape {numbers.shape}; it is a list of finite positions: 0 is the one end, 1 "
            "the other, and positions outside of [0, 1] extrapolate."
        )
    return numbers


def straight_path(
    z0: ArrayLike, z1: ArrayLike, steps: int = 11, t: ArrayLike | None = None
) -> NDArray[np.float32]:
    """Return embeddings on the straight line through two.

    Args:
        z0: Where the path begins, `(L,)`.
        z1: Where it ends, `(L,)`.
        steps: Number of equally spaced points, both ends included, at least 2.
        t: Positions on the line instead, `(T,)`: 0 at z0 and 1 at z1. Positions below 0 or above
            1 extrapolate.

    Returns:
        `(steps, L)` or `(T, L)`.

    Raises:
        ValueError: If there are no positions or the ends are not vectors of the same dimension.

    Example:
        >>> straight_path([0.0], [1.0], steps=3)[:, 0].tolist()
        [0.0, 0.5, 1.0]
        >>> straight_path([0.0], [1.0], t=[-1.0, 2.0])[:, 0].tolist()
        [-1.0, 2.0]
    """
    start, end = np.asarray(z0, dtype=np.float64), np.asarray(z1, dtype=np.float64)
    if start.ndim != 1 or start.shape != end.shape:
        raise ValueError(
            f"The ends have shapes {start.shape} and {end.shape}; each is one embedding, (L,)."
        )
    at = positions(steps, t)[:, None]
    return ((1 - at) * start + at * end).astype(np.float32)


def barycenter(z: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float32]:
    """Return the weighted mean of embeddings, `(L,)`.

    Args:
        z: Embeddings, `(S, L)`.
        weights: Weights, `(S,)`; equal if left out. They are divided by their sum, and a sum
            other than 1 is logged.

    Raises:
        ValueError: If there is no embedding, or a weight is negative or not finite, or their
            number is not S, or all are zero.

    Example:
        >>> barycenter([[0.0, 0.0], [4.0, 8.0]], [0.75, 0.25]).tolist()
        [1.0, 2.0]
    """
    points = np.asarray(z, dtype=np.float64)
    if points.ndim != 2 or not len(points):
        raise ValueError(f"z has shape {points.shape}; expected (S, L), one row a set.")
    mean: NDArray[np.float64] = set_weights(weights, len(points)) @ points
    return mean.astype(np.float32)


def set_weights(weights: ArrayLike | None, sets: int) -> NDArray[np.float64]:
    """Return weights of sets that sum to one, `(S,)`; equal ones for None.

    Raises:
        ValueError: If a weight is negative or not finite, their number is not S, or all are zero.
    """
    if weights is None:
        return np.full(sets, 1 / sets)
    w = np.asarray(weights, np.float64)
    if w.shape != (sets,):
        raise ValueError(
            f"weights has shape {w.shape}, and there are {sets} embeddings; give one "
            "weight for each."
        )
    if not np.isfinite(w).all() or (w < 0).any() or w.sum() == 0:
        raise ValueError(
            "The weights of a barycenter are finite, not negative and not all zero; a weight "
            "below zero extrapolates, for which interpolate takes positions t outside of [0, 1]."
        )
    total: np.float64 = w.sum()
    if abs(total - 1) > 1e-6:
        logger.warning(
            "the weights sum to %.6g and are divided by it, so that they sum to 1", total
        )
    normalised: NDArray[np.float64] = w / total
    return normalised
