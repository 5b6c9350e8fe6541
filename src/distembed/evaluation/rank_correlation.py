"""Rank correlation of distances with W2, beside baseline distances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.evaluation.baselines import Baseline, ExactDistance
from distembed.evaluation.bootstrap import spearman
from distembed.evaluation.halves import HeldOutHalves
from distembed.evaluation.result import Pairs, Score, compare
from distembed.evaluation.truth import ReferenceW2, random_rows

__all__ = ["score_geometry"]


@dataclass(frozen=True)
class _Distances:
    """Distances of a method, `(K,)`, for the rows `(K,)` of the reference."""

    values: NDArray[np.float64]
    rows: Tensor


@torch.no_grad()
def score_geometry(
    models: Mapping[str, NDArray[np.float64]],
    sets: HeldOutHalves,
    reference: ReferenceW2,
    baselines: Mapping[str, Baseline],
    counts: NDArray[np.float64],
    *,
    pairs: int,
    near: float,
    seed: int,
    say: Callable[[str], None],
) -> tuple[list[Score], Pairs]:
    """Correlate the distances of models and of baselines with W2.

    Args:
        models: Distances of the pairs of the reference, `(P,)`, by method; `gde` among them.
        sets: The halves; baselines use the contexts.
        reference: Pairs and their W2.
        baselines: Baseline distances by method.
        counts: Resamples of the sets, `(R, S)`.
        pairs: Baselines of exact OT use at most so many pairs.
        near: Share of the pairs that are called near.
        seed: Seed of the choice among pairs.
        say: Called with lines of progress.

    Returns:
        Scores of `spearman_w2` and `spearman_w2_near`, and the pairs behind them.
    """
    index = reference.index
    every = torch.arange(len(index))
    sample = random_rows(every, pairs, seed)
    distances = {name: _Distances(values, every) for name, values in models.items()}
    notes = {}
    for name, baseline in baselines.items():
        rows = sample if baseline.costly else every
        say(f"distances by {name}, {len(rows)} pairs")
        distances[name] = _measured(baseline, sets.context, index, rows)
        if len(rows) < len(every):
            notes[name] = f"on {len(rows)} of the {len(every)} pairs"
    if not reference.exact:
        if "ot" not in distances:
            say("distances by exact OT, for the floor")
        distances["floor"] = distances.get("ot") or _measured(
            ExactDistance(distance=sets.distance), sets.context, index, every
        )
        notes["floor"] = "exact OT on the other halves"
    say(f"rank correlations of {len(distances)} methods, in {len(counts)} resamples of the sets")
    threshold = float(np.quantile(reference.w2, near))
    scores = []
    for metric, largest in (("spearman_w2", None), ("spearman_w2_near", threshold)):
        estimates = {
            k: spearman(d.values, reference.w2[d.rows], index[d.rows].numpy(), counts, largest)
            for k, d in distances.items()
        }
        scores += compare(metric, estimates, notes)
    return scores, Pairs(distances["gde"].values, reference.w2, index.numpy())


def _measured(baseline: Baseline, context: SetBatch, index: Tensor, rows: Tensor) -> _Distances:
    return _Distances(baseline(context, index[rows]).double().numpy(), rows)
