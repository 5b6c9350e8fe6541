"""Fourier features of a time in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["TimeFeatures"]


class TimeFeatures(nn.Module):
    r"""Map t to $(t, \cos 2^k \pi t / 2, \sin 2^k \pi t / 2)_{k = 0..K-1}$.

    The lowest frequency is a quarter period, so that the ends of the interval stay apart.

    Args:
        frequencies: The number K of octaves.

    Example:
        >>> TimeFeatures(2)(torch.zeros(7)).shape
        torch.Size([7, 5])
    """

    rates: Tensor

    def __init__(self, frequencies: int = 6) -> None:
        super().__init__()
        rates = torch.pi / 2 * 2.0 ** torch.arange(frequencies)
        self.register_buffer("rates", rates, persistent=False)
        self.size = 2 * frequencies + 1

    def forward(self, t: Tensor) -> Tensor:
        """Return the features, `(...) -> (..., 2 K + 1)`."""
        angle = t.unsqueeze(-1) * self.rates.to(t.dtype)
        return torch.cat([t.unsqueeze(-1), angle.cos(), angle.sin()], -1)
