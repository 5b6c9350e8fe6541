r"""Projection on the principal axes of training vectors (classical scaling; Torgerson, 1952).

Given vectors $v_b \in \mathbb{R}^K$ of training sets it is the projection on their first L
principal axes, the linear map to L dimensions that keeps their distances best. Unprepared it is a
random orthonormal map. Where $L \ge K$ no distance changes: the result is padded with zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distembed.rng import stream

__all__ = ["PrincipalProjection"]

_COMPLETE_UP_TO = 2048  # dimensions in which a singular value decomposition may be complete


class PrincipalProjection(nn.Module):
    """Project `(B, K) -> (B, L)` with orthonormal rows.

    Args:
        inputs: Dimension K.
        latent: Dimension L.
    """

    centre: Tensor
    rows: Tensor

    def __init__(self, inputs: int, latent: int) -> None:
        super().__init__()
        rank = min(inputs, latent)
        random = torch.randn(inputs, rank, generator=stream(0, "isometry", inputs, rank))
        rows = torch.zeros(latent, inputs)
        rows[:rank] = torch.linalg.qr(random)[0].T
        self.register_buffer("rows", rows)
        self.register_buffer("centre", torch.zeros(inputs))

    def fit(self, v: Tensor) -> None:
        """Turn the map towards the principal axes of `v (B, K)`."""
        rank = min(*self.rows.shape)
        centre = v.double().mean(0)
        self.centre.copy_(centre)
        if not rank:
            return
        # axes beyond the data's own are completed where that is cheap, and else stay as they are
        complete = len(centre) <= _COMPLETE_UP_TO and min(v.shape) < rank
        _, _, axes = torch.linalg.svd(v.double() - centre, full_matrices=complete)
        # the sign of an axis is arbitrary: fix it, so that equal data give equal embeddings
        sign = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        leading = (axes * sign)[:rank].to(self.rows.dtype)
        self.rows[rank:] = 0
        self.rows[: len(leading)] = leading
        if len(leading) < rank:
            self.rows[:rank] = torch.linalg.qr(self.rows[:rank].T)[0].T

    def forward(self, v: Tensor) -> Tensor:
        """Project `(B, K) -> (B, L)`."""
        return self._centred(v) @ self.rows.T

    def left(self, v: Tensor) -> Tensor:
        """Return the squared length of what the projection leaves out, `(B, K) -> (B,)`."""
        centred = self._centred(v)
        return (centred - centred @ self.rows.T @ self.rows).square().sum(1)

    def _centred(self, v: Tensor) -> Tensor:
        # centred in the type of v: a small difference of large means must not be rounded away
        return (v - self.centre.to(v.dtype)).to(self.rows.dtype)
