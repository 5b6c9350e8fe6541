r"""What an encoder sees first: each atom twice, and a closed form of its set.

    seen_i = [x_i, r_i],   r_i = C^{-1} (x_i - mu),   C C^T = Sigma + floor^2 I      (D <= 32)
                           r_i = (x_i - mu) / (sigma^2 + floor^2)^{1/2}              (D > 32)
    known  = summary of mu, Sigma and r

r is a function of the distribution and makes shapes visible where means dominate. The summary has
distances that are close to W2 before anything is trained (`distembed.encoders.summary`). Both need
the moments of the set, in float64: one pass. The summary takes another, for the shape.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.encoders.statistics import Covariance, Stages, Variance
from distembed.encoders.summary import Summary
from distembed.nn.per_set import apply_per_set

__all__ = ["WHITEN_UP_TO", "Front", "Seen", "relative_atoms"]

WHITEN_UP_TO = 32
"""Largest dimension in which atoms are whitened by the full covariance of their set."""


class Seen(NamedTuple):
    """What a network is given: atoms `(N, columns)`, and a summary `(B, K)` if it is wanted."""

    atoms: Tensor
    known: Tensor | None


class Front(nn.Module):
    """Atoms as they are and relative to their set, and a summary of the set.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension of the embedding; a summary gets at most seven eighths of it.
        relative: Show each atom relative to its set as well.
        isometry: Give coordinates of the embedding to mean, root covariance and shape.
    """

    floor: Tensor

    def __init__(
        self, event_shape: tuple[int, ...], latent: int, relative: bool, isometry: bool
    ) -> None:
        super().__init__()
        d = math.prod(event_shape)
        self.relative = relative
        self.columns = d * (1 + relative)
        self.summary = Summary(d, latent) if isometry else None
        self.known = self.summary.size if self.summary else 0
        self.passes = 2 if isometry else int(relative)
        self.register_buffer("floor", torch.tensor(0.02))

    @torch.no_grad()
    def prepare(self, batch: SetBatch) -> None:
        """Fix the floor of scales, and the summary, from training sets."""
        x = batch.flat.double()
        centred = x - batch.mean(x).mean(0)
        self.floor.copy_((0.02 * centred.square().mean().sqrt()).clamp_min(1e-6))
        if self.summary is not None:
            self.summary.prepare(batch, self._look)

    def stages(self, batch: SetBatch, dtype: torch.dtype) -> Stages[Seen]:
        """Look at the moments and the shape of each set, and return what the network sees."""
        x = batch.flat.to(dtype)
        if not self.passes:
            return Seen(x, None)
        mean, cov, relative = yield from self._look(batch)
        relative, known = relative.to(dtype), None
        if self.summary is not None:
            known = (yield from self.summary.stages(batch, mean, cov, relative)).to(dtype)
        return Seen(torch.cat([x, relative], 1) if self.relative else x, known)

    def _look(self, batch: SetBatch) -> Stages[tuple[Tensor, Tensor, Tensor]]:
        """Ask for means, covariances on the summary's axes, and so for relative atoms."""
        wide = batch.flat.double()
        axes = self.summary.moments.axes.double() if self.summary is not None else None
        if wide.shape[1] <= WHITEN_UP_TO:
            ((mean, second),) = yield (Covariance(wide),)
            cov = second if axes is None else axes.T @ second @ axes
        elif axes is None:
            ((mean, second),) = yield (Variance(wide),)
            cov = second
        else:
            (mean, second), (_, cov) = yield Variance(wide), Covariance(wide @ axes)
        return mean, cov, relative_atoms(batch, wide, mean, second, self.floor.double())


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
