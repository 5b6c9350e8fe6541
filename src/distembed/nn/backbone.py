"""Networks that a flow or a diffusion can be made of, by name.

All are built as `(event_shape, latent, width, depth)` and called as `nn.film.FiLMNet` is:
`(x, z, t, expand)` with flattened atoms `(N, D)` or `(B, n, D)`, to a field of the same shape.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from distembed.registry import Family, Member, lookup

if TYPE_CHECKING:
    from torch import nn

__all__ = ["BACKBONES", "backbone", "mlp"]

BACKBONES: Family = {
    "mlp": Member("distembed.nn.backbone:mlp", "residual network of flattened atoms (default)"),
    "unet": Member("distembed.nn.unet:UNet", "convolutions, for images"),
}


def backbone(
    name: str, event_shape: tuple[int, ...], latent: int, width: int, depth: int
) -> nn.Module:
    """Build a network by name.

    Raises:
        ValueError: If there is no such network, or it cannot take the shape.
    """
    made: nn.Module = lookup(BACKBONES, name, "backbone")(event_shape, latent, width, depth)
    return made


def mlp(event_shape: tuple[int, ...], latent: int, width: int, depth: int) -> nn.Module:
    """Build a `FiLMNet` on flattened atoms."""
    from distembed.nn.film import FiLMNet

    return FiLMNet(math.prod(event_shape), latent, width, depth)
