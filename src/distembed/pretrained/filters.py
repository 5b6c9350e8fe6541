r"""Filters of long convolutions as functions of the position (Poli et al., 2023).

For positions n = 0, ..., P - 1 (P the largest number of positions) and channel c,

    k_{n,c} = q_c(e_n) (exp(-|d_c| n / (P - 1)) + shift),
    e_n     = (n / (P - 1), cos(f_b w_n)_b, -sin(f_b w_n)_b),       w_n = 2 pi n / P,

with q a perceptron whose activation is the sine of learned frequencies, the same vector in each of
its layers, and d from log(0.01) / 1.5 to log(0.01) / 0.3 over the channels. A shorter sequence has
the first values of the same filter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["ImplicitFilter"]


class ImplicitFilter(nn.Module):
    """One filter a channel.

    Args:
        width: Number of channels.
        limit: Largest number of positions P.
        inputs: Number of features of a position, odd.
        hidden: Width of the perceptron.
        depth: Its number of inner layers.
        shift: What is added to the decay.

    Raises:
        ValueError: If the number of features is even or below 3.

    Example:
        >>> ImplicitFilter(4, limit=10, inputs=5, hidden=8)(6).shape
        torch.Size([4, 6])
    """

    stored_features: Tensor | None

    def __init__(
        self,
        width: int,
        limit: int,
        inputs: int,
        hidden: int,
        depth: int = 2,
        shift: float = 0.05,
    ) -> None:
        super().__init__()
        if inputs < 3 or inputs % 2 == 0:
            raise ValueError(
                f"A position has {inputs} features; there is the position, and pairs of a cosine "
                "and a sine: 3, 5, 7, ... Copy config.json again."
            )
        self.width, self.limit, self.inputs, self.shift = width, limit, inputs, shift
        self.bias = nn.Parameter(torch.randn(width))
        self.frequency = nn.Parameter(torch.full((1, hidden), 10.0))
        # the places of layers in the published files: sines stand between them
        widths = [inputs, *[hidden] * (depth + 1)]
        layers: dict[str, nn.Module] = {
            str(2 * i): nn.Linear(a, b)
            for i, (a, b) in enumerate(zip(widths[:-1], widths[1:], strict=True))
        }
        layers[str(2 * depth + 2)] = nn.Linear(hidden, width, bias=False)
        self.implicit_filter = nn.ModuleDict(layers)
        # features that a published file holds, where they are not those of the formula
        self.register_buffer("stored_features", None, persistent=False)

    def features(self, length: int) -> Tensor:
        """Return the features of the first positions, `(length, inputs)`."""
        if self.stored_features is not None:
            return self.stored_features[:length]
        bands = (self.inputs - 1) // 2
        n = torch.arange(length, dtype=torch.float64, device=self.bias.device)
        rates = torch.linspace(1e-4, bands - 1, bands, dtype=n.dtype, device=n.device)
        angle = (2 * math.pi * n / self.limit)[:, None] * rates
        parts = [self._time(length)[:, None], angle.cos(), -angle.sin()]
        return torch.cat(parts, 1).to(self.bias.dtype)

    def keep_features(self, stored: Tensor, rounding: float = 1e-5) -> str:
        """Use stored features `(1, P, inputs)` of positions where they differ from the formula.

        Returns:
            A sentence on what was kept; empty where they are those of the formula.

        Raises:
            ValueError: If they have another shape.
        """
        expected = (1, self.limit, self.inputs)
        if tuple(stored.shape) != expected:
            raise ValueError(
                f"pos_emb.z has shape {tuple(stored.shape)}, expected {expected} by config.json. "
                "Use config.json and weights of one publication."
            )
        values = stored[0].to(self.bias)
        error = float((values - self.features(self.limit)).abs().max())
        if error <= rounding:
            return ""
        self.stored_features = values
        return f"The stored features of positions differ from the formula by {error:.2g}: kept. "

    def forward(self, length: int) -> Tensor:
        """Return the first values of the filters, `(D, length)`."""
        with torch.autocast(self.bias.device.type, enabled=False):
            *inner, last = self.implicit_filter.values()
            h = self.features(length)
            for layer in inner:
                h = torch.sin(self.frequency * layer(h))
            start, end = math.log(0.01) / 1.5, math.log(0.01) / 0.3
            rate = torch.linspace(start, end, self.width, device=h.device, dtype=torch.float64)
            decay = torch.exp(-self._time(length)[:, None] * rate.abs()).to(h.dtype)
            k: Tensor = last(h) * (decay + self.shift)
        return k.T

    def _time(self, length: int) -> Tensor:
        n = torch.arange(length, dtype=torch.float64, device=self.bias.device)
        return n / max(1, self.limit - 1)
