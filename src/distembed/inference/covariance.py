r"""The covariance of z, from the one set that z was made of.

z = T(P) is a functional of a distribution, and its derivative towards one atom is the derivative
by that atom's weight (Hampel, 1974; von Mises, 1947):

    psi_i = dz/dw_i - sum_j w_j dz/dw_j,      z(P_m) - z(P) = sum_i w_i psi_i + O(1/m).

For atoms drawn independently with weights that are given, this variance is estimated by

    V = sum_i w_i^2 psi_i psi_i^T / d_i,      d_i = 1 - 2 w_i + sum_j w_j^2.

The plug-in without d is too small, because psi is centred at a mean that the atom is part of:
$\mathbb{E}(x_i - \bar x)^2 = \sigma^2 d_i$, so with d the variance of a weighted mean is unbiased
at any weights. At equal ones d = 1 - 1/m and V is the sample covariance over m. (1 - sum w^2
itself falls short where weights differ.) An atom that stands for c draws is c atoms of weight w/c,
which differentiation need not spell out. For a median, which has no such derivative, there is
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
from distembed.inference.derivative import ATOMS, has_derivative, prepared, runs, tracked
from distembed.inference.jackknife import FEWEST, by_halves
from distembed.protocols import Encoder

__all__ = ["Covariance", "Method", "covariance"]

Array = NDArray[np.float64]
Method = Literal["influence", "jackknife"]

_ALONE = 1e-3
"""Below one and this many effective atoms, one atom is all there is."""


@dataclass(frozen=True)
class Covariance:
    """Embeddings of B sets and how far sampling moves them.

    Attributes:
        z: Embeddings, `(B, L)`.
        cov: Covariance of each, `(B, L, L)`; NaN where a set cannot tell.
        df: Degrees of freedom of Student's t for intervals, `(B,)`: infinite for influences, NaN
            where the covariance is.
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
    blocks: int = 20,
    double: bool = False,
    seed: int = 0,
) -> Covariance:
    """Estimate the covariance of z of every set.

    Sets are taken some at a time and coordinates one by one, so memory is that of the graph of
    65,536 atoms. A single larger set is a graph of its own, which nothing here divides: its
    memory grows with its atoms, and `method="jackknife"`, which keeps no graph, is the way out.
    Influences cost L backward passes, the jackknife as many forward ones as there are blocks.

    Args:
        encoder: A module, of which a copy in eval mode works, or any callable
            `SetBatch -> (B, L)`.
        batch: Sets of independent atoms. Weights are sampling weights: 100 atoms of weight 1/100
            are 100 draws.
        count: How many draws each atom stands for, `(N,)`, where duplicates were compressed; one
            each where left out.
        method: `influence` where z has a derivative by the weights, else `jackknife`, where left
            out.
        blocks: At most so many blocks of the jackknife, of 8, 12, 20, 24, 32, 44, 48 or 60. Each
            holds two draws or more: below sixteen draws the covariance is NaN.
        double: Embed in float64; sums are in float64 anyway.
        seed: Of the blocks, which depend on it and on the number of draws alone.

    Raises:
        ValueError: If counts are not positive (whole, for a jackknife), there are fewer than eight
            blocks, the method is unknown, or influences are asked of an encoder that has none.

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
    if blocks < FEWEST:
        raise ValueError(f"blocks = {blocks}; a jackknife needs at least {FEWEST} blocks.")
    seen = batch.w > 0
    draws = _draws(batch, count, seen)
    exact, batch = prepared(encoder, batch.keep(seen), double)
    w = batch.w.double() / batch.mass[batch.owner]
    noise = batch.mean(w / draws)
    if method is None:
        smallest = batch[int(batch.sizes.argmin())]
        method = "influence" if has_derivative(exact, smallest) else "jackknife"
    if method == "influence":
        z, cov, df = _by_influence(exact, batch, w, draws, noise)
    else:
        z, cov, df = by_halves(exact, batch, w, draws, blocks, seed)
    alone = noise * (1 + _ALONE) > 1
    cov[alone], df[alone] = torch.nan, torch.nan
    df[cov.isnan().flatten(1).any(1)] = torch.nan
    found = [t.cpu().numpy() for t in (z, cov, df, 1 / noise)]
    return Covariance(found[0], found[1], found[2], method, found[3])


@torch.enable_grad()
def _by_influence(
    encoder: Encoder, batch: SetBatch, w: Tensor, draws: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    share = w / draws
    factor = w * share / (1 - 2 * share + batch.expand(noise))
    found, covs = [], []
    for run in runs(batch.sizes):
        part = batch.select(run)
        z, leaf = tracked(encoder, part)
        slope = leaf.new_empty(len(leaf), z.shape[1])
        for k, column in enumerate(z.unbind(1)):
            slope[:, k] = torch.autograd.grad(column.sum(), leaf, retain_graph=True)[0]
        rows = slice(int(batch.offsets[run.start]), int(batch.offsets[run.stop]))
        pieces = (t.split(part.sizes.tolist()) for t in (slope, w[rows], factor[rows]))
        covs += [_spread(*piece) for piece in zip(*pieces, strict=True)]
        found.append(z.detach().double())
    cov = torch.stack(covs)
    return torch.cat(found), cov, cov.new_full((len(cov),), torch.inf)


def _spread(values: Tensor, w: Tensor, factor: Tensor) -> Tensor:
    """Sum of factors times squares of centred values `(n, L)`, in float64, pieces at a time."""
    pieces = [t.split(ATOMS) for t in (values, w, factor)]
    centre = w.new_zeros(values.shape[1])
    for v, p, _ in zip(*pieces, strict=True):
        centre += p @ v.double()
    out = w.new_zeros(values.shape[1], values.shape[1])
    for v, _, f in zip(*pieces, strict=True):
        gap = v.double() - centre
        out += gap.mT @ (gap * f[:, None])
    return (out + out.mT) / 2


def _draws(batch: SetBatch, count: ArrayLike | Tensor | None, seen: Tensor) -> Tensor:
    """Return the counts of atoms that are seen, in float64."""
    if count is None:
        return torch.ones_like(batch.w[seen], dtype=torch.float64)
    draws = torch.as_tensor(count, dtype=torch.float64, device=batch.w.device)
    if draws.shape != batch.w.shape:
        raise ValueError(
            f"count has shape {tuple(draws.shape)}; it says how many draws each of the "
            f"{len(batch.x)} atoms stands for, one number an atom."
        )
    draws = draws[seen]
    if not bool((torch.isfinite(draws) & (draws > 0)).all()):
        raise ValueError("count must be finite and positive: an atom stands for draws.")
    return draws
