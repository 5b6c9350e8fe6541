r"""The kernel mean by random Fourier features (Smola et al., 2007; Rahimi and Recht, 2007).

$z = \mathbb{E}_P[\phi(X)]$, $\phi(x) = \sqrt{2/L}\,(\cos \omega_j^\top x, \sin \omega_j^\top x)$,
and $\omega_j \sim N(0, I / \sigma_j^2)$, so that $\|z_1 - z_2\|$ approximates the maximum mean
discrepancy under a Gaussian kernel. The bandwidth is a multiple of the median distance between
training atoms; with several multiples the frequencies are shared out among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.rng import stream

__all__ = ["KernelMean"]


class KernelMean(nn.Module):
    """Random-feature kernel mean of a set.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding, even.
        bandwidths: Multiples of the median distance.
        seed: Seed of the frequencies.

    Raises:
        ValueError: If `latent` is odd or a bandwidth is not positive.

    Example:
        >>> batch = SetBatch.from_list([[[0.0], [2.0]], [[5.0]]])
        >>> KernelMean((1,), 8)(batch).norm(dim=1)[1].item()
        1.0
    """

    frequencies: Tensor
    median: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        bandwidths: Sequence[float] = (1.0,),
        seed: int = 0,
    ) -> None:
        super().__init__()
        if latent % 2:
            raise ValueError(f"latent = {latent}; a kernel mean takes cosines and sines in pairs.")
        if not bandwidths or min(bandwidths) <= 0:
            raise ValueError(f"bandwidths = {bandwidths}; they are positive multiples.")
        d, half = math.prod(event_shape), latent // 2
        self.latent = latent
        widths = torch.tensor([bandwidths[j % len(bandwidths)] for j in range(half)])
        normal = torch.randn(d, half, generator=stream(seed, "kernel", d, half))
        self.register_buffer("frequencies", normal / widths)
        self.register_buffer("median", torch.tensor(1.0))

    def prepare(self, batch: SetBatch) -> None:
        """Set the bandwidth from the median distance between atoms of training sets."""
        few = batch.to("cpu").subsample(8, stream(0, "kernel median")).flat.double()
        few = few[torch.randperm(len(few), generator=stream(0, "kernel rows"))[:1024]]
        distances = torch.pdist(few)
        if len(distances) and float(distances.median()) > 0:
            self.median.copy_(distances.median())

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        x = batch.flat.to(self.frequencies.dtype)
        angle = x @ (self.frequencies / self.median)
        return batch.mean(torch.cat([angle.cos(), angle.sin()], 1)) * math.sqrt(2 / self.latent)
