r"""Rotary positions (Su et al., 2021): attention that sees the distance of two positions.

A head of d channels is d / 2 pairs, and at position t pair k is rotated by the angle
$t \, b^{-2k/d}$. The product of a rotated query and a rotated key is then a function of the
difference of their positions alone, at any position.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Angles", "rotary_angles", "rotate"]


class Angles(NamedTuple):
    """Cosines and sines of positions, each `(T, d / 2)`."""

    cos: Tensor
    sin: Tensor


def rotary_angles(
    start: int, count: int, channels: int, like: Tensor, base: float = 1e4
) -> Angles:
    """Return the angles of `count` positions from `start` on.

    Args:
        start: The first position.
        count: Number of positions.
        channels: Channels d of a head, even.
        like: A tensor of the type and the device of the result.
        base: b, which sets the slowest rotation.

    Raises:
        ValueError: If the number of channels is odd.
    """
    if channels % 2:
        raise ValueError(
            f"A head has {channels} channels; rotary positions rotate pairs of them. Take a width "
            "that is an even multiple of the number of heads."
        )
    # in float64: a float32 angle at position 10^4 is wrong in its fourth decimal
    rates = base ** (-torch.arange(0, channels, 2, device=like.device).double() / channels)
    angle = torch.arange(start, start + count, device=like.device).double()[:, None] * rates
    return Angles(angle.cos().to(like.dtype), angle.sin().to(like.dtype))


def rotate(x: Tensor, angles: Angles) -> Tensor:
    """Rotate the pairs of channels of `x (..., T, d)`; channel k is paired with k + d / 2.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> rotate(x, rotary_angles(0, 2, 2, x)).round(decimals=2).tolist()
        [[1.0, 0.0], [0.5400000214576721, 0.8399999737739563]]
    """
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos - b * angles.sin, a * angles.sin + b * angles.cos], -1)
