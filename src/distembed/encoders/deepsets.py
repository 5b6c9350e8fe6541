r"""Deep sets with feedback: a pooled residual network that sees each atom twice.

    h_0 = A [x, r],      r = the atom relative to its own set (centred; whitened or scaled)
    h_k = h_{k-1} + MLP([LN(h_{k-1}), E h_{k-1}])                          k = 1..depth
    z   = [J(mu, Sigma^{1/2}), g(E h, sd(h), J(mu, Sigma^{1/2}))]

E is the weighted mean over the set, so every layer depends on the distribution alone (Zaheer et
al., 2017; the feedback of the pooled mean after GDE, arXiv 2505.18150, section A.3). J is a fixed
isometry of mean and root covariance, whose distances are close to Bures distances; it fills at
most three quarters of z. The learned g has coordinates of its own, so that noise of training
never moves a mean. LayerNorm acts inside the residual branch only: the stream that is pooled
keeps its scale, and nothing bounds z.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.encoders.moments import Moments, moment_count
from distembed.nn.mlp import MLP
from distembed.nn.per_set import apply_per_set, moments_per_set
from distembed.nn.precision import reduced

__all__ = ["DeepSets"]

WHITEN_UP_TO = 32
"""Largest dimension in which atoms are whitened by the full covariance of their set."""


class _Layer(nn.Module):
    def __init__(self, width: int, feedback: bool) -> None:
        super().__init__()
        self.by_atom = nn.Linear(width, width)
        self.by_set = nn.Linear(width, width, bias=False) if feedback else None
        self.outer = nn.Linear(width, width)

    def forward(self, batch: SetBatch, h: Tensor) -> Tensor:
        inner = self.by_atom(functional.layer_norm(h, h.shape[-1:]))
        if self.by_set is not None:
            inner = inner + batch.expand(self.by_set(batch.mean(h).to(h.dtype)))
        out: Tensor = h + self.outer(functional.silu(inner))
        return out


class DeepSets(nn.Module):
    """A mean-pooled residual network, the default encoder.

    With `relative=False, moments=False` it is the ResNet-GNN of the GDE paper with a linear head.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Number of residual layers.
        relative: Show each atom relative to its set as well.
        moments: Give coordinates of z to mean and root covariance, and pool second moments.
        feedback: Feed the pooled mean back at every layer.

    Example:
        >>> batch = SetBatch.from_list([torch.randn(5, 3), torch.randn(2, 3)])
        >>> DeepSets((3,), latent=4)(batch).shape
        torch.Size([2, 4])
    """

    floor: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 64,
        depth: int = 2,
        relative: bool = True,
        moments: bool = True,
        feedback: bool = True,
    ) -> None:
        super().__init__()
        d = math.prod(event_shape)
        self.latent, self.relative = latent, relative
        self.register_buffer("floor", torch.tensor(0.02))
        self.inputs = nn.Linear(d * (1 + relative), width)
        self.layers = nn.ModuleList([_Layer(width, feedback) for _ in range(depth)])
        self.moments: Moments | None = None
        self.head: nn.Module = nn.Linear(width, latent)
        if moments:
            self.moments = Moments(event_shape, min(moment_count(d), 3 * latent // 4))
            known = self.moments.latent
            self.head = MLP(2 * width + known, latent - known, 2 * width)

    def prepare(self, batch: SetBatch) -> None:
        """Fix the isometry and the floor of scales from the atoms of training sets."""
        x = batch.flat.double()
        centred = x - batch.mean(x).mean(0)
        self.floor.copy_((0.02 * centred.square().mean().sqrt()).clamp_min(1e-6))
        if self.moments is not None:
            self.moments.prepare(batch)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        x = batch.flat
        dtype = self.inputs.weight.dtype
        seen = [x.to(dtype)]
        if self.relative:
            seen.append(_relative(batch, x, self.floor).to(dtype))
        with reduced(x.device):
            h = self.inputs(torch.cat(seen, 1))
            for layer in self.layers:
                h = layer(batch, h)
        h = h.to(dtype)
        pooled = batch.mean(h)
        if self.moments is None:
            z: Tensor = self.head(pooled.to(dtype))
            return z
        spread = (batch.mean((h - batch.expand(pooled.to(h.dtype))).square()) + 1e-6).sqrt()
        known = self.moments(batch)
        learned = self.head(torch.cat([pooled, spread, known], 1).to(dtype))
        return torch.cat([known, learned.to(known.dtype)], 1)


def _relative(batch: SetBatch, x: Tensor, floor: Tensor) -> Tensor:
    """Atoms centred and whitened (D <= 32) or scaled by the moments of their set, float64."""
    x = x.double()
    if x.shape[1] > WHITEN_UP_TO:
        centred = x - batch.expand(batch.mean(x))
        scale = (batch.mean(centred.square()) + floor.double() ** 2).sqrt()
        return centred / batch.expand(scale)
    mean, cov = moments_per_set(batch, x)
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    # Cholesky and not eigh: its gradient exists where eigenvalues coincide
    factor = torch.linalg.cholesky(cov + floor.double() ** 2 * eye)
    inverse = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
    centred = x - batch.expand(mean)
    return apply_per_set(batch, inverse, centred)
