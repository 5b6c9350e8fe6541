"""Draws from the distributions of embeddings, and log densities of atoms under them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from distembed.geometry.distance import Ground, check_ground
from distembed.model.embeddings import Embeddings
from distembed.model.engine import InferenceEngine
from distembed.model.inputs import as_effective_sizes, as_vectors, embeddings_of_sets
from distembed.model.tables import embedding_table
from distembed.protocols import Collection

__all__ = ["draw", "log_densities"]


def draw(
    engine: InferenceEngine,
    z: Embeddings | ArrayLike,
    n: int,
    rng: torch.Generator,
    effective_sizes: ArrayLike | None = None,
    *,
    ground: Ground,
    common_noise: bool = False,
) -> NDArray[Any]:
    """Draw n atoms of each embedding, `(n, *event)` or `(B, n, *event)`, as by `GDE.sample`.

    Args:
        engine: An engine of the model.
        z: One embedding `(L,)`, several `(B, L)`, or a table, which has its effective sizes.
        n: Atoms of each.
        rng: Source of draws, on the engine's device.
        effective_sizes: Effective sizes of the sets that were embedded, `(B,)`; infinite, or
            those of the table, if left out.
        ground: The space of the atoms.
        common_noise: Whether all embeddings are decoded from the same noise.

    Raises:
        ValueError: If `n < 1`, or the dimension of z is not the model's.
    """
    if not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n = {n}; it is a number of samples, 1 or more.")
    check_ground(ground)
    if isinstance(z, Embeddings):
        sizes = z.effective_sizes if effective_sizes is None else effective_sizes
        return draw(engine, z.z, n, rng, sizes, ground=ground, common_noise=common_noise)
    vectors = as_vectors(z, engine.network.latent)
    rows = np.atleast_2d(vectors)
    sizes = as_effective_sizes(effective_sizes, len(rows))
    x = engine.sample(rows, int(n), rng, sizes, ground, common_noise)
    first: NDArray[Any] = x[0]
    return first if vectors.ndim == 1 else x


def log_densities(
    engine: InferenceEngine,
    collection: Collection,
    z: Embeddings | ArrayLike | None,
    ground: Ground,
) -> list[NDArray[np.float64]]:
    """Return the log density of every atom, S arrays `(m,)`, as by `GDE.log_prob`.

    Args:
        engine: Reads the collection.
        collection: S sets.
        z: A table with a row for each set, an array `(S, L)`, one embedding for all `(L,)`, or
            None for the sets' own embeddings.
        ground: The space whose units the density has.
    """
    check_ground(ground)
    table = embedding_table(engine, collection) if z is None else z
    vectors, sizes = embeddings_of_sets(collection, table, engine.network.latent)
    return engine.log_prob(collection, vectors, sizes, ground)
