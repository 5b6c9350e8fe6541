"""Checks of points between sets: whether there are training sets where a path or a mean leads."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.inference.population.density import UNUSUAL, Population

__all__ = ["outside", "warn_outside"]

logger = logging.getLogger(__name__)


def outside(population: Population | None, z: ArrayLike) -> NDArray[np.bool_]:
    """Return which embeddings `(T, L)` are unlike those of the training sets, `(T,)`.

    None are if there is no population (fewer than 20 training sets), and none can be with fewer
    than 99 sets, where the least p-value is above 1 %.
    """
    points = np.asarray(z, dtype=np.float64)
    if population is None:
        return np.zeros(len(points), dtype=bool)
    unlike: NDArray[np.bool_] = population.unusual(points) <= UNUSUAL
    return unlike


def warn_outside(population: Population | None, z: ArrayLike, name: str) -> None:
    """Log a warning if embeddings `(T, L)` lie where no training set is.

    Args:
        population: The population of training sets; None if it could not be fitted.
        z: Embeddings on a path, or a mean.
        name: What they are, for the message.
    """
    unlike = outside(population, z)
    if unlike.any():
        logger.warning(
            "%s leaves the training sets: of its %d points, those of number %s (from 0) have a "
            "p-value under the population of at most %g, so their samples are extrapolations. "
            "distembed.geometry.displacement interpolates the atoms themselves.",
            name, len(unlike), _ranges(np.flatnonzero(unlike)), UNUSUAL,
        )  # fmt: skip


def _ranges(rows: NDArray[np.int64]) -> str:
    """Return row numbers as ranges, `3-7, 9`."""
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return ", ".join(f"{p[0]}" if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
