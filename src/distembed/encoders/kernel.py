"""The kernel mean by random Fourier features (Smola et al., 2007; Rahimi and Recht, 2007).

    z = J E_P[phi(X)]

so that |z_1 - z_2| approximates the maximum mean discrepancy under a Gaussian kernel, of which phi
are the features (`distembed.encoders.fourier`). J is the identity where F = L, and else the
projection that keeps the distances of training sets best: few frequencies are a coarse kernel,
many reduced to few coordinates are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.encoders.fourier import FourierFeatures, reduced_mean
from distembed.encoders.projection import PrincipalProjection
from distembed.encoders.relative_atoms import WHITEN_UP_TO, fit_floor, moments, relative_atoms
from distembed.encoders.statistics import Mean, Stages, run
from distembed.protocols import EncoderTraits

__all__ = ["KernelMean"]


class KernelMean(nn.Module):
    """Random-feature kernel mean of a set.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        bandwidths: Multiples of the median distance.
        features: Number F of features, even; L where that is larger.
        learned: Train the frequencies, from where they are drawn.
        relative: Embed the shape of a set alone: its atoms relative to their set. That takes one
            more pass.
        seed: Seed of the frequencies.

    Raises:
        ValueError: If the number of features is odd or a bandwidth is not positive.

    Example:
        >>> batch = SetBatch.from_list([[[0.0], [2.0]], [[5.0]]])
        >>> KernelMean((1,), 8, features=8)(batch).norm(dim=1)[1].item()
        1.0
    """

    floor: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        bandwidths: Sequence[float] = (1.0,),
        features: int = 512,
        learned: bool = False,
        relative: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        d, count = math.prod(event_shape), max(features, latent)
        self.latent, self.learned, self.relative = latent, learned, relative
        self.whiten = d <= WHITEN_UP_TO
        self.register_buffer("floor", torch.tensor(0.02))
        self.fourier = FourierFeatures(d, count, bandwidths, learned, seed)
        self.projection = PrincipalProjection(count, latent) if count > latent else None

    @property
    def traits(self) -> EncoderTraits:
        """One pass, and one before it for relative atoms; untrained if frequencies are."""
        return EncoderTraits(1 + self.relative, informed=0 if self.learned else self.latent)

    def prepare(self, batch: SetBatch) -> None:
        """Fix the bandwidth and the projection from training sets."""
        fit_floor(self.floor, batch)
        with torch.no_grad():
            atoms = batch.replace(x=run(self._atoms(batch), batch))
            self.fourier.fit(atoms)
            if self.projection is not None:
                self.projection.fit(self.fourier.mean(atoms))

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        return run(self.stages(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Request the mean feature."""
        atoms = yield from self._atoms(batch)
        if self.projection is None:
            ((mean,),) = yield (Mean(self.fourier(atoms)),)
            return mean
        return (yield from reduced_mean(self.fourier, self.projection, atoms))

    def _atoms(self, batch: SetBatch) -> Stages[Tensor]:
        dtype = self.fourier.frequencies.dtype
        if not self.relative:
            return batch.flat.to(dtype)
        mean, second = yield from moments(batch, self.whiten)
        return relative_atoms(batch, mean, second, self.floor.double()).to(dtype)
