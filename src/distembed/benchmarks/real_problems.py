"""Held-out halves of images: scanned digits, handwritten characters, and cells of a drug screen.

| problem      | a set                                               | W2                        |
|--------------|-----------------------------------------------------|---------------------------|
| `digits`     | 64 to 256 scans of three digit classes, as the demo | exact OT of pools         |
| `characters` | 20 drawings of a character, a third is held out     | exact OT of other halves  |
| `cells`      | 64 cells of a well, a third is held out             | exact OT of other halves  |

One half of a held-out set is the context, the other half judges samples. A W2 that is measured
between other halves contains their noise: no method has a rank correlation of one with it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.benchmarks.bench import data_folder, held_out_seed
from distembed.benchmarks.pair_distances import every_pair, subset
from distembed.benchmarks.problems import Problem, Sizes
from distembed.data.observations import Observations
from distembed.data.spaces import Images
from distembed.divergences.exact import pairwise_w2
from distembed.evaluation.truth import cached
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label
from distembed.sets.digit_pools import digit_pools
from distembed.sets.mixture_w2 import mixture_w2
from distembed.sets.mixtures import mixtures

__all__ = [
    "CELLS",
    "CHARACTERS",
    "cell_images",
    "cells",
    "character_images",
    "characters",
    "digits",
]

CELLS, CHARACTERS = "images_bbbc013", "omniglot28"
"""Folders of `$DISTEMBED_DATA`."""


def digits(sizes: Sizes, seed: int) -> Problem:
    """Draw mixtures of three digit classes; a context is one half of 64 to 256 scans."""
    train_pool, test_pool = digit_pools(seed=seed)
    train_sets, test_sets = sizes.images
    train = mixtures(train_pool, train_sets, 3, rng=seed)
    test = mixtures(test_pool, test_sets, 3, rng=held_out_seed(seed))
    pairs = every_pair(len(test))
    inputs = [test_pool.batch(range(10)).x.numpy(), np.stack(list(test.meta.values()))]
    w2 = cached("pool_w2", inputs, lambda: mixture_w2(test_pool, test, lambda x: x))
    halves = _halves(test, seed)
    return Problem(train, *halves, pairs, w2[pairs[:, 0], pairs[:, 1]])


def characters(sizes: Sizes, seed: int) -> Problem:
    """Read drawings of characters, a third of which is held out; a context is ten drawings."""
    return _measured(character_images(), sizes, seed)


def cells(sizes: Sizes, seed: int) -> Problem:
    """Read cells of wells, a third of which is held out; a context is 32 cells."""
    return _measured(cell_images(), sizes, seed)


def character_images() -> Sets:
    """Read drawings of characters, one set a character."""
    with np.load(data_folder(CHARACTERS) / "omniglot28.npz") as file:
        images = file["images"][:, None].astype(np.float32)
        parts = (file["alphabet"], file["character"])
    labels = np.array([f"{a} {c}" for a, c in zip(*parts, strict=True)])
    return _labelled(images, labels)


def cell_images() -> Sets:
    """Read cells, one set a well."""
    with np.load(data_folder(CELLS) / "cells_32x32_dna_gfp.npz") as file:
        return _labelled(file["images"].astype(np.float32), file["well"].astype(str))


def _labelled(images: NDArray[np.float32], labels: NDArray[np.str_]) -> Sets:
    observations = Observations(images, {"label": labels})
    return by_label(observations, "label", atoms=Images(0, 255, whole=True))


def _measured(sets: Sets, sizes: Sizes, seed: int) -> Problem:
    """Divide sets into training and held-out ones, and measure W2 on other halves."""
    order = torch.randperm(len(sets), generator=stream(seed, "held out")).numpy()
    train_sets, test_sets = sizes.images
    third = len(sets) // 3
    count = min(third, test_sets)
    context, target = _halves(sets.select(order[:count]), seed)
    pairs = every_pair(count)
    pairs = pairs[subset(len(pairs), sizes.pairs)]
    inputs = [target.x.numpy(), target.offsets.numpy(), pairs]
    rows = torch.from_numpy(pairs)
    w2 = cached("halves_w2", inputs, lambda: pairwise_w2(target, rows).double().numpy())
    train = sets.select(order[third:][:train_sets])
    return Problem(train, context, target, pairs, w2, biased=True)


def _halves(sets: Sets, seed: int) -> tuple[SetBatch, SetBatch]:
    """Divide each set into two halves at random."""
    whole = sets.batch(range(len(sets)))
    half = int(whole.sizes.max())
    return whole.split(half, half, stream(seed, "halves"))
