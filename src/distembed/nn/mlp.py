"""Multilayer perceptrons."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["MLP", "shrink"]


class MLP(nn.Sequential):
    """Linear layers with SiLU between them, `(..., inputs) -> (..., outputs)`.

    Args:
        inputs: Width of the input.
        outputs: Width of the output.
        width: Width of the hidden layers.
        hidden: Number of hidden layers.

    Example:
        >>> import torch
        >>> MLP(3, 2, width=8)(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(self, inputs: int, outputs: int, width: int, hidden: int = 1) -> None:
        layers: list[nn.Module] = []
        for _ in range(hidden):
            layers += [nn.Linear(inputs, width), nn.SiLU()]
            inputs = width
        super().__init__(*layers, nn.Linear(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        for layer in self:
            x = layer(x)
        return x


def shrink(layer: nn.Linear, factor: float) -> nn.Linear:
    """Scale the initial weights of a layer and zero its bias, so that it starts near silence.

    A factor above zero still lets a gradient through to everything before the layer.
    """
    nn.init.zeros_(layer.bias)
    layer.weight.data.mul_(factor)
    return layer
