r"""Squared Wasserstein distances of two samples, without the part that is noise of sampling.

Split each sample into halves, a = (a_1, a_2) and b = (b_1, b_2), and compare across and within:

    D(a, b) = (W^2(a_1, b_2) + W^2(a_2, b_1) - W^2(a_1, a_2) - W^2(b_1, b_2)) / 2.

Let a be draws of P and b as many draws of Q, with the same weights.

- P = Q: the four terms have one expectation, so E D = 0 at every size, in every dimension.
- On the line W^2 is the squared distance of quantile functions, and the variances of the halves
  cancel: E D = int (E q_a(u) - E q_b(u))^2 du >= 0, with q the quantile function of a half (where
  both halves have one size). The sliced distance is a mean over lines and has the same property:
  as a judge of samples it is proper, and no P has a better expectation than Q.
- P is Q scaled by s about its mean and shifted by c: E D = g (1 - s)^2 + |c|^2 in every dimension,
  where g >= 0 is the expectation of sum_i w_i <x_i, y_pi(i)> over an optimal matching pi of two
  centred halves. The true spread and location have the least expectation.
- In general, in two dimensions and more, W^2 is not of negative type, so E D of the exact distance
  may be negative for some P: it is unbiased at P = Q, but not proper. E D is also not W^2(P, Q):
  it tends to it as the halves grow, and halves of one atom compare the means alone (g = 0).

The plug-in W^2(a, b) is E D plus the mean of the terms within, which grow with the spread of P and
so reward a P that is too narrow.

| One-dimensional empirical measures, order statistics, and Kantorovich transport distances
  (Bobkov, Ledoux, 2019)
"""

from __future__ import annotations

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.divergences.exact import ExactW2
from distembed.divergences.sliced import SlicedW2
from distembed.protocols import Divergence
from distembed.rng import stream

__all__ = ["debiased", "debiased_sliced_w2", "debiased_w2"]


def debiased(divergence: Divergence, a: SetBatch, b: SetBatch, seed: int = 0) -> Tensor:
    """Compare the squares of a divergence across and within random halves, `(B,)`.

    Args:
        divergence: A distance between sets, whose square is compared.
        a: One sample a set.
        b: The other samples. The expectation is zero for equal distributions where set b of both
            batches has the same size and the same weights.
        seed: Seed of the halves.

    Raises:
        ValueError: If a set has a single atom of positive weight.
    """
    (a_1, a_2), (b_1, b_2) = _halves(a, seed), _halves(b, seed)
    across = divergence(a_1, b_2).square() + divergence(a_2, b_1).square()
    within = divergence(a_1, a_2).square() + divergence(b_1, b_2).square()
    return (across - within) / 2


def debiased_w2(a: SetBatch, b: SetBatch) -> Tensor:
    """Compare set by set by the debiased squared W2, `(B,)`; it may be negative.

    Example:
        >>> a = SetBatch.from_list([[[0.0], [0.0]]])
        >>> b = SetBatch.from_list([[[3.0], [3.0]]])
        >>> debiased_w2(a, b).item()
        9.0
    """
    return debiased(ExactW2(), a, b)


def debiased_sliced_w2(a: SetBatch, b: SetBatch) -> Tensor:
    """Compare set by set by the debiased squared sliced W2, `(B,)`; it may be negative."""
    return debiased(SlicedW2(), a, b)


def _halves(batch: SetBatch, seed: int) -> tuple[SetBatch, SetBatch]:
    """Split the atoms of each set by one random order of positions, the same for all sets."""
    batch = batch.keep(batch.w > 0)
    single = (batch.sizes < 2).nonzero().flatten()
    if len(single):
        raise ValueError(
            f"Set {int(single[0])} has a single atom of positive weight; the debiased distance "
            "compares halves of a sample and needs two. Drop the set."
        )
    keys = torch.rand(int(batch.sizes.max()), generator=stream(seed, "halves"), dtype=torch.double)
    order = torch.argsort(keys.to(batch.offsets.device)[batch.rank] + batch.owner)
    first = torch.empty_like(batch.w, dtype=torch.bool)
    first[order] = batch.rank < (batch.sizes // 2)[batch.owner]
    return batch.keep(first), batch.keep(~first)
