"""Sets with a label each, and what folds keep together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.sets.collection import Sets

__all__ = ["Cohort"]


@dataclass(frozen=True)
class Cohort:
    """Sets with labels.

    Attributes:
        sets: The sets.
        target: The target, `(S,)`; text for classes.
        groups: What folds keep together, `(S,)`; None if each set is a group.
        folds: Number of folds that the design asks for, as one for each dose; None if any.
    """

    sets: Sets
    target: NDArray[Any]
    groups: NDArray[Any] | None = None
    folds: int | None = None

    @property
    def classes(self) -> bool:
        """Whether the target is of classes."""
        return self.target.dtype.kind == "U"

    def thinned(self, most: int, rng: np.random.Generator) -> Cohort:
        """Return a cohort of at most so many sets, of classes as many of each as there are."""
        if len(self.sets) <= most:
            return self
        order = rng.permutation(len(self.sets))
        if self.classes:
            rank = np.zeros(len(order), dtype=np.int64)
            for label in np.unique(self.target):
                own = np.flatnonzero(self.target[order] == label)
                rank[own] = np.arange(len(own))
            order = order[np.argsort(rank, kind="stable")]
        rows = np.sort(order[:most])
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, sets=self.sets.select(rows), target=self.target[rows], groups=groups)
