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
from distembed.encoders.front import Front
from distembed.encoders.isometry import Isometry
from distembed.encoders.statistics import Mean, Stages, run

__all__ = ["KernelMean"]


class KernelMean(nn.Module):
    """Random-feature kernel mean of a set.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        bandwidths: Multiples of the median distance.
        features: Number F of features, even; L where that is larger.
        learned: Train the frequencies, from where they are drawn.
        relative: Look at the shape of a set alone: atoms centred, and whitened or scaled, by the
            moments of their set. That takes one more pass.
        seed: Seed of the frequencies.

    Raises:
        ValueError: If the number of features is odd or a bandwidth is not positive.

    Example:
        >>> batch = SetBatch.from_list([[[0.0], [2.0]], [[5.0]]])
        >>> KernelMean((1,), 8, features=8)(batch).norm(dim=1)[1].item()
        1.0
    """

    normal = True

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
        self.latent, self.d = latent, d
        self.fixed = 0 if learned else latent
        self.front = Front(event_shape, latent, relative, isometry=False)
        self.fourier = FourierFeatures(d, count, bandwidths, learned, seed)
        self.isometry = Isometry(count, latent) if count > latent else None

    @property
    def passes(self) -> int | None:
        """One, and one before it for relative atoms."""
        return 1 + self.front.passes

    def prepare(self, batch: SetBatch) -> None:
        """Fix the bandwidth and the projection from training sets."""
        self.front.prepare(batch)
        with torch.no_grad():
            atoms = batch.replace(x=run(self._atoms(batch), batch))
            self.fourier.fit(atoms)
            if self.isometry is not None:
                self.isometry.fit(self.fourier.mean(atoms))

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        return run(self.stages(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Ask for the mean feature."""
        atoms = yield from self._atoms(batch)
        if self.isometry is None:
            ((mean,),) = yield (Mean(self.fourier(atoms)),)
            return mean
        return (yield from reduced_mean(self.fourier, self.isometry, atoms))

    def _atoms(self, batch: SetBatch) -> Stages[Tensor]:
        seen, _ = yield from self.front.stages(batch, self.fourier.frequencies.dtype)
        # the last columns are the relative atoms where they are asked for
        return seen[:, -self.d :]
