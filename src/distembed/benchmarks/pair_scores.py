"""Scores of distances between held-out sets: correlations with W2, errors, and paired leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from distembed.benchmarks.pair_distances import Distances
from distembed.benchmarks.problems import Problem
from distembed.evaluation.result import Score

__all__ = ["PairScores"]


@dataclass(frozen=True)
class PairScores:
    """Distances of all methods, and the truth.

    Attributes:
        problem: The pairs and their W2.
        distances: Distances by method; `gde` is among them.
        task: Name of the task; that of the trial if empty.
    """

    problem: Problem
    distances: Mapping[str, Distances]
    task: str = ""

    def all(self) -> Iterator[Score]:
        """Yield every score."""
        problem = self.problem
        yield from self.correlations()
        yield from self._spearman("spearman_w2_near", problem.w2, problem.near_w2)
        if problem.mw2 is not None:
            yield from self._spearman("spearman_mw2", problem.mw2)
        for method, own in self.distances.items():
            w2 = problem.w2[own.rows]
            pearson = float(np.corrcoef(own.values, w2)[0, 1])
            yield Score("pearson_w2", method, pearson, task=self.task)
            if own.in_units and not problem.biased:
                error = float(np.median(np.abs(own.values / w2 - 1)))
                yield Score("relative_error", method, error, task=self.task)

    def correlations(self) -> Iterator[Score]:
        """Yield the rank correlations with W2 over all pairs, and the leads of `gde`."""
        yield from self._spearman("spearman_w2", self.problem.w2)

    def _spearman(
        self, metric: str, truth: NDArray[np.float64], near: float | None = None
    ) -> Iterator[Score]:
        """Yield one rank correlation of every method, and the lead of `gde` on the same pairs."""
        gde = self.distances["gde"]
        for method, own in self.distances.items():
            value = own.spearman(truth, near)
            if not np.isfinite(value):
                continue
            yield Score(metric, method, value, task=self.task)
            if method != "gde":
                same = replace(gde, values=gde.values[own.rows], rows=own.rows)
                lead = same.spearman(truth, near) - value
                yield Score(f"{metric}_lead", method, lead, task=self.task)
