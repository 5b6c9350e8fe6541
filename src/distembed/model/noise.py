"""Measure the sampling noise of the embeddings of training sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.inference.covariance import covariance
from distembed.model.engine import InferenceEngine
from distembed.protocols import Collection
from distembed.rng import stream

__all__ = ["NoiseSettings", "atom_noise"]


@dataclass(frozen=True)
class NoiseSettings:
    """On how much the noise is measured.

    Attributes:
        sets: Number of sets, at most: the mean of their covariances is kept.
        atoms: Atoms of each, at most.
    """

    sets: int = 64
    atoms: int = 64


def atom_noise(
    engine: InferenceEngine,
    collection: Collection,
    seed: int,
    settings: NoiseSettings = NoiseSettings(),
) -> NDArray[np.float64]:
    """Return the mean sampling covariance of z times the number of atoms, `(L, L)`.

    Args:
        engine: The trained network, and where it computes.
        collection: The sets of the fit, of which those of one atom are left out.
        seed: Decides sets and atoms.
        settings: Sizes.

    Returns:
        The covariance; NaN if no set has one.
    """
    rng, latent = stream(seed, "noise"), engine.network.latent
    rows = np.flatnonzero(np.asarray(collection.sizes) > 1)
    if not len(rows):
        return np.full((latent, latent), np.nan)
    chosen = rows[torch.randperm(len(rows), generator=rng)[: settings.sets].numpy()]
    batch = collection.batch(chosen.tolist(), settings.atoms, rng)
    with engine.runtime.active():
        measured = covariance(engine.network.embedder, batch.to(engine.runtime.device))
    noise = measured.cov * measured.effective_sizes[:, None, None]
    finite = np.isfinite(noise).all((1, 2))
    mean: NDArray[np.float64] = (
        noise[finite].mean(0) if finite.any() else np.full((latent, latent), np.nan)
    )
    return mean
