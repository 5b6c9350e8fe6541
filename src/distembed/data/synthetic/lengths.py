"""Lengths of synthetic sequences: uniform on a range, and stored with pads at the end."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Lengths", "checked_lengths", "cut", "draw_lengths", "log_length", "padded"]

Lengths = tuple[int, int]
"""The shortest and the longest sequence; all lengths between are equally frequent."""


def checked_lengths(lengths: Lengths, least: int) -> Lengths:
    """Return a range of lengths, or raise a ValueError if it is none or starts too low."""
    low, high = lengths
    if not least <= low <= high:
        raise ValueError(
            f"lengths = {tuple(lengths)}; they are the shortest sequence, at least {least}, and "
            "the longest."
        )
    return low, high


def draw_lengths(lengths: Lengths, count: int, rng: torch.Generator) -> Tensor:
    """Draw lengths, `(count,)`."""
    return torch.randint(lengths[0], lengths[1] + 1, (count,), generator=rng)


def log_length(length: Tensor, lengths: Lengths) -> Tensor:
    """Return the log-probability of lengths `(N,)`: -inf outside of the range."""
    low, high = lengths
    occurs = (length >= low) & (length <= high)
    nats = torch.zeros(len(length), dtype=torch.float64) - math.log(high - low + 1)
    return nats.where(occurs, -torch.inf)


def cut(x: Tensor, length: Tensor) -> Tensor:
    """Put pads after the first `length` tokens of each row."""
    return x.where(torch.arange(x.shape[1]) < length[:, None], 0)


def padded(x: Tensor, longest: int) -> Tensor:
    """Return tokens `(N, longest)` int64."""
    return functional.pad(x.long(), (0, max(0, longest - x.shape[1])))[:, :longest]
