r"""Flow matching of images: a U-Net from coloured noise, with a scale of brightness.

It is `generators.flow.Flow` from another base, `generators.image_base.ImageGaussian`. Noise and
images have the same covariance there, so that the untrained flow draws smooth pictures and the
velocity of what is Gaussian is zero.
"""

from __future__ import annotations

from distembed.generators.brightness import BrightnessSettings
from distembed.generators.flow import Flow
from distembed.generators.image_base import ImageBaseSettings
from distembed.generators.samplers import Sampling
from distembed.nn.backbone import convolves

__all__ = ["image_flow"]


def image_flow(
    event_shape: tuple[int, ...],
    latent: int,
    width: int = 64,
    depth: int = 3,
    calls: int = 16,
    components: int = 512,
    brightness: str = "auto",
) -> Flow:
    """Build a flow of images, the default generator of images.

    Args:
        event_shape: Channels, height and width of an image.
        latent: Dimension L of the embedding.
        width: Width of the U-Net; that of the network of pixels where the image has fewer than 16
            pixels a side is twice this.
        depth: Number of residual blocks.
        calls: Network calls of a draw.
        components: Principal axes of the covariance of noise.
        brightness: `auto`, a logarithm of pixels where it makes them more normal; or `plain`.

    Raises:
        ValueError: If brightness is neither.

    Example:
        >>> import torch
        >>> model = image_flow((1, 16, 16), latent=4, calls=2)
        >>> model.sample(torch.zeros(3, 4), 5, torch.Generator()).shape
        torch.Size([3, 5, 1, 16, 16])
    """
    if brightness not in ("auto", "plain"):
        raise ValueError(f"brightness is {brightness!r}; it is 'auto' or 'plain'.")
    network, widened = ("unet", width) if convolves(event_shape) else ("mlp", 2 * width)
    scale = BrightnessSettings() if brightness == "auto" else BrightnessSettings(offsets=())
    base = ImageBaseSettings(components=components, brightness=scale)
    return Flow(event_shape, latent, widened, depth, network, Sampling(calls=calls), base)
