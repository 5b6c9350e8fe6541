"""Multilayer perceptrons, and an initialisation near zero."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

__all__ = ["MLP", "shrink"]

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


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

    @property
    def last(self) -> nn.Linear:
        """The output layer."""
        layer = self[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        for layer in self:
            x = layer(x)
        return x


def shrink(layer: Layer, factor: float) -> Layer:
    """Scale the initial weights of a layer and zero its bias, so that its output starts near zero.

    A factor above zero still passes a gradient to the layers before it.
    """
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    layer.weight.data.mul_(factor)
    return layer
