"""Simple features of sets of molecules: what methylation is summarised by without a model.

- `beta`: the share of methylated calls at each place, as arrays report it.
- `reads`: at each place the histogram of the methylation of molecules, in five bins, and its mean.
- `kmers`: mean shares of words of calls and places.

The first two have their logarithms beside them, log(share + 0.01), as the share of a tumour is
predicted by its logarithm. A place that no molecule of a set covers has the mean of the training
sets.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.apps.outcomes import Inputs
from distembed.batch import SetBatch
from distembed.encoders.sequence_features import mean_kmers
from distembed.sets.collection import Sets

__all__ = ["beta", "molecule_methylation", "reads", "simple_inputs"]

Array = NDArray[np.float64]


def simple_inputs(train: Sets, test: Sets) -> dict[str, Inputs]:
    """Compute the features of training and held-out sets, by name."""
    vocab = int(train.atoms.facts["vocab"])
    batches = [sets.batch(range(len(sets))) for sets in (train, test)]
    inputs = {}
    for name, function in (("beta", beta), ("reads", reads)):
        first, second = (function(batch, vocab) for batch in batches)
        usual = np.nanmean(first, 0)
        whole = [np.where(np.isnan(f), usual, f) for f in (first, second)]
        inputs[name] = Inputs(*(np.concatenate([f, np.log(f + 0.01)], 1) for f in whole))
    inputs["kmers"] = Inputs(*(mean_kmers(batch, vocab, 512).numpy() for batch in batches))
    return inputs


def molecule_methylation(batch: SetBatch) -> Tensor:
    """Return the share of methylated calls of each molecule, `(N,)`; NaN without a call."""
    methylated, not_methylated = ((batch.x == token).sum(1).double() for token in (1, 2))
    return methylated / (methylated + not_methylated)


def beta(batch: SetBatch, vocab: int) -> Array:
    """Return the share of methylated calls at each place, `(B, P)`; NaN where there is none.

    Args:
        batch: Molecules, whose first symbol is their place if there are several.
        vocab: Size of their alphabet.

    Example:
        >>> batch = SetBatch.from_list([torch.tensor([[4, 1, 2], [4, 1, 1], [5, 2, 0]])])
        >>> beta(batch, vocab=5).tolist()
        [[0.75, 0.0]]
    """
    inside = _places(batch, vocab)
    calls = [(batch.x == token).sum(1, keepdim=True).double() for token in (1, 2)]
    first, second = (batch.mean(inside * call) for call in calls)
    return np.asarray((first / (first + second)).numpy())


def reads(batch: SetBatch, vocab: int, bins: int = 5) -> Array:
    """Return mean and histogram of the methylation of molecules at each place, `(B, P (1 + K))`.

    Args:
        batch: As of `beta`.
        vocab: Size of their alphabet.
        bins: Number K of bins between 0 and 1.

    Example:
        >>> batch = SetBatch.from_list([torch.tensor([[1, 2], [1, 1], [2, 2], [2, 2]])])
        >>> reads(batch, vocab=3, bins=2).tolist()
        [[0.375, 0.5, 0.5]]
    """
    share = molecule_methylation(batch)
    called = share.isfinite().double()[:, None]
    share = share.nan_to_num()[:, None]
    number = (share * bins).long().clamp(max=bins - 1)
    histogram = torch.zeros(len(share), bins, dtype=torch.float64).scatter_(1, number, 1)
    values = torch.cat([share, histogram], 1) * called
    columns = []
    for place in _places(batch, vocab).unbind(1):
        total = batch.mean(place[:, None] * called)
        columns.append(batch.mean(place[:, None] * values) / total)
    return np.asarray(torch.cat(columns, 1).numpy())


def _places(batch: SetBatch, vocab: int) -> Tensor:
    """Return at which place each molecule is, one-hot, `(N, P)`."""
    if vocab == 3:
        return torch.ones(len(batch.x), 1, dtype=torch.float64)
    return (batch.x[:, :1] == torch.arange(4, vocab + 1)).double()
