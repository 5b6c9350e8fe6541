"""Encoders and batches that the tests of inference share."""

import torch

from distembed.batch import SetBatch
from distembed.encoders.deepsets import DeepSets
from distembed.protocols import EncoderTraits
from distembed.rng import stream


class Functional:
    """An encoder from a function of the batch."""

    latent = 2

    def __init__(self, function, smooth=True):
        self.function, self.traits = function, EncoderTraits(smooth=smooth)

    def __call__(self, batch):
        return self.function(batch)


def ragged(key, sizes=(16, 30, 25), weighted=True, shift=0.0, d=2):
    """Draw normal sets of several sizes."""
    rng = stream("ragged", key)
    sets = [shift + torch.randn(m, d, generator=rng, dtype=torch.float64) for m in sizes]
    weights = [torch.rand(m, generator=rng, dtype=torch.float64) + 0.1 for m in sizes]
    return SetBatch.from_list(sets, weights if weighted else None)


def small_deepsets(latent=12, dtype=torch.float64):
    torch.manual_seed(0)
    encoder = DeepSets((2,), latent, width=16, depth=1)
    return encoder.to(dtype)
