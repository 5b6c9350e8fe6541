"""Paths between embeddings, their means, and the transport of atoms from one to another.

Points between sets are checked: a warning is logged where a path or a mean leaves the training
sets, provided that the model's population is fitted.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.geometry.distance import Ground, check_ground
from distembed.geometry.path import barycenter, straight_path
from distembed.inference.population.density import UNUSUAL, Population
from distembed.model.embeddings import Embeddings
from distembed.model.engine import InferenceEngine
from distembed.model.fitted import FittedModel
from distembed.model.inputs import as_ends, as_numbers, as_table
from distembed.protocols import Collection

__all__ = ["checked_barycenter", "checked_path", "outside", "transport", "warn_outside"]

logger = logging.getLogger(__name__)


def checked_path(
    fitted: FittedModel | None, z0: ArrayLike, z1: ArrayLike, steps: int, t: ArrayLike | None
) -> NDArray[np.float32]:
    """Return embeddings on the straight line through two, as by `GDE.interpolate`."""
    path = straight_path(as_numbers(z0), as_numbers(z1), steps, t)
    _check(fitted, path, "the path")
    return path


def checked_barycenter(
    fitted: FittedModel | None, z: NDArray[np.float32], weights: ArrayLike | None
) -> NDArray[np.float32]:
    """Return the weighted mean `(L,)` of embeddings `(S, L)`, as by `GDE.barycenter`."""
    mean = barycenter(z, weights)
    _check(fitted, mean[None], "the barycenter")
    return mean


def transport(
    engine: InferenceEngine,
    collection: Collection,
    ends: tuple[Embeddings | ArrayLike, Embeddings | ArrayLike],
    steps: int,
    ground: Ground,
) -> NDArray[Any]:
    """Move the atoms of one set between two embeddings, `(m, *event)`, as by `GDE.transport`.

    Args:
        engine: Reads the set.
        collection: The set.
        ends: Its embedding, and the other.
        steps: Steps of the solver each way.
        ground: The space of the result.

    Raises:
        ValueError: If `steps < 1`, or an end is not a single embedding.
    """
    if steps < 1:
        raise ValueError(f"steps = {steps}; a solver takes one step or more.")
    check_ground(ground)
    z, sizes = as_ends(*ends, latent=engine.network.latent)
    return engine.transport(engine.batch(collection, [0]), z, sizes, steps, ground)


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


def _check(fitted: FittedModel | None, z: NDArray[np.float32], name: str) -> None:
    """Log a warning if embeddings `(T, L)` leave the population of a model that has one fitted."""
    if fitted is not None and fitted.attachments.is_fitted("population"):
        warn_outside(fitted.population, as_table(z, fitted.spec.latent), name)


def _ranges(rows: NDArray[np.int64]) -> str:
    """Return row numbers as ranges, `3-7, 9`."""
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return ", ".join(f"{p[0]}" if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
