r"""Standardise atoms within their set, by its mean and covariance.

    r_i = C^{-1} (x_i - mu),   C C^T = Sigma + f^2 I         (D <= 32)
    r_i = (x_i - mu) / (sigma^2 + f^2)^{1/2}                 (D > 32)

mu and Sigma are the moments of the set, in float64, and f is a fraction of the deviation of
training atoms. r is a function of the distribution, and makes shapes visible where means dominate.
The moments take one pass over the atoms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.encoders.statistics import Covariance, Stages, Variance
from distembed.nn.per_set import apply_per_set
from distembed.nn.portable import inverse_factor

__all__ = ["WHITEN_UP_TO", "fit_floor", "moments", "relative_atoms"]

WHITEN_UP_TO = 32
"""Largest dimension in which atoms are whitened by the full covariance of their set."""


def fit_floor(floor: Tensor, batch: SetBatch, fraction: float = 0.02) -> None:
    """Set a floor of scales to a fraction of the deviation of all atoms, in place."""
    x = batch.flat.double()
    centred = x - batch.mean(x).mean(0)
    floor.copy_((fraction * centred.square().mean().sqrt()).clamp_min(1e-6))


def moments(batch: SetBatch, full: bool) -> Stages[tuple[Tensor, Tensor]]:
    """Request means `(B, D)` and covariances `(B, D, D)`, or variances `(B, D)` if not full."""
    x = batch.flat64
    ((mean, second),) = yield ((Covariance(x) if full else Variance(x)),)
    return mean, second


def relative_atoms(batch: SetBatch, mean: Tensor, second: Tensor, floor: Tensor) -> Tensor:
    """Centre atoms, and whiten them by the covariance or scale them by the variances of their set.

    Args:
        batch: The sets.
        mean: Their means, `(B, D)` float64.
        second: Their covariances `(B, D, D)` or variances `(B, D)`, float64.
        floor: Smallest scale, a number.

    Returns:
        `(N, D)` float64.
    """
    centred = batch.flat64 - batch.expand(mean)
    if second.ndim == 2:
        return centred / batch.expand((second + floor**2).sqrt())
    eye = torch.eye(mean.shape[1], dtype=mean.dtype, device=mean.device)
    return apply_per_set(batch, inverse_factor(second + floor**2 * eye), centred)
