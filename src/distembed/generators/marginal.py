r"""Likelihood of atoms with missing features under a Gaussian: that of the measured ones.

    log p(x_o) = -|L^{-1} o (x - l)|^2 / 2 - log det L - D_o log(2 pi) / 2,

with $L L^T = o C C^T o + (1 - o)$, whose missing features have variance one and add nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.generators.base import Gaussian

__all__ = ["marginal_log_prob"]


def marginal_log_prob(batch: SetBatch, gaussian: Gaussian) -> Tensor:
    """Return the log density in nats of the measured features of every atom, `(N,)`.

    Args:
        batch: The sets, with or without missing values.
        gaussian: The Gaussian of each set.

    Example:
        >>> x, o = torch.tensor([[0.0, 9.0]]), torch.tensor([[True, False]])
        >>> batch = SetBatch(x, torch.ones(1), torch.tensor([0, 1]), o)
        >>> unit = Gaussian(torch.zeros(1, 2), torch.eye(2)[None])
        >>> round(marginal_log_prob(batch, unit).item(), 4)
        -0.9189
    """
    o = batch.mask
    centred = (batch.filled.reshape(o.shape) - batch.expand(gaussian.location)) * o
    constant = o.sum(1) * math.log(2 * math.pi) / 2
    if gaussian.scale.ndim == 2:
        scale = batch.expand(gaussian.scale).expand_as(o)
        squares: Tensor = (centred / scale).square().sum(1)
        return -squares / 2 - (o * scale.log()).sum(1) - constant
    measured = batch.expand(gaussian.scale).double() * o.double().unsqueeze(2)
    factor = torch.linalg.cholesky(measured @ measured.mT + torch.diag_embed(1 - o.double()))
    u = torch.linalg.solve_triangular(factor, centred.double().unsqueeze(2), upper=False)
    volume = factor.diagonal(dim1=1, dim2=2).log().sum(1)
    nats: Tensor = -u.squeeze(2).square().sum(1) / 2 - volume
    return nats.to(o.dtype) - constant
