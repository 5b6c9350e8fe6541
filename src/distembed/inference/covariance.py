r"""Estimate the sampling covariance of z from a single set.

z = T(P) is a functional of a distribution, and its derivative towards one atom is the derivative
by the weight of that atom (Hampel, 1974; von Mises, 1947):

    psi_i = dz/dw_i - sum_j w_j dz/dw_j,      z(P_m) - z(P) = sum_i w_i psi_i + O(1/m).

For independent atoms with given weights, this variance is estimated by

    V = sum_i w_i^2 psi_i psi_i^T / d_i,      d_i = 1 - 2 w_i + sum_j w_j^2.

The plug-in estimate without d is too small, because psi is centred at a mean that includes the
atom: $\mathbb{E}(x_i - \bar x)^2 = \sigma^2 d_i$, so that with d the variance of a weighted mean
is unbiased at any weights. At equal weights d = 1 - 1/m and V is the sample covariance over m.
(The divisor 1 - sum w^2 makes V too small where weights differ.) An atom that stands for c draws
is c atoms of weight w/c. For a median, which has no such derivative, see
`distembed.inference.jackknife`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from distembed.batch import SetBatch
from distembed.inference.derivative import (
    ATOMS,
    frozen_copy,
    has_derivative,
    set_runs,
    weight_graph,
)
from distembed.inference.jackknife import BlockJackknife
from distembed.protocols import Encoder

__all__ = ["Covariance", "Method", "covariance"]

Array = NDArray[np.float64]
Method = Literal["influence", "jackknife"]


@dataclass(frozen=True)
class Covariance:
    """Embeddings of B sets with their sampling covariances.

    Attributes:
        z: Embeddings, `(B, L)`.
        cov: Covariance of each, `(B, L, L)`; NaN where a set cannot give one.
        df: Degrees of freedom of Student's t for intervals, `(B,)`: infinite for influences, NaN
            where the covariance is NaN.
        method: `influence` or `jackknife`.
        effective_sizes: Kish's number of draws, `(B,)`.
    """

    z: Array
    cov: Array
    df: Array
    method: Method
    effective_sizes: Array

    @property
    def standard_errors(self) -> Array:
        """Standard error of each coordinate, `(B, L)`."""
        errors: Array = np.sqrt(np.diagonal(self.cov, axis1=1, axis2=2))
        return errors


def covariance(
    encoder: Encoder,
    batch: SetBatch,
    *,
    count: ArrayLike | Tensor | None = None,
    method: Method | None = None,
    jackknife: BlockJackknife | None = None,
    double: bool = False,
    atoms: int = ATOMS,
) -> Covariance:
    """Estimate the covariance of z of every set.

    Sets are processed in runs and coordinates one by one, so the memory is that of the graph of
    `atoms` atoms. A single larger set is a graph of its own, whose memory grows with its atoms;
    `method="jackknife"` needs no graph. Influences take L backward passes, the jackknife as many
    forward passes as there are blocks.

    Args:
        encoder: A module, which is copied in eval mode, or any callable `SetBatch -> (B, L)`.
        batch: Sets of independent atoms. Weights are sampling weights: 100 atoms of weight 1/100
            are 100 draws.
        count: Number of draws that each atom stands for, `(N,)`, where duplicates were
            compressed; one by default.
        method: By default `influence` where z has a derivative by the weights, else `jackknife`.
        jackknife: Settings of the jackknife.
        double: Whether to embed in float64; sums are in float64 in any case.
        atoms: Number of atoms that are embedded at once, unless a set has more.

    Raises:
        ValueError: If counts are not positive (whole, for a jackknife), the method is unknown, or
            the method is `influence` and the encoder has none.

    Example:
        >>> batch = SetBatch.from_list([[[0.0], [2.0], [4.0]], [[1.0]]])
        >>> class Mean:
        ...     latent = 1
        ...     def __call__(self, batch):
        ...         return batch.mean(batch.x)
        >>> covariance(Mean(), batch, double=True).cov.round(6).flatten().tolist()
        [1.333333, nan]
    """
    if method not in (None, "influence", "jackknife"):
        raise ValueError(f"method is {method!r}; there are: 'influence', 'jackknife'.")
    positive = batch.w > 0
    draws = _draws(batch, count, positive)
    replica, batch = frozen_copy(encoder, batch.keep(positive), double)
    w = batch.w.double() / batch.expand(batch.mass)
    noise = batch.mean(w / draws)
    if method is None:
        smallest = batch[int(batch.sizes.argmin())]
        method = "influence" if has_derivative(replica, smallest) else "jackknife"
    if method == "influence":
        z, cov = _by_influence(replica, batch, w, draws, atoms)
        df = cov.new_full((len(cov),), torch.inf)
    else:
        z, cov, df = (jackknife or BlockJackknife()).estimate(replica, batch, w, draws, atoms)
    single = noise * (1 + 1e-3) > 1  # at most 1.001 effective draws
    cov[single] = torch.nan
    df[cov.isnan().flatten(1).any(1)] = torch.nan
    sizes = 1 / noise
    return Covariance(_array(z), _array(cov), _array(df), method, _array(sizes))


@torch.enable_grad()
def _by_influence(
    encoder: Encoder, batch: SetBatch, w: Tensor, draws: Tensor, atoms: int
) -> tuple[Tensor, Tensor]:
    share = w / draws
    factor = w * share / (1 - 2 * share + batch.expand(batch.mean(share)))
    embeddings, covs = [], []
    for run in set_runs(batch.sizes, atoms):
        part = batch.select(run)
        z, leaf = weight_graph(encoder, part)
        slope = leaf.new_empty(len(leaf), z.shape[1])
        for k, column in enumerate(z.unbind(1)):
            slope[:, k] = torch.autograd.grad(column.sum(), leaf, retain_graph=True)[0]
        rows = slice(int(batch.offsets[run.start]), int(batch.offsets[run.stop]))
        pieces = (t.split(part.sizes.tolist()) for t in (slope, w[rows], factor[rows]))
        for own_slope, own_w, own_factor in zip(*pieces, strict=True):
            covs.append(_second_moment(own_slope, own_w, own_factor, atoms))
        embeddings.append(z.detach().double())
    return torch.cat(embeddings), torch.stack(covs)


def _second_moment(values: Tensor, w: Tensor, factor: Tensor, atoms: int) -> Tensor:
    """Sum factors times squares of centred values `(n, L)`, in float64, piece by piece."""
    pieces = [t.split(atoms) for t in (values, w, factor)]
    centre = w.new_zeros(values.shape[1])
    for v, p, _ in zip(*pieces, strict=True):
        centre += p @ v.double()
    total = w.new_zeros(values.shape[1], values.shape[1])
    for v, _, f in zip(*pieces, strict=True):
        centred = v.double() - centre
        total += centred.mT @ (centred * f[:, None])
    return (total + total.mT) / 2


def _draws(batch: SetBatch, count: ArrayLike | Tensor | None, positive: Tensor) -> Tensor:
    """Return the counts of the atoms of positive weight, in float64."""
    if count is None:
        return torch.ones_like(batch.w[positive], dtype=torch.float64)
    draws = torch.as_tensor(count, dtype=torch.float64, device=batch.w.device)
    if draws.shape != batch.w.shape:
        raise ValueError(
            f"count has shape {tuple(draws.shape)}; it is the number of draws that each of the "
            f"{len(batch.x)} atoms stands for, one number an atom."
        )
    draws = draws[positive]
    if not bool((torch.isfinite(draws) & (draws > 0)).all()):
        raise ValueError("count must be finite and positive: an atom stands for draws.")
    return draws


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.cpu().numpy()
    return array
