r"""Features of sets that a GDE is compared with as inputs of the same heads.

Atoms are standardised by the training atoms, images by one deviation. What is fitted (deviations,
axes, bandwidth, centres) is fitted to training sets alone.

- `mean`: means, with their sampling covariances where there are at most 64.
- `mean_sd`: and deviations.
- `mean_cov`: means and root covariances, the latter on at most 32 principal axes of the atoms.
- `quantiles`: 16 quantiles along 64 directions.
- `kernel_mean`: 512 random features of a Gaussian kernel with the median distance as bandwidth.
- `composition`: shares of the atoms that are nearest to each of 32 centres of k-means.

Sequences are one-hot vectors of the symbol at each position, from the left. Their features are
`positions` (means), `kernel_mean`, and `kmers`: the frequencies of all words of 1 to k symbols, as
long as there are at most 500 of k.
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

__all__ = ["INPUTS", "SEQUENCE_INPUTS", "Atoms"]

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
        batch = sets.batch(range(len(sets)))
        if sets.atoms.name == "tokens":
            # the pad, number 0, is all zeros
            x = torch.eye(int(batch.x.max()) + 1)[batch.x][:, :, 1:]
        else:
            own = batch.select(train.tolist())
            scale = Standardise("all" if sets.atoms.name == "images" else "feature")
            x = scale.fit(own.x, own.w)(batch.x)
        self.every = batch.replace(x=x.flatten(1))
        self.train = self.every.select(train.tolist())


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


def _positions(atoms: Atoms) -> Array:
    mean: Array = atoms.every.mean(atoms.every.x.double()).numpy()
    return mean


def _kmers(atoms: Atoms, most: int = 500) -> Array:
    batch = atoms.sets.batch(range(len(atoms.sets)))
    x = batch.x - 1
    symbols, columns = int(x.max()) + 1, []
    for k in range(1, x.shape[1] + 1):
        if symbols**k > most:
            break
        words = x.unfold(1, k, 1)
        inside = (words >= 0).all(2)
        number = (words * symbols ** torch.arange(k)).sum(2)
        count = torch.zeros(len(x), symbols**k, dtype=torch.float64)
        count.scatter_add_(1, number.clamp(0), inside.double())
        frequency = batch.mean(count)
        columns.append(frequency / frequency.sum(1, keepdim=True).clamp_min(1e-12))
    return torch.cat(columns, 1).numpy()


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
"""Features of sets of numbers by name: functions to arrays `(S, F)`, or to a table."""

SEQUENCE_INPUTS: dict[str, Callable[[Atoms], Any]] = {
    "positions": _positions,
    "kmers": _kmers,
    "kernel_mean": _kernel_mean,
}
"""Features of sets of sequences."""
