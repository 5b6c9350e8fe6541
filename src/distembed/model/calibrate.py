r"""Measure W2 on pairs of training sets, for the calibration of latent distances.

Pairs of sets are embedded from one part of their atoms and compared by exact W2 on other atoms, in
the model's ground space. The W2 of two samples is too large by an unknown amount: two samples
of *one* distribution are apart by a floor F, but if distributions differ the excess is smaller,
all of F for a shift and little of it for mixtures of other parts. It shrinks with the number of
atoms at the same rate as the floor, so two sizes determine its share r of the floor:

    W2^2 ~ W2^2(A_m, B_m) - r F_m,
    r    = E[W2^2(A_m/2, B_m/2) - W2^2(A_m, B_m)] / E[F_m/2 - F_m].

In many dimensions rates are slow, and the share at a finite size is not that in the limit. The
bounds 0 and 1 of r are safe, and intervals for W2 are made from these.

W2 is measured at the end of a fit, because the atoms are at hand then, and kept in the table of
training embeddings; `Calibration` is fitted to it on first use. With 200 sets of 100 atoms in the
plane it takes about half a second.
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
from distembed.data.spaces import require_ground
from distembed.divergences.exact import pairwise_w2
from distembed.geometry.attachment import MeasuredPairs
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
        atoms: Atoms of each half of a set, at most.
        fewest_held_out: Held-out sets are paired if there are as many, training sets otherwise.
    """

    fewest_sets: int = 6
    fewest_atoms: int = 50
    sets: int = 64
    pairs: int = 800
    atoms: int = 96
    fewest_held_out: int = 24


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
        The pairs; none, with the reason, if there are too few such sets, or no ground distance.
    """
    try:
        rows = _large_sets(collection, held_out, settings)
    except ValueError as error:
        logger.info("distances stay latent: %s", error)
        return MeasuredPairs.none(str(error))
    rng, m = stream(seed, "calibrate"), settings.atoms
    batch = collection.batch(rows, 4 * m, rng)
    context, rest = batch.split(2 * m, 2 * m, rng)
    network, device = engine.network, engine.runtime.device
    with engine.runtime.active():
        z = network.encode(context.to(device)).double().cpu()
        halves = network.to_ground(rest.to(device)).to("cpu").split(m, m, rng)
    candidates = torch.combinations(torch.arange(len(rows)))
    pairs = candidates[torch.randperm(len(candidates), generator=rng)[: settings.pairs]]
    squared, floor = _squared_w2(halves, pairs)
    # by its own size each: a half of 40 atoms has to be halved too
    quarters = [half.split(m // 2, m // 2, rng)[0] for half in halves]
    squared_of_quarters, floor_of_quarters = _squared_w2(quarters, pairs)
    gain = float((floor_of_quarters - floor).mean())
    share = float((squared_of_quarters - squared).mean()) / gain if gain > 0 else 1.0
    w2_squared = squared - min(max(share, 0.0), 1.0) * floor
    latent = (z[pairs[:, 0]] - z[pairs[:, 1]]).norm(dim=1)
    columns = (latent, w2_squared, squared - floor, squared)
    distances, estimate, low, high = (column.double().numpy() for column in columns)
    return MeasuredPairs(distances, estimate, low, high)


def _large_sets(
    collection: Collection, held_out: NDArray[np.bool_], settings: PairSettings
) -> list[int]:
    """Return the sets to pair.

    Raises:
        ValueError: If they are too few, or their atoms have no ground distance.
    """
    require_ground(collection.atoms, "W2")
    rows = np.flatnonzero(held_out if held_out.sum() >= settings.fewest_held_out else ~held_out)
    large = rows[collection.sizes[rows] >= settings.fewest_atoms][: settings.sets]
    if len(large) < settings.fewest_sets:
        raise ValueError(
            f"{len(large)} sets have {settings.fewest_atoms} atoms or more, and W2 is measured on "
            f"at least {settings.fewest_sets}."
        )
    indices: list[int] = large.tolist()
    return indices


def _squared_w2(halves: Sequence[SetBatch], pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared W2 of pairs `(P, 2)`, and the mean floor of their two sets, `(P,)`."""
    first, second = halves
    own = torch.arange(len(first))
    rows = torch.cat([pairs, torch.stack([own, own + len(first)], 1)])
    squared = pairwise_w2(SetBatch.concat([first, second]), rows).square()
    return squared[: len(pairs)], squared[len(pairs) :][pairs].mean(1)
