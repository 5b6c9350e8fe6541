"""The kernel mean by random Fourier features (Smola et al., 2007; Rahimi and Recht, 2007).

    z      = J E_P[phi(X)],    phi(x) = sqrt(2 / F) (cos w_j^T x, sin w_j^T x)     j = 1..F/2
    w_j    ~ N(0, I / sigma_j^2)

so that |z_1 - z_2| approximates the maximum mean discrepancy under a Gaussian kernel. The
bandwidth is a multiple of the median distance between training atoms; with several multiples the
frequencies are shared out among them. J is the identity where F = L, and else the projection that
keeps the distances of training sets best: few frequencies are a coarse kernel, many reduced to
few coordinates are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.encoders.front import Front
from distembed.encoders.isometry import Isometry
from distembed.encoders.statistics import Mean, Stages, run
from distembed.rng import stream

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

    median: Tensor
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
        count = max(features, latent)
        if count % 2:
            raise ValueError(f"{count} features; a kernel mean takes cosines and sines in pairs.")
        if not bandwidths or min(bandwidths) <= 0:
            raise ValueError(f"bandwidths = {bandwidths}; they are positive multiples.")
        d, half = math.prod(event_shape), count // 2
        self.latent = latent
        self.reduced = Isometry(count, latent) if count > latent else None
        self.front = Front(event_shape, latent, relative, isometry=False)
        widths = torch.tensor([bandwidths[j % len(bandwidths)] for j in range(half)])
        normal = torch.randn(d, half, generator=stream(seed, "kernel", d, half))
        self.frequencies = nn.Parameter(normal / widths, requires_grad=learned)
        self.register_buffer("median", torch.tensor(1.0))

    @property
    def passes(self) -> int | None:
        """One, and one before it for relative atoms."""
        return 1 + self.front.passes

    def prepare(self, batch: SetBatch) -> None:
        """Set the bandwidth from the median distance between atoms of training sets."""
        self.front.prepare(batch)
        atoms, _ = run(self.front.stages(batch, torch.float64), batch)
        seen = batch.replace(x=atoms[:, -self.frequencies.shape[0] :]).to("cpu")
        few = seen.subsample(8, stream(0, "kernel median")).flat
        few = few[torch.randperm(len(few), generator=stream(0, "kernel rows"))[:1024]]
        distances = torch.pdist(few)
        if len(distances) and float(distances.median()) > 0:
            self.median.copy_(distances.median())
        if self.reduced is not None:
            with torch.no_grad():
                self.reduced.fit(run(self._features(batch), batch))

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        return run(self.stages(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Ask for the mean feature."""
        mean = yield from self._features(batch)
        return mean if self.reduced is None else self.reduced(mean)

    def _features(self, batch: SetBatch) -> Stages[Tensor]:
        atoms, _ = yield from self.front.stages(batch, self.frequencies.dtype)
        # the last columns are the relative atoms where they are asked for
        angle = atoms[:, -self.frequencies.shape[0] :] @ (self.frequencies / self.median)
        ((mean,),) = yield (Mean(torch.cat([angle.cos(), angle.sin()], 1)),)
        return mean * math.sqrt(2 / mean.shape[1])
