"""Distances of pairs of sets, by models and by baselines, and their correlation with a truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.evaluation import BASELINES
from distembed.evaluation.baselines import Baseline
from distembed.registry import NamedMember, build, split_member
from distembed.rng import stream

__all__ = ["COSTLY", "Distances", "baseline_distances", "every_pair", "subset"]

COSTLY = ("kmeans_emd", "ot", "ot_standardised")
"""Baselines that solve a problem of exact OT for each pair."""
_IN_UNITS = ("bures", "lot", "kmeans_emd", "ot")  # baselines in units of W2
Array = NDArray[np.float64]
Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class Distances:
    """Distances by one method.

    Attributes:
        values: The distances, `(K,)`.
        rows: The pairs that are compared, among those of a problem, `(K,)`.
        in_units: Whether they are in units of W2.
    """

    values: Array
    rows: Pairs
    in_units: bool = False

    @classmethod
    def of_matrix(cls, matrix: Array, pairs: Pairs, in_units: bool = False) -> Distances:
        """Take the distances of all pairs `(P, 2)` from a matrix `(S, S)`."""
        return cls(matrix[pairs[:, 0], pairs[:, 1]], np.arange(len(pairs)), in_units)

    def spearman(self, truth: Array, near: float | None = None) -> float:
        """Rank-correlate the distances with those of all pairs of the problem, `(P,)`.

        Args:
            truth: True distances.
            near: Keep only pairs with true distances up to this.

        Returns:
            The correlation; NaN if fewer than three pairs remain.

        Example:
            >>> own = Distances(np.array([1.0, 3.0, 2.0]), np.array([0, 1, 3]))
            >>> round(own.spearman(np.array([1.0, 2.0, 9.0, 4.0])), 6)
            0.5
        """
        from scipy.stats import spearmanr

        other = truth[self.rows]
        keep = np.full(len(other), True) if near is None else other <= near
        if keep.sum() < 3:
            return float("nan")
        return float(spearmanr(self.values[keep], other[keep]).statistic)


def baseline_distances(
    members: Sequence[NamedMember], batch: SetBatch, pairs: Pairs, costly_pairs: int
) -> dict[str, Distances]:
    """Return the distances of pairs by baselines.

    Args:
        members: Members of `BASELINES`.
        batch: The sets.
        pairs: Rows of the two sets of each pair, `(P, 2)`.
        costly_pairs: Most pairs of a baseline that solves a transport problem for each.
    """
    distances = {}
    for member in members:
        name, _ = split_member(member, "baseline", BASELINES)
        baseline: Baseline = build(BASELINES, member, "baseline")
        rows = subset(len(pairs), costly_pairs if baseline.costly else len(pairs))
        values = baseline(batch, torch.from_numpy(pairs[rows])).double().numpy()
        distances[name] = Distances(values, rows, name in _IN_UNITS)
    return distances


def every_pair(sets: int) -> Pairs:
    """Return all pairs of sets, `(P, 2)`."""
    return np.stack(np.triu_indices(sets, 1), 1)


def subset(pairs: int, limit: int) -> Pairs:
    """Choose at most `limit` of the pairs at random, always the same."""
    order = torch.randperm(pairs, generator=stream("pairs", pairs))
    chosen: Pairs = order[:limit].sort().values.numpy()
    return chosen
