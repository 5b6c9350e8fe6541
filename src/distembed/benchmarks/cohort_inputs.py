r"""Features of sets that a GDE is compared with as inputs of the same heads.

Atoms are standardised by the training atoms, images by one deviation. What is fitted (deviations,
axes, bandwidth, centres) is fitted to training sets alone.

- `mean`: means, with their sampling covariances where there are at most 64.
- `mean_sd`: and deviations.
- `mean_cov`: means and root covariances, the latter on at most 32 principal axes of the atoms.
- `quantiles`: 16 quantiles along 64 directions.
- `kernel_mean`: 512 random features of a Gaussian kernel with the median distance as bandwidth.
- `composition`: shares of the atoms that are nearest to each of 32 centres of k-means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.data.transforms.standardise import Standardise
from distembed.encoders.kernel import KernelMean
from distembed.encoders.moments import Moments
from distembed.evaluation.codebook import histograms, pooled_centres
from distembed.heads.baseline import mean_table
from distembed.sets.collection import Sets

__all__ = ["INPUTS", "Atoms"]

Array = NDArray[Any]


class Atoms:
    """All sets of a cohort with standardised atoms, and those of the training sets.

    Args:
        sets: All sets.
        train: Numbers of the training sets.

    Attributes:
        sets: All sets as they came.
        every: All sets, standardised.
        train: The training sets, standardised.
    """

    def __init__(self, sets: Sets, train: NDArray[np.int64]) -> None:
        self.sets = sets
        batch, own = sets.batch(range(len(sets))), sets.batch(train.tolist())
        scale = Standardise("all" if sets.atoms.name == "images" else "feature")
        scale.fit(own.x, own.w)
        self.every = batch.replace(x=scale(batch.x).flatten(1))
        self.train = own.replace(x=scale(own.x).flatten(1))


def _mean(atoms: Atoms) -> Any:
    return mean_table(atoms.sets)


def _mean_sd(atoms: Atoms) -> Array:
    batch, x = atoms.every, atoms.every.x.double()
    mean = batch.mean(x)
    spread = batch.mean((x - batch.expand(mean)).square()).sqrt()
    return torch.cat([mean, spread], 1).numpy()


def _mean_cov(atoms: Atoms) -> Array:
    return _encoded(Moments(atoms.every.event_shape, 1, "mean_cov", axes=32), atoms)


def _quantiles(atoms: Atoms) -> Array:
    return _encoded(Moments(atoms.every.event_shape, 1, "quantiles", projections=64), atoms)


def _encoded(encoder: Moments, atoms: Atoms) -> Array:
    """Return the vectors of moments or quantiles before their reduction, `(S, F)`."""
    encoder.prepare(atoms.train)
    with torch.no_grad():
        return _in_parts(encoder.vector, atoms.every)


def _kernel_mean(atoms: Atoms, features: int = 512) -> Array:
    encoder = KernelMean(atoms.every.event_shape, features)
    encoder.prepare(atoms.train)
    with torch.no_grad():
        return _in_parts(encoder, atoms.every)


def _composition(atoms: Atoms, centres: int = 32, pooled: int = 4096) -> Array:
    return histograms(atoms.every, pooled_centres(atoms.train, centres, pooled))


def _in_parts(function: Callable[[SetBatch], torch.Tensor], batch: SetBatch) -> Array:
    """Apply a function of sets to parts of 64 sets, so that memory stays bounded."""
    parts = [range(len(batch))[i : i + 64] for i in range(0, len(batch), 64)]
    return torch.cat([function(batch.select(list(part))) for part in parts]).numpy()


INPUTS: dict[str, Callable[[Atoms], Any]] = {
    "mean": _mean,
    "mean_sd": _mean_sd,
    "mean_cov": _mean_cov,
    "quantiles": _quantiles,
    "kernel_mean": _kernel_mean,
    "composition": _composition,
}
"""The features by name: all sets and the training sets to features, `(S, F)`, or a table."""
