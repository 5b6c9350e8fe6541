"""Draw the steps of a run: sets, context, target and noise are a pure function of (seed, k)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.protocols import Collection, Step
from distembed.rng import stream
from distembed.sets.sampler import Sampler
from distembed.training.config import TrainConfig

__all__ = ["held_out_sets", "training_sampler", "training_step", "validation_steps"]


def held_out_sets(count: int, share: float, seed: int) -> NDArray[np.int64]:
    """Choose the sets that validate: a share of all, at least 4 and at most 256.

    With fewer than 20 sets there are none, because early stopping on one or two sets would
    follow noise.
    """
    if share <= 0 or count < 20:
        return np.zeros(0, dtype=np.int64)
    size = min(max(round(share * count), 4), 256)
    order = torch.randperm(count, generator=stream(seed, "held out"))
    return order[:size].sort().values.numpy()


def training_sampler(
    collection: Collection, config: TrainConfig, indices: Sequence[int]
) -> Sampler:
    """Build the sampler of the training steps; a batch is no larger than the number of sets."""
    return Sampler(
        collection,
        batch=min(config.batch, len(indices)),
        context=config.context,
        target=config.target,
        seed=config.seed,
        indices=indices,
    )


def training_step(
    sampler: Sampler, k: int, device: torch.device, part: int = 0, parts: int = 1
) -> Step:
    """Draw a part of step k of a sampler, or all of it, with the noise that belongs to it."""
    context, target, index = sampler.step(k, part, parts)
    keys = (part, parts) if parts > 1 else ()
    rng = stream(sampler.seed, "noise", k, *keys, device=device)
    return Step(context.to(device), target.to(device), index.to(device), k, rng)


def validation_steps(
    collection: Collection,
    config: TrainConfig,
    held_out: Sequence[int],
    device: torch.device,
    sizes: int = 8,
) -> list[Step]:
    """Draw the steps that validate a run, always the same.

    Args:
        collection: The sets.
        config: Settings of the run.
        held_out: The sets that validate; without any there are no steps.
        device: Where the steps are used.
        sizes: Number of context sizes, spaced geometrically over `config.context`.
    """
    if not len(held_out):
        return []
    seed = stream(config.seed, "validation").initial_seed()
    samplers = [
        Sampler(
            collection,
            batch=min(config.batch, len(held_out)),
            context=(round(m), round(m)),
            target=config.target,
            seed=seed,
            indices=held_out,
        )
        for m in np.geomspace(*config.context, sizes)
    ]
    return [training_step(sampler, k, device) for k, sampler in enumerate(samplers)]
