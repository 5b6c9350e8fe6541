r"""What an encoder sees first: each atom twice, and the moments of its set.

    seen_i = [x_i, r_i],   r_i = C^{-1} (x_i - mu),   C C^T = Sigma + floor^2 I      (D <= 32)
                           r_i = (x_i - mu) / (sigma^2 + floor^2)^{1/2}              (D > 32)
    known  = J(mu, Sigma^{1/2})

r is a function of the distribution and makes shapes visible where means dominate. J is a fixed
isometry, whose distances are close to Bures distances (`distembed.encoders.moments`). Both need
the moments of the set, in float64: one pass.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.encoders.moments import Moments, moment_count
from distembed.encoders.statistics import Covariance, Stages, Variance
from distembed.nn.per_set import apply_per_set

__all__ = ["WHITEN_UP_TO", "Front", "Seen", "relative_atoms"]

WHITEN_UP_TO = 32
"""Largest dimension in which atoms are whitened by the full covariance of their set."""


class Seen(NamedTuple):
    """What a network is given: atoms `(N, columns)`, and moments `(B, K)` if they are wanted."""

    atoms: Tensor
    known: Tensor | None


class Front(nn.Module):
    """Atoms as they are and relative to their set, and moments of the set.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension of the embedding; moments get at most three quarters of it.
        relative: Show each atom relative to its set as well.
        isometry: Give coordinates of the embedding to mean and root covariance.
    """

    floor: Tensor

    def __init__(
        self, event_shape: tuple[int, ...], latent: int, relative: bool, isometry: bool
    ) -> None:
        super().__init__()
        d = math.prod(event_shape)
        self.relative = relative
        self.columns = d * (1 + relative)
        self.known = min(moment_count(d), 3 * latent // 4) if isometry else 0
        self.moments = Moments(event_shape, self.known) if isometry else None
        self.passes = int(relative or isometry)
        self.register_buffer("floor", torch.tensor(0.02))

    def prepare(self, batch: SetBatch) -> None:
        """Fix the isometry and the floor of scales from the atoms of training sets."""
        x = batch.flat.double()
        centred = x - batch.mean(x).mean(0)
        self.floor.copy_((0.02 * centred.square().mean().sqrt()).clamp_min(1e-6))
        if self.moments is not None:
            self.moments.prepare(batch)

    def stages(self, batch: SetBatch, dtype: torch.dtype) -> Stages[Seen]:
        """Look at the moments of each set, and return what the network sees."""
        x = batch.flat
        if not self.passes:
            return Seen(x.to(dtype), None)
        wide = x.double()
        axes = self.moments.axes.double() if self.moments is not None else None
        if x.shape[1] <= WHITEN_UP_TO:
            ((mean, second),) = yield (Covariance(wide),)
            cov = second if axes is None else axes.T @ second @ axes
        elif axes is None:
            ((mean, second),) = yield (Variance(wide),)
            cov = second
        else:
            (mean, second), (_, cov) = yield Variance(wide), Covariance(wide @ axes)
        known = self.moments.of_moments(mean, cov).to(dtype) if self.moments is not None else None
        if not self.relative:
            return Seen(x.to(dtype), known)
        relative = relative_atoms(batch, wide, mean, second, self.floor.double())
        return Seen(torch.cat([x.to(dtype), relative.to(dtype)], 1), known)


def relative_atoms(
    batch: SetBatch, x: Tensor, mean: Tensor, second: Tensor, floor: Tensor
) -> Tensor:
    """Centre atoms, and whiten them by a covariance or scale them by variances of their set."""
    centred = x - batch.expand(mean)
    if second.ndim == 2:
        return centred / batch.expand((second + floor**2).sqrt())
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    # Cholesky and not eigh: its gradient exists where eigenvalues coincide
    factor = torch.linalg.cholesky(second + floor**2 * eye)
    inverse = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
    return apply_per_set(batch, inverse, centred)
