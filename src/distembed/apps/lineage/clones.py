"""Vectors of clones in two phases: before the last day, and on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.apps.lineage.data import SHARE
from distembed.sets.collection import Sets

__all__ = ["Phases", "atom_means", "compositions", "phases"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Phases:
    """Vectors of clones that have cells in both phases.

    Attributes:
        clones: Names, `(C,)`.
        early: Mean over the sets before the last day, `(C, F)`.
        late: The set of the last day, `(C, F)`.
    """

    clones: NDArray[np.str_]
    early: Array
    late: Array


def phases(values: Array, sets: Sets, last: float) -> Phases:
    """Average vectors of sets of one clone on one day into an early and a late one.

    Args:
        values: A vector of each set, `(S, F)`.
        sets: The sets, with metadata `clone` and `day`.
        last: The late day.

    Example:
        >>> from distembed.sets.read import read
        >>> sets = read([[[0.0]]] * 3, min_size=1)
        >>> sets = sets.with_meta({"clone": ["a", "a", "a"], "day": [2.0, 4.0, 6.0]})
        >>> parts = phases(np.array([[1.0], [3.0], [7.0]]), sets, 6.0)
        >>> parts.early.tolist(), parts.late.tolist()
        ([[2.0]], [[7.0]])
    """
    clone, late = sets.meta["clone"], sets.meta["day"] == last
    both = np.intersect1d(clone[late], clone[~late])
    early = [values[(clone == name) & ~late].mean(0) for name in both]
    final = [values[(clone == name) & late].mean(0) for name in both]
    return Phases(both, np.array(early), np.array(final))


def atom_means(sets: Sets, transform: Callable[[torch.Tensor], torch.Tensor]) -> Array:
    """Return the mean of the transformed atoms of each set, `(S, F)`."""
    means = []
    for number in range(len(sets)):
        batch = sets.batch([number])
        with torch.no_grad():
            means.append(batch.mean(transform(batch.x).double().flatten(1))[0].numpy())
    return np.array(means)


def compositions(sets: Sets) -> tuple[list[str], Array]:
    """Return the cell types, and the share of each in each set, `(S, K)`."""
    names = [name for name in sets.meta if name.startswith(SHARE)]
    shares = np.stack([sets.meta[name] for name in names], axis=1)
    return [name.removeprefix(SHARE) for name in names], shares
