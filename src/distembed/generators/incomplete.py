r"""Atoms with missing features under a Gaussian: the measured part of their residuals.

Let C_o be the rows of the measured features o of the scale C. The residual $u = C^{-1}(x - l)$ of
an atom is known on the span of C_o^T, onto which

    Pi = C_o^T (C_o C_o^T)^{-1} C_o

projects, where it is $C_o^T (C_o C_o^T)^{-1} (x_o - l_o)$. Given the measured features, the rest
is standard normal under the Gaussian: $u = \Pi u + (1 - \Pi) e$ is a draw from its law.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.generators.base import Gaussian
from distembed.generators.marginal import marginal_log_prob

__all__ = ["MeasuredPart", "measured_likelihood"]


class MeasuredPart:
    """The part of residuals that is measured.

    Args:
        batch: The sets, with or without missing values.
        gaussian: The Gaussian of each set.

    Example:
        >>> x, o = torch.tensor([[3.0, 9.0]]), torch.tensor([[True, False]])
        >>> batch = SetBatch(x, torch.ones(1), torch.tensor([0, 1]), o)
        >>> unit = Gaussian(torch.zeros(1, 2), torch.eye(2)[None])
        >>> MeasuredPart(batch, unit).complete(torch.tensor([[5.0, 7.0]])).tolist()
        [[3.0, 7.0]]
    """

    def __init__(self, batch: SetBatch, gaussian: Gaussian) -> None:
        self._o = o = batch.mask.double()
        location, scale = gaussian.location.detach().double(), gaussian.scale.detach().double()
        self._gap = (batch.filled.reshape(o.shape) - batch.expand(location)) * o
        self._scale = batch.expand(scale)
        if scale.ndim == 3:
            rows = self._scale * o.unsqueeze(2)
            self._factor = torch.linalg.cholesky(rows @ rows.mT + torch.diag_embed(1 - o))

    def complete(self, e: Tensor) -> Tensor:
        """Return residuals `(N, D)`, with noise e `(N, D)` where features are missing."""
        if self._scale.ndim == 2:
            measured = self._gap / self._scale
        else:
            measured = self._back(self._gap)
        return (measured + e - self._projected(e.double())).to(e.dtype)

    def project(self, v: Tensor) -> Tensor:
        """Return the measured part of vectors `(N, D)`."""
        return self._projected(v.double()).to(v.dtype)

    def _projected(self, v: Tensor) -> Tensor:
        if self._scale.ndim == 2:
            return v * self._o
        return self._back(self._o * (self._scale @ v.unsqueeze(2)).squeeze(2))

    def _back(self, x: Tensor) -> Tensor:
        """Return $C_o^T (C_o C_o^T)^{-1} x_o$ of numbers that are zero where o is, `(N, D)`."""
        solved = torch.cholesky_solve(x.unsqueeze(2), self._factor).squeeze(2)
        part: Tensor = (self._scale.mT @ (self._o * solved).unsqueeze(2)).squeeze(2)
        return part


def measured_likelihood(batch: SetBatch, gaussian: Gaussian, unit: Tensor) -> Tensor:
    """Score each set by its measured features, in nats per feature, up to a constant, `(B,)`.

    Args:
        batch: The sets.
        gaussian: The Gaussian of each.
        unit: The deviation in which scales are measured.
    """
    number = batch.mask.sum(1)
    constant = number * (math.log(2 * math.pi) / 2 + unit.log())
    return -batch.mean(marginal_log_prob(batch, gaussian) + constant) / batch.mean(number)
