r"""Measure what a latent distance is worth in W2.

Pairs of sets are embedded from one part of their atoms and compared by exact W2 on others, in the
model's ground space. Two samples of one distribution are not at distance zero, so a second part
of each set measures that floor:  W2^2(A, B) - (W2^2(A, A') + W2^2(B, B')) / 2.
"""

from __future__ import annotations

import logging

import numpy as np
import torch

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.geometry.distance import Calibration
from distembed.network import Network
from distembed.protocols import Collection
from distembed.rng import stream

__all__ = ["MANY_SETS", "calibrate"]

logger = logging.getLogger(__name__)

MANY_SETS = 24
"""Held-out sets are used where there are as many, training sets otherwise."""
LEAST_ATOMS, ATOMS, PAIRS, SETS = 40, 96, 300, 64


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
    batch = collection.batch(large, None if collection.weighted else 4 * ATOMS, rng)
    context, rest = batch.split(2 * ATOMS, 2 * ATOMS, rng)
    device = network.z_scale.device
    z = network.encode(context.to(device)).double()
    halves = network.to_ground(rest.to(device)).to("cpu").split(ATOMS, ATOMS, rng)
    count = len(large)
    every = torch.combinations(torch.arange(count))
    pairs = every[torch.randperm(len(every), generator=rng)[:PAIRS]]
    own = torch.arange(count)
    wanted = torch.cat([pairs, torch.stack([own, own + count], 1)])
    squared = pairwise_w2(SetBatch.concat(halves), wanted).square()
    between, floor = squared[: len(pairs)], squared[len(pairs) :]
    w2 = (between - floor[pairs].mean(1)).clamp_min(0).sqrt()
    latent = (z[pairs[:, 0]] - z[pairs[:, 1]]).norm(dim=1).cpu()
    try:
        return Calibration.fit(latent.numpy(), w2.numpy())
    except ValueError as error:
        logger.info("distances stay latent: %s", error)
        return Calibration()
