"""Distances between the embeddings of a model, and intervals for those of pairs of sets."""

from __future__ import annotations

import logging
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.data.spaces import ground_distance
from distembed.geometry.blocks import in_blocks
from distembed.geometry.distance import latent_distances, subtract_noise
from distembed.geometry.remainder import add_remainders
from distembed.inference.calibrated import W2Interval, w2_interval
from distembed.inference.intervals import LimitInterval, limit_interval
from distembed.inference.prior import GaussianPrior, PriorSettings, expected_distances
from distembed.inference.remainders import with_remainders
from distembed.model.embeddings import Embeddings, noise_of
from distembed.model.engine import InferenceSettings
from distembed.model.fitted import FittedModel
from distembed.model.inputs import as_table
from distembed.model.neighbours import decoded_w2
from distembed.model.sampling import draw
from distembed.rng import as_generator
from distembed.sets.sharing import left_noise

__all__ = ["Denoise", "decoded_distances", "distance_intervals", "distances"]

Denoise = Literal["posterior", "unbiased", "none"]
"""What a distance says of the sampling noise of both sets."""

logger = logging.getLogger(__name__)


def distances(
    fitted: FittedModel,
    a: Embeddings | ArrayLike,
    b: Embeddings | ArrayLike | None,
    calibrated: bool,
    denoise: Denoise,
    condensed: bool = False,
    dtype: type[np.floating[Any]] = np.float64,
) -> NDArray[Any]:
    """Return latent or calibrated distances, `(A, B)`, as by `GDE.distances`.

    Args:
        fitted: The model.
        a: Embeddings `(A, L)`.
        b: Others `(B, L)`; those of `a` if None.
        calibrated: In units of W2.
        denoise: What is done about the sampling noise of tables with covariances.
        condensed: Return the pairs of one table as a vector.
        dtype: Type of the result.

    Raises:
        ValueError: As by `GDE.distances`.
    """
    if denoise not in get_args(Denoise):
        raise ValueError(
            f"denoise is {denoise!r}; it is 'posterior' (the distance that is expected given the "
            "atoms), 'unbiased' (the noise is subtracted) or 'none'."
        )
    latent = fitted.spec.latent
    first = as_table(a, latent)
    second = first if b is None else as_table(b, latent)
    noise = noise_of(a), noise_of(a if b is None else b)
    prior = fitted.prior if denoise == "posterior" and _noisy(a, b) else None
    remainder = fitted.network.traits.remainder
    # a length has heavy tails: one bright image of ten makes no outsider (docs/log.md)
    settings = PriorSettings(outside=1e-4) if remainder else PriorSettings()
    if prior is not None:
        first, variance = _posterior(prior, a, first, settings)
        second, other = (first, variance) if b is None else _posterior(prior, b, second, settings)
    calibration = fitted.calibration if calibrated else None
    shared = a.shared if isinstance(a, Embeddings) and b is None else None

    def block(rows: slice, columns: slice) -> NDArray[np.float64]:
        out = latent_distances(first[rows], second[columns])
        if prior is not None:
            left = left_noise(shared, rows, columns)
            expected_distances(out, variance[rows], other[columns], left)
        elif denoise != "none":
            left = left_noise(shared, rows, columns)
            subtract_noise(out, noise[0][rows], noise[1][columns], left)
        if b is None:  # a set is at no distance from itself
            np.fill_diagonal(out, 0)
        if remainder:
            out = np.sqrt(add_remainders(out**2, first[rows, -1:], second[columns, -1]))
        return out if calibration is None else calibration(out)

    out = in_blocks(
        block,
        len(first),
        None if b is None else len(second),
        condensed=condensed,
        dtype=dtype,
    )
    if calibration is not None:
        _warn(calibration.warning_of_matrix(out, symmetric=b is None and not condensed))
    return out


def decoded_distances(
    fitted: FittedModel,
    a: Embeddings | ArrayLike,
    b: Embeddings | ArrayLike | None,
    n: int,
    settings: InferenceSettings,
) -> NDArray[np.float64]:
    """Return exact W2 between n draws from each embedding with common noise, `(A, B)`."""
    distance = ground_distance(fitted.spec.atoms)
    engine = fitted.engine(settings)

    def drawn(table: Embeddings | ArrayLike) -> NDArray[Any]:
        rng = as_generator(0, engine.runtime.device)
        x: NDArray[Any] = draw(engine, table, n, rng, ground="model", common_noise=True)
        return x

    return decoded_w2(drawn(a), None if b is None else drawn(b), distance)


def distance_intervals(
    fitted: FittedModel,
    table: Embeddings,
    pairs: ArrayLike | None,
    level: float,
    calibrated: bool,
) -> W2Interval | LimitInterval:
    """Return intervals for the distances of pairs of sets, as by `GDE.distance_intervals`."""
    cov, z = table.covariances, as_table(table, fitted.spec.latent)
    every = np.stack(np.triu_indices(len(z), 1), 1)
    first, second = (every if pairs is None else np.asarray(pairs)).T
    left = np.broadcast_to(left_noise(table.shared, first, second), len(first))[:, None, None]
    sides = z[first], z[second], cov[first] * left, cov[second] * left
    remainder = fitted.network.traits.remainder
    if calibrated:
        interval = w2_interval(*sides, fitted.calibration, level, remainder=remainder)
        _warn(interval.warning)
        return interval
    limit = limit_interval(*sides, level)
    return with_remainders(limit, *sides)[0] if remainder else limit


def _noisy(*tables: Embeddings | ArrayLike | None) -> bool:
    """Return whether one of the tables has covariances."""
    return any(isinstance(t, Embeddings) and t.cov is not None for t in tables)


def _posterior(
    prior: GaussianPrior,
    table: Embeddings | ArrayLike,
    z: NDArray[Any],
    settings: PriorSettings,
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return posterior means and variances; those of z itself where its noise is not known."""
    if not isinstance(table, Embeddings) or table.cov is None:
        return z, np.zeros(len(z))
    posterior = prior.posterior(table.z, table.cov, table.effective_sizes, settings)
    return posterior.mean, posterior.variance


def _warn(sentence: str) -> None:
    if sentence:
        logger.warning("%s", sentence)
