"""The steps of a run: sets, parts and noise as a pure function of (seed, k)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from distembed.protocols import Collection, Step
from distembed.rng import stream
from distembed.sets.sampler import Sampler
from distembed.training.config import TrainConfig

__all__ = ["held_out_sets", "training_step", "validation_steps"]

VALIDATIONS = 8


def held_out_sets(count: int, share: float, seed: int) -> np.ndarray:
    """Choose the sets that validate: a share of all, at least four and at most 256.

    With fewer than twenty sets there are none to spare: a stop on one or two would be noise.
    """
    if share <= 0 or count < 20:
        return np.zeros(0, dtype=np.int64)
    wanted = min(max(round(share * count), 4), 256)
    order = torch.randperm(count, generator=stream(seed, "held out"))
    return order[:wanted].sort().values.numpy()


def training_step(sampler: Sampler, k: int, device: torch.device) -> Step:
    """Make step k of a sampler, with the noise that belongs to it."""
    context, target, index = sampler.step(k)
    rng = stream(sampler.seed, "noise", k, device=device)
    return Step(context.to(device), target.to(device), index.to(device), k, rng)


def validation_steps(
    collection: Collection, config: TrainConfig, held_out: Sequence[int], device: torch.device
) -> list[Step]:
    """Make the steps that score a run: always the same atoms, sizes across the whole range."""
    if not len(held_out):
        return []
    seed = stream(config.seed, "validation").initial_seed()
    low, high = config.context
    samplers = [
        Sampler(
            collection,
            batch=min(config.batch, len(held_out)),
            context=(round(m), round(m)),
            target=config.target,
            seed=seed,
            indices=held_out,
        )
        for m in np.geomspace(low, high, VALIDATIONS)
    ]
    return [training_step(sampler, k, device) for k, sampler in enumerate(samplers)]
