r"""Moments of sets with missing values, from the atoms in which both features were measured.

With $o_{ij} = 1$ where feature j of atom i was measured,

    mean_j = E[o_j x_j] / E[o_j],
    cov_jk = E[o_j o_k (x_j - mean_j)(x_k - mean_k)] / E[o_j o_k],

E the weighted mean over the atoms of a set. The estimates are consistent where values are missing
completely at random. Different entries come from different atoms, so that the matrix may have
negative eigenvalues; it is projected to the nearest positive semi-definite one in the Frobenius
norm, which sets these to zero (Higham, 1988). A pair that no atom of a set has is taken from other
sets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from distembed.batch import SetBatch

__all__ = ["Typical", "gram", "moments_of", "nearest_semidefinite", "pairwise_moments"]


class Typical(NamedTuple):
    """What replaces a moment that a set has no atom for.

    Attributes:
        mean: Mean over all sets, `(D,)`.
        cov: Mean covariance within sets, `(D, D)`.
        absent: Number of pairs of features that no atom of a set has, over all sets.
    """

    mean: Tensor
    cov: Tensor
    absent: int

    @classmethod
    def of(cls, g: Tensor) -> Typical:
        """Compute them from the second moments `(B, 2 D, 2 D)` of `gram`."""
        share, first, second = _parts(g)
        total = share.sum(0)
        observed = _ratio(_diagonal(first).sum(0), _diagonal(share).sum(0))
        mean = _ratio(_diagonal(first), _diagonal(share))
        within = _ratio(_centred(share, first, second, mean).sum(0), total)
        return cls(observed, nearest_semidefinite(within), int((share == 0).triu().sum()))


def gram(batch: SetBatch) -> Tensor:
    """Return the second moments of `[o, o x]` of each set, `(B, 2 D, 2 D)` in float64.

    They are means over atoms, so that those of a union are means of those of its parts.
    """
    flat = batch.filled.reshape(batch.w.shape[0], -1).double()
    both, w = torch.cat([batch.mask.double(), flat], 1), batch.w.double()
    if (m := batch.common_size) is not None:
        block, weight = both.view(batch.count, m, -1), w.view(batch.count, m, 1)
        return block.mT @ (block * weight) / weight.sum(1, keepdim=True)
    parts = zip(both.split(batch.sizes.tolist()), w.split(batch.sizes.tolist()), strict=True)
    return torch.stack([a.mT @ (a * v[:, None]) / v.sum() for a, v in parts])


def moments_of(g: Tensor, mean: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """Return means `(B, D)` and covariances `(B, D, D)` from the second moments of `gram`.

    Args:
        g: The second moments, `(B, 2 D, 2 D)`.
        mean: Means of features that a set has no value of, `(D,)`.
        cov: Covariances of pairs that it has no value of, `(D, D)`.
    """
    share, first, second = _parts(g)
    own = torch.where(_diagonal(share) > 0, _ratio(_diagonal(first), _diagonal(share)), mean)
    centred = _ratio(_centred(share, first, second, own), share)
    return own, nearest_semidefinite(torch.where(share > 0, centred, cov))


def nearest_semidefinite(a: Tensor) -> Tensor:
    """Project symmetric matrices `(..., D, D)` to the nearest positive semi-definite ones.

    Example:
        >>> nearest_semidefinite(torch.diag(torch.tensor([2.0, -1.0]))).diagonal().tolist()
        [2.0, 0.0]
    """
    projected: Tensor = _Positive.apply(a)  # type: ignore[no-untyped-call]
    return projected


def pairwise_moments(batch: SetBatch) -> tuple[Tensor, Tensor]:
    """Return mean `(B, D)` and covariance `(B, D, D)` of each set, in float64.

    Pairs that a set has no value of are taken from all sets of the batch.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [3.0, 5.0]])
        >>> o = torch.tensor([[True, False], [True, True]])
        >>> batch = SetBatch(x, torch.full((2,), 0.5), torch.tensor([0, 2]), o)
        >>> pairwise_moments(batch)[0].tolist()
        [[2.0, 5.0]]
    """
    g = gram(batch)
    return moments_of(g, *Typical.of(g)[:2])


def _parts(g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return E[o_j o_k], E[x_j o_k] and E[x_j x_k], each `(B, D, D)`."""
    d = g.shape[-1] // 2
    return g[..., :d, :d], g[..., d:, :d], g[..., d:, d:]


def _centred(share: Tensor, first: Tensor, second: Tensor, mean: Tensor) -> Tensor:
    """Return E[o_j o_k (x_j - mean_j)(x_k - mean_k)], `(B, D, D)`."""
    row, column = mean.unsqueeze(-1), mean.unsqueeze(-2)
    return second - row * first.mT - first * column + row * column * share


class _Positive(torch.autograd.Function):
    """Project symmetric matrices to positive semi-definite ones.

    The derivative in the eigenbasis is a product with the divided differences of max(x, 0), which
    are between zero and one also where eigenvalues coincide (Daleckii and Krein, 1965).
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(a)
        ctx.save_for_backward(values, vectors)
        projected: Tensor = (vectors * values.clamp_min(0).unsqueeze(-2)) @ vectors.mT
        return projected

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        values, vectors = ctx.saved_tensors
        positive = values.clamp_min(0)
        gap = values.unsqueeze(-1) - values.unsqueeze(-2)
        rise = positive.unsqueeze(-1) - positive.unsqueeze(-2)
        same = (values > 0).to(values).unsqueeze(-1).expand_as(gap)
        slope = torch.where(gap == 0, same, rise / torch.where(gap == 0, 1, gap))
        inner = slope * (vectors.mT @ (grad + grad.mT) / 2 @ vectors)
        derivative: Tensor = vectors @ inner @ vectors.mT
        return derivative


def _diagonal(a: Tensor) -> Tensor:
    return a.diagonal(dim1=-2, dim2=-1)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """Divide, and return zero where the divisor is zero, without NaN in gradients."""
    return torch.where(b > 0, a / torch.where(b > 0, b, 1), 0)
