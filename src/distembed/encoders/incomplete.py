r"""Features of atoms with missing values, expected under the Gaussian of their set.

A set has mean mu and $\Sigma + f^2 I = C C^T$. Given the measured features o of an atom, its
relative position $r = C^{-1}(x - \mu)$ is Gaussian,

    r | x_o ~ N(M^T L^{-1} o (x - mu), I - M^T M),    L L^T = o C C^T o + 1 - o,    M = L^{-1} o C,

and so the expectation of a Fourier feature is in closed form,

    E cos(w^T r) = cos(w^T E r) exp(-(|w|^2 - |M w|^2) / 2),

and alike for the sine. No value is imputed: an atom of a Gaussian set counts with the mean over
all values that the missing ones may have. In more than 32 dimensions C is diagonal.

**Refinement.** Pairwise moments use no relation between features. In up to 32 dimensions they are
the start of steps of expectation maximisation (Dempster, Laird and Rubin, 1977), each a pass,

    mu' = mu + C E r,      Sigma' = C (E[r r^T] - E r E r^T) C^T,

the expectations over the atoms of a set and over what the missing values may be, given
$C C^T = (1 - a) \Sigma + a T + f^2 I$. T is the mean covariance within training sets, without
which few atoms would predict missing values from chance relations; for a > 0 a covariance is
therefore biased towards T by a share of what is missing, however many the atoms. Complete sets
keep their moments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from distembed.batch import SetBatch
from distembed.encoders.fourier import FourierFeatures
from distembed.encoders.statistics import Value
from distembed.nn.pairwise import gram
from distembed.rng import stream

__all__ = ["Gram", "IncompleteAtoms", "Refinement"]

_ROWS = 2048  # atoms whose matrices are in memory at a time


@dataclass(frozen=True)
class Gram:
    """Second moments of the mask and the measured values of each set, `(B, 2 D, 2 D)`."""

    atoms: SetBatch

    def of(self, batch: SetBatch) -> Value:
        """Return the second moments."""
        return (gram(batch.replace(x=self.atoms.filled)),)

    @staticmethod
    def merge(a: Value, b: Value, p: Tensor) -> Value:
        """Return the second moments of the union."""
        return (torch.lerp(a[0], b[0], p.to(a[0].dtype)[:, None, None]),)


@dataclass(frozen=True)
class Refinement:
    """Steps of expectation maximisation from pairwise moments.

    Attributes:
        steps: Number of steps, each of which is a pass over the atoms.
        share: Share a of the training sets in the covariance that predicts missing values.
    """

    steps: int = 2
    share: float = 0.1


@dataclass(frozen=True)
class IncompleteAtoms:
    """Atoms relative to the Gaussian of their set.

    Attributes:
        batch: The sets.
        mean: Their means, `(B, D)` float64.
        scale: Lower Cholesky factors `(B, D, D)`, or deviations `(B, D)`.
    """

    batch: SetBatch
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, batch: SetBatch, mean: Tensor, cov: Tensor, floor: Tensor, full: bool) -> Self:
        """Factor covariances `(B, D, D)`, with a floor of the scale."""
        if not full:
            return cls(batch, mean, (cov.diagonal(dim1=1, dim2=2) + floor**2).sqrt())
        eye = torch.eye(mean.shape[1], dtype=mean.dtype, device=mean.device)
        return cls(batch, mean, torch.linalg.cholesky(cov + floor**2 * eye))

    def expected(self, fourier: FourierFeatures, rows: Tensor) -> Tensor:
        """Return expected features, projected on `rows (F, L)`, `(N, L)`."""
        w = (fourier.frequencies / fourier.median).double()
        parts = []
        for u, m in self._conditional():
            r, kept = (u, m @ w.square()) if m.ndim == 2 else _projected(u, m, w)
            lost = (w.square().sum(0) - kept).clamp_min(0)
            damped = fourier(r) * torch.exp(-lost / 2).repeat(1, 2)
            parts.append(damped.to(rows.dtype) @ rows)
        return torch.cat(parts)

    def second_moments(self) -> Tensor:
        """Return E r and E r r^T of every atom, given its measured features, `(N, D + D^2)`."""
        parts = []
        for u, m in self._conditional():
            r = (m.mT @ u.unsqueeze(2)).squeeze(2)
            unknown = torch.eye(r.shape[1], dtype=r.dtype, device=r.device) - m.mT @ m
            parts.append(torch.cat([r, (r.unsqueeze(2) * r.unsqueeze(1) + unknown).flatten(1)], 1))
        return torch.cat(parts)

    def refined(self, means: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and covariances of sets from the means of `second_moments`."""
        d = self.mean.shape[1]
        r, square = means[:, :d, None], means[:, d:].view(-1, d, d)
        mean = self.mean + (self.scale @ r).squeeze(2)
        return mean, self.scale @ (square - r * r.mT) @ self.scale.mT

    def drawn(self) -> Tensor:
        """Return relative atoms with missing features drawn from their Gaussian, `(N, D)`."""
        rng, parts = stream(0, "missing"), []
        for u, m in self._conditional():
            e = torch.randn(u.shape, generator=rng, dtype=torch.float64).to(u)
            if m.ndim == 2:
                parts.append(u + (1 - m) * e)
                continue
            me = (m @ e.unsqueeze(2)).squeeze(2)
            parts.append(e + (m.mT @ (u - me).unsqueeze(2)).squeeze(2))
        return torch.cat(parts)

    def _conditional(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield whitened measured features `(n, D)` and M `(n, D, D)`, or its diagonal."""
        batch = self.batch
        flat = batch.filled.reshape(batch.w.shape[0], -1).double()
        o = batch.mask.double()
        centred = (flat - batch.expand(self.mean)) * o
        for c, mask, owner in zip(
            centred.split(_ROWS), o.split(_ROWS), batch.owner.split(_ROWS), strict=True
        ):
            scale = self.scale.index_select(0, owner)
            if scale.ndim == 2:
                yield c / scale, mask
                continue
            measured = scale * mask.unsqueeze(2)
            factor = torch.linalg.cholesky(measured @ measured.mT + torch.diag_embed(1 - mask))
            both = torch.cat([measured, c.unsqueeze(2)], 2)
            solved = torch.linalg.solve_triangular(factor, both, upper=False)
            yield solved[..., -1], solved[..., :-1]


def _projected(u: Tensor, m: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Return conditional means `(n, D)` and |M w|^2 `(n, F / 2)`."""
    return (m.mT @ u.unsqueeze(2)).squeeze(2), (m @ w).square().sum(1)
