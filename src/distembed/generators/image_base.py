r"""A Gaussian base of images: location and level predicted from z, one covariance for all sets.

    g(X) | z ~ N(l(z), s(z)^2 R^2),      R = r I + V diag(d - r) V^T,      tr R^2 = D

g is the scale of brightness (`distembed.generators.brightness`). l and s are those of
`generators.base.ConditionalGaussian` in many dimensions. V `(D, K)` are principal axes of images
about the location of their set, d their deviations, and r the deviation on each axis beyond them:
a picture that is drawn has the fine detail of real ones, as noise.

Residuals are $u = (g(x) - l) / s$, with covariance R^2, and **noise has the same covariance**. A
flow between the two never has to remove white noise from a smooth image, which it would have to do
equally well in all D directions; it starts as this Gaussian and learns shapes only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import BaseSettings, ConditionalGaussian, Gaussian
from distembed.generators.brightness import Brightness, BrightnessSettings
from distembed.nn.subspace import leading_subspace

__all__ = ["ImageBaseSettings", "ImageGaussian"]


@dataclass(frozen=True)
class ImageBaseSettings:
    """Settings of a Gaussian base of images.

    Attributes:
        components: Most principal axes K.
        images: Most training images from which the axes are computed.
        floor: Smallest deviation on an axis, as a fraction of that of a pixel.
        brightness: How the scale of brightness is chosen.
    """

    components: int = 512
    images: int = 4096
    floor: float = 0.02
    brightness: BrightnessSettings = BrightnessSettings()


@dataclass(frozen=True)
class _Bright:
    """A Gaussian of g(x), with the interface of `Gaussian` for x."""

    gaussian: Gaussian
    brightness: Brightness

    def whiten(self, batch: SetBatch) -> Tensor:
        """Return residuals u of a batch, `(N, D)`."""
        return self.gaussian.whiten(batch.replace(x=self.brightness(batch.flat)))

    def colour(self, u: Tensor) -> Tensor:
        """Return the images of residuals `(B, n, D)`, the inverse of `residuals`."""
        return self.brightness.inverse(self.gaussian.colour(u))

    def residuals(self, x: Tensor) -> Tensor:
        """Return residuals of images `(B, n, D)`."""
        return self.gaussian.residuals(self.brightness(x))

    def log_volume(self) -> Tensor:
        """Return log s, `(B,)`."""
        return self.gaussian.log_volume()


class ImageGaussian(nn.Module):
    """A Gaussian of images with one covariance for all sets, up to its level.

    Args:
        dim: Number of pixels D of all channels.
        latent: Dimension L of the embedding.
        settings: Number of axes, and the scale of brightness.

    Example:
        >>> base = ImageGaussian(12, latent=4)
        >>> base(torch.zeros(2, 4)).colour(base.noise(torch.zeros(2, 5, 12))).shape
        torch.Size([2, 5, 12])
    """

    axes: Tensor
    deviations: Tensor
    rest: Tensor

    def __init__(self, dim: int, latent: int, settings: ImageBaseSettings | None = None) -> None:
        super().__init__()
        self.dim, self.settings = dim, settings or ImageBaseSettings()
        self.moments = ConditionalGaussian(
            dim, latent, settings=BaseSettings(network=False, full_up_to=0)
        )
        self.brightness = Brightness(self.settings.brightness)
        k = min(dim, self.settings.components)
        self.register_buffer("axes", torch.eye(dim, k))
        self.register_buffer("deviations", torch.ones(k))
        self.register_buffer("rest", torch.tensor(1.0))

    @torch.no_grad()
    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Fit brightness, location and level, and the axes of training images about them."""
        whole = batch.keep(batch.w > 0)
        self.brightness.fit(whole.flat)
        self.moments.prepare(self._bright(whole), z)
        step = -(-len(whole.flat) // self.settings.images)
        u = self(z).whiten(whole)[::step]
        total, k = u.square().sum() / len(u), min(*u.shape, len(self.deviations))
        axes, values = leading_subspace(u, k, iterations=3)
        deviations = values / len(u) ** 0.5
        beyond = (total - deviations.square().sum()).clamp_min(0) / max(1, self.dim - k)
        size = (total / self.dim).sqrt().clamp_min(1e-12)
        self.rest.copy_((beyond.sqrt() / size).clamp_min(self.settings.floor))
        self.axes.zero_()
        self.axes[:, :k] = axes
        self.deviations.copy_(self.rest)
        self.deviations[:k] = (deviations / size).clamp_min(self.settings.floor)

    def widen(self, batch: SetBatch, z: Tensor) -> None:
        """Widen the level by the error of predictions from few atoms."""
        self.moments.widen(self._bright(batch), z)

    def forward(self, z: Tensor) -> _Bright:
        """Return the Gaussian of each set, from embeddings `(B, L)`."""
        return _Bright(self.moments(z), self.brightness)

    def noise(self, e: Tensor) -> Tensor:
        """Give white noise `(..., D)` the covariance R^2 of residuals."""
        return self._scaled(e, self.deviations, self.rest)

    def negative_log_likelihood(self, batch: SetBatch, gaussian: _Bright) -> Tensor:
        """Score each set in nats per pixel, up to a constant, `(B,)`."""
        e = self._scaled(gaussian.whiten(batch), 1 / self.deviations, 1 / self.rest)
        volume = (self.deviations / self.rest).log().sum() / self.dim + self.rest.log()
        distance = batch.mean(e.square().mean(1)) / 2
        return distance + gaussian.log_volume() + volume - self.moments.unit.log()

    def _scaled(self, x: Tensor, deviations: Tensor, rest: Tensor) -> Tensor:
        """Multiply the components of x by the deviations, and what is left by another number."""
        return rest * x + ((x @ self.axes) * (deviations - rest)) @ self.axes.T

    def _bright(self, batch: SetBatch) -> SetBatch:
        return batch.replace(x=self.brightness(batch.flat))
