r"""Comparison of drawn atoms with held-out atoms of the same sets.

All methods are compared with the target half of a set. Beside the models stand

- `mean_cov`: draws from a Gaussian with the mean and covariance of the context;
- `pooled`: atoms of the other sets, the samples of a model that ignores its embedding;
- `floor`: the context half itself, a second sample of the true distribution. It shows the value of
  an unbiased metric for perfect samples, zero up to noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.divergences.pairing import pieces
from distembed.evaluation import SAMPLE_BASELINES
from distembed.evaluation.baselines import affordable_atoms
from distembed.evaluation.bootstrap import mean
from distembed.evaluation.halves import EvaluationConfig, HeldOutHalves
from distembed.evaluation.metrics import metric
from distembed.evaluation.result import Score, compare
from distembed.evaluation.subject import Subject
from distembed.registry import applicable, lookup
from distembed.rng import stream

__all__ = ["context_half", "draw", "gaussian", "pooled", "score_samples"]


@torch.no_grad()
def score_samples(
    models: Mapping[str, tuple[Subject, NDArray[Any]]],
    sets: HeldOutHalves,
    atoms: str,
    counts: NDArray[np.float64],
    config: EvaluationConfig,
    seed: int,
) -> list[Score]:
    """Score samples of models, beside those of baselines, against the target halves.

    The metrics compare pairs of atoms within a sample, so the means are over the sets
    `HeldOutHalves.with_pairs`.

    Args:
        models: Models and their embeddings of the contexts, `(S, L)`, by method; `gde` among them.
        sets: The halves.
        atoms: The kind of atoms.
        counts: Resamples of the sets, `(R, S)`.
        config: Metrics, and the largest number of atoms in exact optimal transport.
        seed: Seed of every draw.

    Returns:
        Scores of the metrics of samples; none if no model samples, no set has enough atoms, or no
        metric is defined for the kind of atoms.
    """
    metrics = [name for name in config.metrics if atoms in metric(name).atoms]
    large = sets.with_pairs
    if models["gde"][0].sampling is None or not len(large) or not metrics:
        return []
    sizes = sets.target.sizes.tolist()
    draws = {k: draw(s, z, sets, seed) for k, (s, z) in models.items() if s.sampling is not None}
    for name in applicable(SAMPLE_BASELINES, atoms):
        if name == "pooled" and len(sizes) == 1:
            continue  # there is no other set
        draws[name] = lookup(SAMPLE_BASELINES, name, "baseline")(sets.context, sizes, seed)
    # both samples are equally noisy if drawn atoms have the weights of the target
    draws = {k: d if k == "floor" else d.replace(w=sets.target.w) for k, d in draws.items()}
    target, draws = sets.target.select(large), {k: d.select(large) for k, d in draws.items()}
    notes = {"floor": "the context half itself"}
    exact = 2 * affordable_atoms(4 * len(large) * len(draws), config.transport_atoms)
    scores = []
    for name in metrics:
        size = exact if name == "w2_debiased" else max(sizes)
        values = {k: _compared(name, d, target, size, seed) for k, d in draws.items()}
        remarks = {
            k: "; ".join(filter(None, (notes.get(k), f"at most {size} atoms a set")))
            for k in draws
        }
        estimates = {k: mean(v, counts[:, large.numpy()]) for k, v in values.items()}
        scores += compare(name, estimates, remarks if size < max(sizes) else notes)
    return scores


def draw(subject: Subject, z: NDArray[Any], sets: HeldOutHalves, seed: int) -> SetBatch:
    """Draw as many atoms from each embedding as its target half has, in the ground space."""
    rng = stream(seed, "draw")
    counts, effective_sizes = sets.target.sizes.tolist(), sets.raw.effective_sizes.numpy()
    atoms: list[torch.Tensor] = []
    for start in range(0, len(z), 32):
        part = slice(start, start + 32)
        own = int(torch.randint(2**62, (), generator=rng))
        x = subject.sample(z[part], max(counts[part]), own, effective_sizes[part])
        atoms += [torch.as_tensor(a[:m]) for a, m in zip(x, counts[part], strict=True)]
    batch = SetBatch.from_list(atoms)
    return batch.replace(x=batch.flat)


def context_half(context: SetBatch, sizes: Sequence[int], seed: int) -> SetBatch:
    """Return the contexts, subsampled to at most `sizes` atoms."""
    rng = stream(seed, "floor")
    return SetBatch.concat([context[b].subsample(m, rng) for b, m in enumerate(sizes)])


def gaussian(context: SetBatch, sizes: Sequence[int], seed: int) -> SetBatch:
    r"""Draw from the Gaussian with the mean and covariance of each context.

    $\mu + \sum_i \sqrt{w_i}\, e_i (x_i - \mu)$ with independent normal $e_i$ has exactly these
    moments, in any dimension and without a factorisation.
    """
    rng = stream(seed, "gaussian")
    x = context.flat
    mean = context.mean(x)
    centred = (x - context.expand(mean)) * context.w[:, None].sqrt()
    draws = [
        mean[b] + torch.randn(m, len(part), generator=rng, dtype=x.dtype) @ part
        for b, (m, part) in enumerate(zip(sizes, pieces(context, centred), strict=True))
    ]
    return SetBatch.from_list([d.reshape(-1, *context.event_shape) for d in draws])


def pooled(context: SetBatch, sizes: Sequence[int], seed: int) -> SetBatch:
    """Draw for each set atoms of the other sets, each of which is equally likely."""
    rng = stream(seed, "pooled")
    cdf = context.w.double().cumsum(0)
    ends = torch.cat([cdf.new_zeros(1), cdf[context.offsets[1:] - 1]])
    draws = []
    for b, m in enumerate(sizes):
        # a point of the line of all weights, from which the stretch of set b is cut out
        u = torch.rand(m, generator=rng, dtype=torch.float64) * (ends[-1] - ends.diff()[b])
        u = torch.where(u >= ends[b], u + ends.diff()[b], u)
        draws.append(context.x[torch.searchsorted(cdf, u, right=True).clamp_max(len(cdf) - 1)])
    return SetBatch.from_list(draws)


def _compared(
    name: str, drawn: SetBatch, target: SetBatch, atoms: int, seed: int
) -> NDArray[np.float64]:
    """Compare at most so many atoms of each set, `(S,)`."""
    # one seed, so that sets of equal sizes and weights keep equal weights
    a, b = (sets.subsample(atoms, stream(seed, "exact")) for sets in (drawn, target))
    values: NDArray[np.float64] = metric(name).load()(a, b).double().numpy()
    return values
