r"""Features of an atom of any fixed shape by a perceptron on its flat vector.

$h(x) = W_k\,\sigma(\dots \sigma(W_0\,\mathrm{vec}(x)))$ with SiLU between: the $\phi$ of deep
sets (Zaheer et al., 2017). The last layer is linear, so that features keep their scale.
"""

from __future__ import annotations

import math
from typing import cast

from torch import Tensor, nn

from distembed.nn.mlp import MLP

__all__ = ["PointMLP"]


class PointMLP(nn.Module):
    """A perceptron on each flat atom.

    Args:
        event_shape: Shape of one atom.
        width: Number H of features.
        hidden: Width of the hidden layers.
        depth: Number of hidden layers.

    Example:
        >>> import torch
        >>> PointMLP((2, 3), width=4)(torch.zeros(5, 2, 3)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self, event_shape: tuple[int, ...], width: int, hidden: int = 64, depth: int = 2
    ) -> None:
        super().__init__()
        self.event_shape, self.width = tuple(event_shape), width
        self.layers = MLP(math.prod(event_shape), width, hidden, depth)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of each atom, `(N, *event) -> (N, H)`.

        Raises:
            ValueError: If the atoms have another shape.
        """
        if tuple(x.shape[1:]) != self.event_shape:
            raise ValueError(
                f"Atoms have shape {tuple(x.shape[1:])}; this mlp was built for "
                f"{self.event_shape} and has a weight for every number. For images of several "
                "sizes use conv2d, for sequences of several lengths conv1d or transformer."
            )
        first = cast(nn.Linear, self.layers[0])
        return self.layers.forward(x.flatten(1).to(first.weight.dtype))
