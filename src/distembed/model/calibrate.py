r"""Measure W2 on pairs of training sets, for the calibration of latent distances.

Pairs of sets are embedded and compared by exact W2 on the same atoms, in the model's ground space.
Squared latent distances are freed of what the noise of embeddings adds, and squared W2 of what
sampling adds, so that both are estimates of the values of the distributions. The two halves of the
atoms, of which no atom is in both, estimate their noise, however the two are correlated.

**What sampling adds.** W2^2 of samples of m atoms exceeds that of the distributions by e_m on
average. Two samples of *one* distribution are apart by a floor F_m, and $0 \le e_m \le F_m$: all
of it for a shift, little of it for mixtures of other parts. With D_k the mean W2^2 of the k
disjoint pairs of parts of m / k atoms,

    E[D_2 - D_1] = e_{m/2} - e_m = g_1,     E[D_4 - D_2] = e_{m/4} - e_{m/2} = g_2,

where the noise of first order cancels, because a sum over atoms is the same for the whole and for
its parts. If e_m falls as a power of m, then $e_m = g_1 / (q - 1)$, where
$q = g_2 / g_1$ is the growth of e if the atoms are halved. Growth is slower for few atoms, so this
q less its standard error is taken as the least one, and the largest is 2, of the parametric rate
1 / m. W2^2 is estimated with the geometric mean of the two. Its bounds are those with the larger
(`MeasuredPairs.low`) and with no excess at all (`MeasuredPairs.high`), which is a bound by
convexity. g_1 of a pair is smoothed by least squares on the floor and the latent distance, and the
excess is at most the floor on average. In many dimensions the excess of two distributions of one
shape falls more slowly than that, at the rate of the floor; it is then a small share of W2^2,
unless the distributions are close.

W2 is measured at the end of a fit, because the atoms are at hand then, and kept in the table of
training embeddings; `Calibration` is fitted to it on first use. With 64 sets or more of 128 atoms
or more it takes about two seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.data.spaces import ground_distance
from distembed.divergences.exact import Distance, pairwise_w2
from distembed.geometry.attachment import MeasuredPairs
from distembed.geometry.remainder import add_remainders
from distembed.inference.covariance import covariance
from distembed.model.engine import InferenceEngine
from distembed.protocols import Collection
from distembed.rng import stream

__all__ = ["PairSettings", "measure_pairs"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairSettings:
    """Which sets are paired, and on how many atoms.

    Attributes:
        fewest_sets: Fewer large sets are refused.
        fewest_atoms: Smaller sets are left out.
        sets: Number of sets that are paired, at most.
        pairs: Number of pairs, at most.
        atoms: Atoms of a set, at most.
        fewest_held_out: Held-out sets are paired if as many have enough atoms, training sets
            otherwise.
        growth: Range of the factor by which the excess grows if atoms are halved.
    """

    fewest_sets: int = 6
    fewest_atoms: int = 50
    sets: int = 64
    pairs: int = 300
    atoms: int = 128
    fewest_held_out: int = 24
    growth: tuple[float, float] = (1.05, 2.0)


@torch.no_grad()
def measure_pairs(
    engine: InferenceEngine,
    collection: Collection,
    held_out: NDArray[np.bool_],
    seed: int,
    settings: PairSettings = PairSettings(),
) -> MeasuredPairs:
    """Measure W2 on pairs of the sets that have enough atoms.

    Args:
        engine: The trained network, and where it computes.
        collection: The sets of the fit.
        held_out: Whether a set was held out for early stopping, `(S,)`.
        seed: Decides pairs and atoms.
        settings: Sizes.

    Returns:
        The pairs; none, with the reason, if there are too few such sets, or the distance of atoms
        needs an extra that is not installed.
    """
    if collection.atoms.masked:
        return MeasuredPairs.none("W2 is not defined between atoms with missing values.")
    try:
        rows = _large_sets(collection, held_out, settings)
    except ValueError as error:
        logger.info("distances stay latent: %s", error)
        return MeasuredPairs.none(str(error))
    try:
        return _measured(engine, collection, rows, seed, settings)
    except ImportError as error:  # a distance of atoms may need an extra
        logger.warning("distances stay latent: %s", error)
        return MeasuredPairs.none(str(error))


def _measured(
    engine: InferenceEngine,
    collection: Collection,
    rows: list[int],
    seed: int,
    settings: PairSettings,
) -> MeasuredPairs:
    """Measure W2 on random pairs of some sets."""
    distance, rng = ground_distance(collection.atoms), stream(seed, "calibrate")
    candidates = torch.combinations(torch.arange(len(rows)))
    pairs = candidates[torch.randperm(len(candidates), generator=rng)[: settings.pairs]]
    levels: list[list[SetBatch]] = [[collection.batch(rows, settings.atoms, rng)]]
    for _ in range(2):
        levels.append([half for part in levels[-1] for half in _halved(part, rng)])
    with engine.runtime.active():
        latent = _latent_squared(engine, levels, pairs)
        whole, halves, quarters = (
            np.stack([_squared_w2(engine, part, pairs, distance) for part in level])
            for level in levels
        )
        floor = _floor(engine, levels[1], pairs, distance)
    excess = _excess((whole[0], halves.mean(0), quarters.mean(0)), floor, latent[0], settings)
    return MeasuredPairs(
        np.asarray(rows)[pairs.numpy()],
        latent[0],
        (latent[1] - latent[2]) / 2,
        whole[0] - excess[0],
        (halves[0] - halves[1]) / 2,
        whole[0] - excess[1],
        whole[0],
    )


def _large_sets(
    collection: Collection, held_out: NDArray[np.bool_], settings: PairSettings
) -> list[int]:
    """Return the sets to pair.

    Raises:
        ValueError: If they are too few.
    """
    enough = collection.sizes >= settings.fewest_atoms
    held_out_large = np.flatnonzero(held_out & enough)
    few = len(held_out_large) < settings.fewest_held_out
    large = np.flatnonzero(~held_out & enough) if few else held_out_large
    # sets of enough atoms first: what sampling adds is estimated best on these
    missing = (settings.atoms - collection.sizes[large]).clip(0)
    large = np.sort(large[missing.argsort(kind="stable")][: settings.sets])
    if len(large) < settings.fewest_sets:
        raise ValueError(
            f"{len(large)} training sets have {settings.fewest_atoms} atoms or more, and W2 is "
            f"measured on at least {settings.fewest_sets}."
        )
    indices: list[int] = large.tolist()
    return indices


def _halved(batch: SetBatch, rng: torch.Generator) -> tuple[SetBatch, SetBatch]:
    """Divide the atoms of each set at random, each by its own size."""
    size = int(batch.sizes.max())
    return batch.split(size, size, rng)


def _latent_squared(
    engine: InferenceEngine, levels: Sequence[Sequence[SetBatch]], pairs: Tensor
) -> NDArray[np.float64]:
    """Return squared latent distances of the whole sets and of both halves, `(3, P)`.

    What sampling adds is taken off, by the covariances of the whole sets.
    """
    whole, first, second = (part.to(engine.runtime.device) for part in (levels[0][0], *levels[1]))
    embedded = covariance(engine.network.embedder, whole)
    # an embedding without a covariance is taken to be exact
    noise = np.nan_to_num(np.trace(embedded.cov, axis1=1, axis2=2)) * embedded.effective_sizes
    parts = [(embedded.z, embedded.effective_sizes)]
    for half in (first, second):
        z = engine.network.encode(half).double().cpu().numpy()
        parts.append((z, half.effective_sizes.cpu().numpy()))
    i, j = pairs.numpy().T
    squared = [((z[i] - z[j]) ** 2).sum(1) - (noise / sizes)[pairs].sum(1) for z, sizes in parts]
    if engine.network.traits.remainder:
        lengths = [z[:, -1] for z, _ in parts]
        squared = [add_remainders(x, u[i], u[j]) for x, u in zip(squared, lengths, strict=True)]
    return np.stack(squared)


def _squared_w2(
    engine: InferenceEngine, part: SetBatch, pairs: Tensor, distance: Distance | None
) -> NDArray[np.float64]:
    """Return the squared W2 of pairs `(P, 2)` of sets in the ground space, `(P,)`."""
    ground = engine.network.to_ground(part.to(engine.runtime.device)).to("cpu")
    w2 = pairwise_w2(ground, pairs, distance=distance)
    squared: NDArray[np.float64] = w2.double().square().numpy()
    return squared


def _floor(
    engine: InferenceEngine,
    parts: Sequence[SetBatch],
    pairs: Tensor,
    distance: Distance | None,
) -> NDArray[np.float64]:
    """Return the squared W2 of two parts of one set, the mean of the sets of each pair, `(P,)`."""
    own, count = torch.arange(len(parts[0])), len(parts[0])
    both = torch.stack([own, own + count], 1)
    squared = _squared_w2(engine, SetBatch.concat(list(parts)), both, distance)
    means: NDArray[np.float64] = squared[pairs.numpy()].mean(1)
    return means


def _excess(
    levels: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    floor: NDArray[np.float64],
    latent_squared: NDArray[np.float64],
    settings: PairSettings,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what sampling adds to the squared W2 of each pair, `(P,)`, and an upper bound."""
    whole, halves, quarters = levels
    gain = halves - whole
    columns = np.stack([np.ones_like(gain), floor, latent_squared], 1)
    scale = np.abs(columns).max(0)
    columns /= np.where(scale > 0, scale, 1)
    smooth = (columns @ np.linalg.lstsq(columns, gain, rcond=None)[0]).clip(0)
    g1, g2 = max(float(gain.mean()), 1e-300), float((quarters - halves).mean())
    independent = max(settings.sets, 2) / 2
    error = float(np.std(quarters - halves - g2 / g1 * gain)) / independent**0.5 / g1
    low, high = settings.growth
    growth = min(max(g2 / g1 - error, low), high)
    # the excess is at most the floor, on average
    slowest = min(1 / (growth - 1), float(floor.mean()) / max(float(smooth.mean()), 1e-300))
    return np.sqrt(slowest / (high - 1)) * smooth, slowest * smooth
