"""Held-out sets from known distributions, and pairs of them whose true W2 is known.

W2 of Gaussians has a formula and is known for all pairs. Of mixtures it is measured for a random
choice of pairs. Embeddings and baselines are graded by the rank correlation of their distances
with it; exact OT, as a baseline, takes the same number of pairs at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from distembed.batch import SetBatch
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.evaluation import BASELINES
from distembed.evaluation.baselines import pair_distances
from distembed.evaluation.bootstrap import spearman
from distembed.evaluation.truth import measured_w2
from distembed.registry import lookup
from distembed.rng import stream

__all__ = ["COSTLY", "FEW_PAIRS", "Exam"]

FEW_PAIRS = 400
"""Exact OT, as truth and as a baseline, is solved for so many random pairs."""
COSTLY = ("ot", "ot_standardised")


@dataclass(frozen=True)
class Exam:
    """Sets, pairs of them, and their W2.

    Attributes:
        batch: The sets.
        pairs: `(P, 2)`.
        w2: Of the true distributions, `(P,)`.
        agreement: Of two measurements of W2; None where it has a formula.
        names: Baselines.

    Example:
        >>> exam = Exam.of(Gaussians.prior(10, 2, 10, size=50), ["mean"])
        >>> exam.grade(exam.batch.mean(exam.batch.x)) == exam.baselines["mean"]
        True
    """

    batch: SetBatch
    pairs: NDArray[np.int64]
    w2: NDArray[np.float64]
    agreement: float | None
    names: tuple[str, ...]

    @classmethod
    def of(
        cls, test: Gaussians | Mixtures, names: Sequence[str] = tuple(BASELINES), points: int = 800
    ) -> Exam:
        """Examine on the own atoms of known distributions.

        Args:
            test: The distributions.
            names: Baselines.
            points: Atoms of each set that W2 is measured on where it has no formula.
        """
        batch = test.batch(range(len(test)))
        pairs = np.stack(np.triu_indices(len(test), 1), 1)
        if isinstance(test, Gaussians):
            return cls(batch, pairs, test.w2(*pairs.T), None, tuple(names))
        pairs = pairs[_some(len(pairs))]
        truth = measured_w2(test, pairs, points, test.seed)
        return cls(batch, pairs, truth.w2, truth.agreement, tuple(names))

    def grade(self, z: ArrayLike) -> float:
        """Correlate the Euclidean distances of embeddings `(S, L)` with W2."""
        distances = pair_distances(torch.as_tensor(z), torch.from_numpy(self.pairs))
        return self._correlation(distances, np.arange(len(self.pairs)))

    @cached_property
    def baselines(self) -> dict[str, float]:
        """What the baselines score on the same atoms."""
        scores = {}
        for name in self.names:
            which = _some(len(self.pairs)) if name in COSTLY else np.arange(len(self.pairs))
            baseline = lookup(BASELINES, name, "baseline")()
            distances = baseline(self.batch, torch.from_numpy(self.pairs[which]))
            scores[name] = self._correlation(distances, which)
        return scores

    def _correlation(self, distances: torch.Tensor, which: NDArray[np.int64]) -> float:
        once = np.ones((1, len(self.batch)))
        found = distances.double().numpy()
        return spearman(found, self.w2[which], self.pairs[which], once).value


def _some(pairs: int) -> NDArray[np.int64]:
    """Choose at most `FEW_PAIRS` of the pairs, always the same."""
    order = torch.randperm(pairs, generator=stream("pairs", pairs))
    chosen: NDArray[np.int64] = order[:FEW_PAIRS].sort().values.numpy()
    return chosen
