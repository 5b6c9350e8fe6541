"""Velocity networks of a flow, by name.

All are built as `(event_shape, latent, width, depth)` and evaluated as
`(x, z, t, expand) -> field`, with flattened atoms x `(N, D)` or `(B, n, D)` and a field of the
same shape; see `nn.film.FiLMNet.forward`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from distembed.registry import Family, Member, NamedMember, build

if TYPE_CHECKING:
    from torch import nn

__all__ = ["BACKBONES", "backbone", "convolves", "mlp"]

BACKBONES: Family = {
    "mlp": Member("distembed.nn.backbone:mlp", "residual network of flattened atoms (default)"),
    "unet": Member("distembed.nn.unet:UNet", "convolutions at several scales, for images"),
}


def backbone(
    member: NamedMember, event_shape: tuple[int, ...], latent: int, width: int, depth: int
) -> nn.Module:
    """Build a network by name.

    Raises:
        ValueError: If there is no such network, or it is not defined for the shape.
    """
    network: nn.Module = build(BACKBONES, member, "backbone", event_shape, latent, width, depth)
    return network


def convolves(event_shape: tuple[int, ...], shortest: int = 16, longest: int = 128) -> bool:
    """Return whether events are images on which a U-Net is better than a network of pixels.

    On 8 x 8 pixels the plain network had the lower loss at equal seconds, on 32 x 32 the U-Net.

    Example:
        >>> convolves((1, 8, 8)), convolves((2, 32, 32)), convolves((50,))
        (False, True, False)
    """
    sides = event_shape[1:]
    return len(event_shape) == 3 and shortest <= min(sides) and max(sides) <= longest


def mlp(event_shape: tuple[int, ...], latent: int, width: int, depth: int) -> nn.Module:
    """Build a `FiLMNet` on flattened atoms."""
    from distembed.nn.film import FiLMNet

    return FiLMNet(math.prod(event_shape), latent, width, depth)
