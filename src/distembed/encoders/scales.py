r"""Scales of the blocks of a closed-form embedding, fitted to W2.

Non-negative least squares on pairs of training sets p and q,

    W_2^2(p, q) ~ sum_k s_k^2 d_k^2(p, q) + bias,      s_k^2 >= 0,

where W2 is exact optimal transport between one half of each set and d_k are distances between
blocks of the embeddings of the other halves. A block that is sampling noise predicts nothing on
the other half and gets a small scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.exact import Distance, pairwise_w2
from distembed.rng import stream

__all__ = ["ScaleFit", "fitted_scales", "floored"]


@dataclass(frozen=True)
class ScaleFit:
    """How the scales of the blocks are fitted to W2.

    Attributes:
        pairs: Most pairs of training sets that W2 is measured on.
        half: Most atoms of each half of a set.
        prior: How many pairs the prior weighs.
        least: A block keeps this share of the largest deviation, so that a generator can read it.
    """

    pairs: int = 1500
    half: int = 32
    prior: int = 100
    least: float = 0.03


def fitted_scales(
    batch: SetBatch,
    embed: Callable[[SetBatch], Tensor],
    sizes: Sequence[int],
    prior: Sequence[float],
    fit: ScaleFit,
    distance: Distance | None = None,
) -> Tensor:
    """Regress measured W2^2 on the squared distances of each block, `(K,)`.

    Args:
        batch: Training sets.
        embed: Embeds sets with scales of one, `(B, L)` in float64.
        sizes: Coordinates of each block, the first of an embedding.
        prior: Squared scales that few pairs lead to.
        fit: How the scales are fitted.
        distance: The distance of atoms; Euclidean if left out.

    Raises:
        ValueError: If a square of a distance overflows.
    """
    rng = stream(0, "worth")
    whole = batch.keep(batch.w > 0)
    whole = whole.select((whole.sizes > 1).nonzero().flatten().tolist())
    pairs = _pairs(len(whole), fit.pairs, rng)
    expected = torch.tensor(prior, dtype=torch.float64)
    if not len(pairs):
        return floored(expected, torch.ones_like(expected), fit.least)
    half, other = whole.split(fit.half, fit.half, rng)
    z = embed(half)[:, : sum(sizes)]
    gaps = [(block[pairs[:, 0]] - block[pairs[:, 1]]) for block in z.split(list(sizes), 1)]
    squared = torch.stack([gap.square().sum(1) for gap in gaps], 1)
    w2_squared = pairwise_w2(other, pairs, distance=distance).double().square()
    if not bool((squared.sum(1) + w2_squared).isfinite().all()):
        raise ValueError(
            "A distance between training sets is not finite: their atoms are as large as "
            f"{float(whole.x.abs().max()):.3g}. Look for extreme values among the atoms, or "
            "use a transform: standardise, arcsinh or log1p."
        )
    # the deviation of a measured W2^2 grows as its root: near pairs count as far ones do
    weight = 1 / (w2_squared + 0.01 * w2_squared.mean()).clamp_min(1e-300)
    slopes = _non_negative(squared, w2_squared, weight, expected, fit.prior)
    return floored(slopes, squared.mean(0), fit.least)


def floored(squared_scales: Tensor, squared: Tensor, least: float = 0.03) -> Tensor:
    """Return scales that leave every block a share of the largest deviation, `(K,)`.

    Where W2 depends on no block, all get equal deviations.
    """
    scales, deviation = squared_scales.sqrt(), squared.sqrt()
    largest = (scales * deviation).max()
    lowest = least * largest if float(largest) > 0 else deviation.max()
    return torch.maximum(scales, lowest / deviation.clamp_min(1e-300)).where(deviation > 0, 1.0)


def _pairs(count: int, limit: int, rng: torch.Generator) -> Tensor:
    """All pairs of sets, or a random choice of them, `(P, 2)`."""
    if count * (count - 1) // 2 <= limit:
        return torch.combinations(torch.arange(count))
    first = torch.randint(count, (limit,), generator=rng)
    step = torch.randint(1, count, (limit,), generator=rng)
    return torch.stack([first, (first + step) % count], 1)


def _non_negative(
    inputs: Tensor, output: Tensor, weight: Tensor, prior: Tensor, prior_pairs: int
) -> Tensor:
    """Weighted least squares with an intercept; the slopes are not negative and near a prior."""
    from scipy.optimize import nnls

    root = weight.sqrt()[:, None]
    rows = root * torch.cat([inputs, torch.ones_like(output)[:, None]], 1)
    # each column in its own units: those of a shape are not those of a mean
    typical = rows.square().mean(0).sqrt().clamp_min(1e-300)
    ridge = math.sqrt(prior_pairs) * torch.eye(len(prior), len(prior) + 1, dtype=rows.dtype)
    design = torch.cat([rows / typical, ridge])
    target = torch.cat([root[:, 0] * output, math.sqrt(prior_pairs) * typical[:-1] * prior])
    slopes, _ = nnls(design.numpy(), target.numpy())
    return torch.from_numpy(slopes)[:-1] / typical[:-1]
