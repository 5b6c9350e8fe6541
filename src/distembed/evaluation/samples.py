r"""Comparison of drawn atoms with held-out atoms of the same sets.

All methods are compared with the target half of a set. Beside the models stand

- `mean_cov`: draws from a Gaussian with the mean and covariance of the context;
- `positions` and `markov`, of sequences: independent symbols, and a Markov chain, with the
  frequencies of the context (`distembed.evaluation.sequence_baselines`);
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
from distembed.divergences.energy import unbiased_energy
from distembed.divergences.exact import Distance
from distembed.divergences.pairing import pieces
from distembed.divergences.sequences import copies
from distembed.evaluation import SAMPLE_BASELINES
from distembed.evaluation.baselines import affordable_atoms
from distembed.evaluation.bootstrap import mean
from distembed.evaluation.halves import EvaluationConfig, HeldOutHalves
from distembed.evaluation.metrics import metric
from distembed.evaluation.result import Score, compare
from distembed.evaluation.subject import Subject
from distembed.registry import applicable, lookup
from distembed.rng import stream

__all__ = [
    "affordable_sequences",
    "context_half",
    "draw",
    "gaussian",
    "pooled",
    "score_samples",
]


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
    context = sets.context.select(large)
    notes = {"floor": "the context half itself"}
    exact = 2 * affordable_atoms(4 * len(large) * len(draws), config.transport_atoms)
    most = {"w2_debiased": exact}
    if sets.distance is not None:
        length = target.x.shape[1]
        most["energy_unbiased"] = affordable_sequences(3 * len(large) * len(draws), length)
    scores = []
    for name in metrics:
        size = min(most.get(name, max(sizes)), max(sizes))
        if name == "copies":
            values = _copies(draws, context, target)
        else:
            values = {
                k: _compared(name, d, target, size, seed, sets.distance) for k, d in draws.items()
            }
        # correlations of columns are not defined for every set
        defined = np.isfinite(values.get("floor", np.zeros(len(target))))
        if not defined.any():
            continue
        values = {k: v[defined] for k, v in values.items()}
        remarks = {
            k: "; ".join(filter(None, (notes.get(k), f"at most {size} atoms a set")))
            for k in draws
        }
        rows = large.numpy()[defined]
        estimates = {k: mean(v, counts[:, rows]) for k, v in values.items()}
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


def affordable_sequences(problems: int, length: int, seconds: float = 40) -> int:
    """Return the size at which so many matrices of distances take about so many seconds.

    A fixed rule, as that of `affordable_atoms`: 0.2 microseconds for two short sequences, and the
    work of the bit-parallel algorithm for long ones; at least 50.
    """
    each = 2e-7 + 5e-10 * length * -(-length // 64)
    return max(50, int((seconds / (max(problems, 1) * each)) ** 0.5))


def _copies(
    draws: Mapping[str, SetBatch], context: SetBatch, target: SetBatch
) -> dict[str, NDArray[np.float64]]:
    """Return how many more drawn than held-out atoms occur in the context, by method."""
    usual = copies(target, context)
    drawn = {k: d for k, d in draws.items() if k != "floor"}  # which is the context
    return {k: (copies(d, context) - usual).numpy() for k, d in drawn.items()}


def _compared(
    name: str,
    drawn: SetBatch,
    target: SetBatch,
    atoms: int,
    seed: int,
    distance: Distance | None,
) -> NDArray[np.float64]:
    """Compare at most so many atoms of each set, `(S,)`."""
    # one seed, so that sets of equal sizes and weights keep equal weights
    a, b = (sets.subsample(atoms, stream(seed, "exact")) for sets in (drawn, target))
    if distance is not None and name == "energy_unbiased":
        return unbiased_energy(a, b, distance).numpy()
    values: NDArray[np.float64] = metric(name).load()(a, b).double().numpy()
    return values
