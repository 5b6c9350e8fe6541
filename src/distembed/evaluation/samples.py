"""Comparison of atoms drawn from embeddings with held-out atoms of the same sets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.evaluation.baselines import affordable_atoms
from distembed.evaluation.bootstrap import mean
from distembed.evaluation.floors import gaussian, pooled, truth_again
from distembed.evaluation.halves import Evaluated, Halves, draw
from distembed.evaluation.metrics import METRICS
from distembed.evaluation.result import Score, compare
from distembed.rng import stream

__all__ = ["samples"]

_METRICS = ("energy_unbiased", "w2_debiased", "sliced_w2_debiased")
_OT_ATOMS = 1024


@torch.no_grad()
def samples(
    models: Mapping[str, Evaluated],
    z: Mapping[str, Tensor],
    sets: Halves,
    counts: NDArray[np.float64],
    seed: int,
) -> list[Score]:
    """Score samples of models, beside those of baselines, against the target halves.

    The metrics need two atoms, so the means are over sets with two atoms in each half.

    Args:
        models: By method; those without `sample` are left out.
        z: Their embeddings of the contexts, `(S, L)` each.
        sets: The halves.
        counts: Resamples of the sets, `(R, S)`.
        seed: Seed of every draw.

    Returns:
        Scores of the metrics of samples; none if no model can sample or no set has enough atoms.
    """
    large = ((sets.context.sizes > 1) & (sets.target.sizes > 1)).nonzero().flatten()
    sizes = sets.target.sizes.tolist()
    draws = {
        name: draw(model, z[name], sets, seed)
        for name, model in models.items()
        if hasattr(model, "sample")
    }
    if not draws or not len(large):
        return []
    draws["mean_cov"] = gaussian(sets.context, sizes, seed)
    draws["pooled"] = pooled(sets.context, sizes, seed)
    # the same weights as those of the target make both samples equally noisy
    draws = {k: drawn.replace(w=sets.target.w) for k, drawn in draws.items()}
    draws["floor"] = truth_again(sets.context, sizes, seed)
    target, draws = sets.target.select(large), {k: d.select(large) for k, d in draws.items()}
    notes = {"floor": "the context half itself"}
    if len(large) < len(sizes):
        notes = dict.fromkeys(draws, f"{len(large)} sets with two atoms in each half") | notes
    exact = 2 * affordable_atoms(4 * len(large) * len(draws), _OT_ATOMS // 2)
    scores = []
    for name in _METRICS:
        atoms = exact if name == "w2_debiased" else max(sizes)
        values = {k: _compared(name, d, target, atoms, seed) for k, d in draws.items()}
        remarks = {
            k: "; ".join(filter(None, (notes.get(k), f"at most {atoms} atoms a set")))
            for k in draws
        }
        estimates = {k: mean(v, counts[:, large.numpy()]) for k, v in values.items()}
        scores += compare(name, estimates, remarks if atoms < max(sizes) else notes)
    return scores


def _compared(
    name: str, drawn: SetBatch, target: SetBatch, atoms: int, seed: int
) -> NDArray[np.float64]:
    """Compare at most so many atoms of each set, `(S,)`."""
    # one seed, so that sets of equal sizes and weights keep equal weights
    a, b = (sets.subsample(atoms, stream(seed, "exact")) for sets in (drawn, target))
    values: NDArray[np.float64] = METRICS[name].load()(a, b).double().numpy()
    return values
