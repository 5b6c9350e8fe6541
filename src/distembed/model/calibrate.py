r"""Measure what a latent distance is worth in W2.

Pairs of sets are embedded from one part of their atoms and compared by exact W2 on others, in the
model's ground space. The W2 of two samples is too large, and how much is not known: two samples
of *one* distribution are apart by a floor F, but where distributions differ the excess is smaller,
all of F for a shift and little of it for mixtures of other parts. It shrinks with the number of
atoms at the same rate as the floor, so two sizes tell its share r of the floor:

    W2^2 ~ W2^2(A_m, B_m) - r F_m,
    r    = E[W2^2(A_m/2, B_m/2) - W2^2(A_m, B_m)] / E[F_m/2 - F_m].

In many dimensions rates are slow, and a share at the atoms at hand is not that at the limit. What
is safe are 0 and 1, and between these lies what intervals for W2 are made from.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.geometry.distance import Calibration
from distembed.model.network import Network
from distembed.protocols import Collection
from distembed.rng import stream

__all__ = ["MANY_SETS", "calibrate"]

logger = logging.getLogger(__name__)

MANY_SETS = 24
"""Held-out sets are used where there are as many, training sets otherwise."""
LEAST_ATOMS, ATOMS, PAIRS, SETS = 50, 96, 800, 64


@torch.no_grad()
def calibrate(
    network: Network, collection: Collection, indices: np.ndarray, seed: int
) -> Calibration:
    """Fit a calibration on pairs of the sets that have atoms enough.

    Returns:
        The calibration, or the identity with `pairs = 0` where there are too few such sets.
    """
    large = [int(i) for i in indices if collection.sizes[i] >= LEAST_ATOMS][:SETS]
    if len(large) < 6:
        logger.info("too few sets of %d atoms: distances stay latent", LEAST_ATOMS)
        return Calibration()
    rng = stream(seed, "calibrate")
    batch = collection.batch(large, 4 * ATOMS, rng)
    context, rest = batch.split(2 * ATOMS, 2 * ATOMS, rng)
    device = network.device
    z = network.encode(context.to(device)).double()
    halves = network.to_ground(rest.to(device)).to("cpu").split(ATOMS, ATOMS, rng)
    count = len(large)
    every = torch.combinations(torch.arange(count))
    pairs = every[torch.randperm(len(every), generator=rng)[:PAIRS]]
    whole, floor = _squared(halves, pairs)
    # by its own size each: a half of 40 atoms has to be halved too
    fewer = [half.split(ATOMS // 2, ATOMS // 2, rng)[0] for half in halves]
    whole_of_half, floor_of_half = _squared(fewer, pairs)
    gain = float((floor_of_half - floor).mean())
    share = float((whole_of_half - whole).mean()) / gain if gain > 0 else 1.0
    w2_squared = whole - min(max(share, 0.0), 1.0) * floor
    latent = (z[pairs[:, 0]] - z[pairs[:, 1]]).norm(dim=1).cpu()
    try:
        bounds = (whole - floor).numpy(), whole.numpy()
        return Calibration.fit(latent.numpy(), w2_squared.numpy(), bounds=bounds)
    except ValueError as error:
        logger.info("distances stay latent: %s", error)
        return Calibration()


def _squared(halves: Sequence[SetBatch], pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Squared W2 of pairs `(P, 2)`, and the mean floor of the two sets of each, `(P,)`."""
    first, second = halves
    own = torch.arange(len(first))
    wanted = torch.cat([pairs, torch.stack([own, own + len(first)], 1)])
    squared = pairwise_w2(SetBatch.concat([first, second]), wanted).square()
    return squared[: len(pairs)], squared[len(pairs) :][pairs].mean(1)
