"""Tables of embeddings: z of every set, and on request what is known of its uncertainty."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from distembed.inference.population.density import Population
from distembed.model.embeddings import Embeddings, Fingerprints
from distembed.model.engine import FEW_ATOMS, InferenceEngine
from distembed.model.support import Support, sentences
from distembed.protocols import Collection
from distembed.sets.fingerprint import fingerprints
from distembed.sets.repeated import merge_repeated
from distembed.sets.sharing import shared_noise
from distembed.training.distributed import Ranks

__all__ = ["embedding_table", "shared_fingerprints", "with_uncertainty"]

logger = logging.getLogger(__name__)


def embedding_table(
    engine: InferenceEngine,
    collection: Collection,
    support: Support | None = None,
    features: Sequence[str] | None = None,
) -> Embeddings:
    """Embed all sets of a collection, and log which lie outside the range of the training.

    Args:
        engine: The engine.
        collection: The sets.
        support: Ranges of the training atoms; None if they are not known.
        features: Names of the model's features.
    """
    outside = None
    if support is not None:
        comparison = support.compare(collection, engine.columns)
        outside = comparison.outside
        for sentence in sentences(support, comparison, collection, features):
            logger.warning("%s", sentence)
    z, effective_sizes = engine.embed(merge_repeated(collection))
    ids, sizes = np.asarray(collection.ids), np.asarray(collection.sizes)
    meta = {name: np.asarray(column) for name, column in collection.meta.items()}
    shared = shared_noise(collection)
    if shared is not None:
        count = int(shared.sharing.sum())
        logger.warning(
            "%d of %d sets share atoms with others. Their errors are correlated: distances and "
            "intervals of two sets of this table take this into account, and statistics over many "
            "sets need blocks of sets that share none (distembed.sets.sharing.sharing_blocks).",
            count, len(ids),
        )  # fmt: skip
    return Embeddings(z, ids, sizes, effective_sizes, meta, outside=outside, shared=shared)


def with_uncertainty(
    table: Embeddings,
    engine: InferenceEngine,
    collection: Collection,
    population: Population | None,
    training: Fingerprints,
) -> Embeddings:
    """Add covariances, p-values of membership in the population, and marks of training sets.

    Args:
        table: Embeddings of the sets.
        engine: The engine that made them.
        collection: The sets.
        population: The population of training sets; None if it could not be fitted.
        training: Fingerprints of the training sets.
    """
    cov, df = engine.covariance(merge_repeated(collection), table.effective_sizes)
    finite = np.asarray(np.isfinite(cov).all((1, 2)))
    _warn_of_small_sets(table, finite)
    p_unusual = trained = None
    if population is not None:
        p_unusual = np.full(len(table), np.nan)
        p_unusual[finite] = population.unusual(table.z[finite], cov[finite])
    if training.hashes:
        ranks = engine.settings.ranks
        hashes = shared_fingerprints(collection, training.salt, engine.columns, ranks)
        trained = np.array([value in training.hashes for value in hashes])
    return replace(table, cov=cov, df=df, p_unusual=p_unusual, trained=trained)


def shared_fingerprints(
    collection: Collection, salt: str, columns: Sequence[int] | None, ranks: Ranks
) -> list[str]:
    """Compute the fingerprints of all sets; each rank reads consecutive sets of as many atoms."""
    total = np.cumsum(collection.sizes)
    shares = np.arange(1, ranks.size) / ranks.size * total[-1]
    bounds = [0, *np.searchsorted(total, shares).tolist(), len(total)]
    own = range(bounds[ranks.rank], bounds[ranks.rank + 1])
    hashes = fingerprints(collection, salt, columns, sets=own)
    return [value for part in ranks.gather(hashes) for value in part]


def _warn_of_small_sets(table: Embeddings, finite: NDArray[np.bool_]) -> None:
    """Log how many sets have error bars that are too small, or none.

    Args:
        table: Embeddings of the sets.
        finite: Whether each set has a covariance, `(S,)`.
    """
    count = len(table)
    if small := int((finite & (table.effective_sizes < FEW_ATOMS)).sum()):
        logger.warning(
            "%d of %d sets have fewer than %d effective atoms; their error bars are too small "
            "(docs/uncertainty.md states by how much).", small, count, FEW_ATOMS,
        )  # fmt: skip
    if single := int((table.sizes == 1).sum()):
        noun = "set has" if single == 1 else "sets have"
        logger.warning("%d %s a single atom and no error bar.", single, noun)
    if missing := int((~finite & (table.sizes > 1)).sum()):
        logger.warning("%d of %d sets have too few atoms for an error bar.", missing, count)
