"""How far atoms drawn from embeddings are from atoms of the same sets that made none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.energy import Energy
from distembed.divergences.exact import ExactW2
from distembed.divergences.sliced import SlicedW2
from distembed.evaluation.baselines import affordable_atoms
from distembed.evaluation.bootstrap import mean
from distembed.evaluation.floors import gaussian, pooled, truth_again
from distembed.evaluation.halves import Evaluated, Halves, draw
from distembed.evaluation.result import Row, compare
from distembed.rng import stream

__all__ = ["reconstruction"]

_OT_ATOMS = 512


@torch.no_grad()
def reconstruction(
    models: Mapping[str, Evaluated],
    z: Mapping[str, Tensor],
    sets: Halves,
    counts: NDArray[np.float64],
    seed: int,
) -> list[Row]:
    """Compare draws with the target halves.

    Args:
        models: By method; those without `sample` are left out.
        z: Their embeddings of the contexts, `(S, L)` each.
        sets: The halves.
        counts: Resamples of the sets, `(R, S)`.
        seed: Seed of every draw.

    Returns:
        Rows of `sliced_w2`, `energy` and `w2`; none where no model can sample.
    """
    sizes = sets.target.sizes.tolist()
    drawn = {
        name: draw(model, z[name], sets, seed)
        for name, model in models.items()
        if hasattr(model, "sample")
    }
    if not drawn:
        return []
    drawn["mean_cov"] = gaussian(sets.context, sizes, seed)
    drawn["pooled"] = pooled(sets.context, sizes, seed)
    drawn["floor"] = truth_again(sets.context, sizes, seed)
    atoms = affordable_atoms(len(sizes) * len(drawn), _OT_ATOMS)

    def few(batch: SetBatch) -> SetBatch:
        return batch.subsample(atoms, stream(seed, "exact"))

    note = f"at most {atoms} atoms a set" if max(sizes) > atoms else ""
    metrics = {
        "sliced_w2": {k: SlicedW2()(s, sets.target) for k, s in drawn.items()},
        "energy": {k: Energy()(s, sets.target) for k, s in drawn.items()},
        "w2": {k: ExactW2()(few(s), few(sets.target)) for k, s in drawn.items()},
    }
    return [
        row
        for metric, values in metrics.items()
        for row in compare(
            metric,
            {k: mean(v.double().numpy(), counts) for k, v in values.items()},
            {"floor": "the context itself"} | ({k: note for k in drawn} if metric == "w2" else {}),
        )
    ]
