"""Whether distances of embeddings order pairs of sets as W2 does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distembed.divergences.exact import pairwise_w2
from distembed.evaluation import BASELINES
from distembed.evaluation.baselines import (
    ExactDistance,
    ShapeDistance,
    affordable_atoms,
    latent_distances,
)
from distembed.evaluation.bootstrap import spearman
from distembed.evaluation.halves import Halves
from distembed.evaluation.result import Pairs, Score, compare
from distembed.registry import lookup
from distembed.rng import stream

__all__ = ["Truth", "geometry", "truth_of"]

_ALL_PAIRS_OF = 1000
_LEAST_ATOMS = 50
_LEAST_SETS = 12
_OT_ATOMS = 512
_NEAR = 0.1


@dataclass(frozen=True)
class Truth:
    """W2 of pairs of sets.

    Attributes:
        index: The pairs, `(P, 2)`.
        w2: Their distances, `(P,)`.
        source: Where the distances are from.
        exact: Whether they are known, and not measured on samples.
    """

    index: Tensor
    w2: NDArray[np.float64]
    source: str
    exact: bool


@dataclass(frozen=True)
class _Known:
    """Distances of some of the pairs, and which."""

    values: NDArray[np.float64]
    where: Tensor


def truth_of(sets: Halves, truth: NDArray[Any] | None, pairs: int, seed: int) -> Truth:
    """Choose pairs of sets and find their W2.

    All pairs of up to 1000 sets where the truth `(S, S)` is given. Else it is measured on at most
    `pairs`, between equal subsamples of the target halves, of sets with 50 atoms there; of all
    sets, and said so, where fewer than 12 have them.

    Raises:
        ValueError: If the truth has another shape or is not a matrix of distances.
    """
    if truth is not None:
        w2 = _checked(truth, len(sets.target))
        every = _ALL_PAIRS_OF * (_ALL_PAIRS_OF - 1) // 2
        index = _some(torch.combinations(torch.arange(len(w2))), max(pairs, every), seed)
        i, j = index.numpy().T
        return Truth(index, w2[i, j], "given", True)
    large = (sets.target.sizes >= _LEAST_ATOMS).nonzero().flatten()
    enough = len(large) >= _LEAST_SETS
    chosen = large if enough else torch.arange(len(sets.target))
    index = _some(torch.combinations(chosen), pairs, seed)
    most = affordable_atoms(3 * len(index), _OT_ATOMS)
    atoms = min(most, int(sets.target.sizes[chosen].min())) if enough else most
    few = sets.target.subsample(atoms, stream(seed, "truth"))
    source = f"exact OT between target halves of {len(chosen)} sets, "
    source += (
        f"{atoms} atoms each" if enough else f"at most {atoms} atoms, some below {_LEAST_ATOMS}"
    )
    return Truth(index, pairwise_w2(few, index).double().numpy(), source, False)


@torch.no_grad()
def geometry(
    z: Mapping[str, Tensor],
    sets: Halves,
    truth: Truth,
    baselines: Sequence[str],
    counts: NDArray[np.float64],
    pairs: int,
    seed: int,
    say: Callable[[str], None],
) -> tuple[list[Score], Pairs]:
    """Correlate latent and baseline distances with W2.

    Args:
        z: Embeddings `(S, L)` by method; `gde` among them.
        sets: The halves; baselines see the contexts.
        truth: Pairs and their W2.
        baselines: Names of baselines.
        counts: Resamples of the sets, `(R, S)`.
        pairs: Baselines of exact OT take at most so many pairs.
        seed: Of the choice among them.
        say: Told what is being done.

    Returns:
        Rows of `spearman_w2` and `spearman_w2_near`, and the pairs behind them.
    """
    every = torch.arange(len(truth.index))
    some, notes = _some(every, pairs, seed), {}
    known = {
        name: _Known(latent_distances(v, truth.index).numpy(), every) for name, v in z.items()
    }
    for name in baselines:
        baseline = lookup(BASELINES, name, "baseline")()
        costly = isinstance(baseline, ExactDistance | ShapeDistance)
        which = some if costly else every
        say(f"distances by {name}, {len(which)} pairs")
        known[name] = _Known(baseline(sets.context, truth.index[which]).double().numpy(), which)
        if len(which) < len(every):
            notes[name] = f"on {len(which)} of the {len(every)} pairs"
    if not truth.exact:
        if "ot" not in known:
            say("distances by exact OT, for the floor")
        known["floor"] = known.get("ot") or _Known(
            ExactDistance()(sets.context, truth.index).double().numpy(), every
        )
        notes["floor"] = "exact OT on the other halves"
    say(f"rank correlations of {len(known)} methods, in {len(counts)} resamples of the sets")
    index = truth.index.numpy()
    near = float(np.quantile(truth.w2, _NEAR))
    rows = []
    for metric, threshold in (("spearman_w2", None), ("spearman_w2_near", near)):
        estimates = {
            name: spearman(d.values, truth.w2[d.where], index[d.where], counts, threshold)
            for name, d in known.items()
        }
        rows += compare(metric, estimates, notes)
    return rows, Pairs(known["gde"].values, truth.w2, index)


def _some(of: Tensor, most: int, seed: int) -> Tensor:
    """All rows of a tensor, or a random choice of them."""
    if len(of) <= most:
        return of
    return of[torch.randperm(len(of), generator=stream(seed, "pairs"))[:most]]


def _checked(truth: NDArray[Any], sets: int) -> NDArray[np.float64]:
    w2 = np.asarray(truth, dtype=np.float64)
    if w2.shape != (sets, sets):
        raise ValueError(
            f"truth has shape {w2.shape}; expected the W2 of every pair, ({sets}, {sets})."
        )
    if not np.isfinite(w2).all() or (w2 < 0).any() or not np.allclose(w2, w2.T):
        raise ValueError("truth is not a matrix of distances: finite, not negative, symmetric.")
    return w2
