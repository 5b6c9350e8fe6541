"""Clades of drawn proteins, by their nearest training protein, and shares of clades of a set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.edit import hamming
from distembed.protocols import AtomSpace

__all__ = ["clade_distance", "column_frequencies", "nearest_sets"]

Array = NDArray[np.float64]


def nearest_sets(x: Tensor, train: SetBatch, space: AtomSpace, rows: int = 256) -> Tensor:
    """Return the set of the nearest training protein of each protein, `(N,)`.

    Args:
        x: Proteins, `(N, T)`.
        train: Training sets.
        space: The kind of atoms, whose distance is used.
        rows: Proteins that are compared at a time.
    """
    distance = hamming if space.facts["aligned"] else space.distance
    nearest = torch.cat([distance(part, train.x).argmin(1) for part in x.split(rows)])
    return train.owner[nearest]


def clade_distance(a: Sequence[str], b: Sequence[str]) -> float:
    """Return half the sum of differences of the shares of clades (total variation).

    Example:
        >>> clade_distance(["A", "A", "B", "B"], ["A", "A", "A", "A"])
        0.5
    """
    names = sorted({*a, *b})
    first, second = (np.array([list(v).count(n) / len(v) for n in names]) for v in (a, b))
    return float(np.abs(first - second).sum() / 2)


def column_frequencies(x: Tensor, vocab: int) -> Array:
    """Return the share of each residue in each column, `(T, V)`.

    Example:
        >>> column_frequencies(torch.tensor([[1, 2], [1, 1]]), vocab=2).tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    shares = [(x == token).double().mean(0) for token in range(1, vocab + 1)]
    return np.asarray(torch.stack(shares, 1).numpy())
