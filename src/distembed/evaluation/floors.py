r"""What a reconstruction is compared with: the truth again, and two generators without a model.

Every comparison is with the target half of a set, whose atoms made no embedding.

- *floor*: the context half itself. Two samples of one distribution differ by this much, and no
  model that knows the set from its context can do much better.
- *mean_cov*: draws from a Gaussian with the context's mean and covariance.
- *pooled*: atoms of other sets, which is what a model knows that ignores its embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from distembed.batch import SetBatch
from distembed.divergences.pairing import pieces
from distembed.rng import stream

__all__ = ["gaussian", "pooled", "truth_again"]


def truth_again(context: SetBatch, sizes: Sequence[int], seed: int) -> SetBatch:
    """Return the context, no larger than `sizes`."""
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
    """Draw for each set atoms of the other sets, every set being as likely as another."""
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
