"""Baseline distances between sets of sequences: of mean shares of k-mers, and of positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.encoders.sequence_features import SequenceFeatures, mean_features
from distembed.evaluation.baselines import pair_distances

__all__ = ["KmerMeans", "PositionMeans"]


@dataclass(frozen=True)
class KmerMeans:
    """The distance of mean shares of k-mers.

    Args:
        order: k; the largest up to 4 with at most 4096 k-mers if left out.
    """

    order: int | None = None
    costly: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare the means."""
        vocab = max(1, int(batch.x.max()))
        k = self.order or max(k for k in (1, 2, 3, 4) if k == 1 or vocab**k <= 4096)
        features = SequenceFeatures(batch.x.shape[1], vocab, orders=(k,))
        means = mean_features(
            batch, lambda x: features.spectrum(x, torch.ones(1)), features.spectrum_sizes[0]
        )
        return pair_distances(means, pairs)


@dataclass(frozen=True)
class PositionMeans:
    """The distance of the frequencies of symbols at every position, from the start."""

    costly: ClassVar[bool] = False

    def __call__(self, batch: SetBatch, pairs: Tensor) -> Tensor:
        """Compare the frequencies."""
        vocab = max(1, int(batch.x.max()))
        shares = [batch.mean((batch.x == token).double()) for token in range(1, vocab + 1)]
        return pair_distances(torch.cat(shares, 1), pairs)
