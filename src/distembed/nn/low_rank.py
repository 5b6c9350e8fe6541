r"""Corrections of low rank to the weights of a network that is not trained (LoRA).

    W x + (a / r) B A x,      A (r, D_in) random,  B (D_out, r) zero before training

(Hu et al., 2022): the network starts as it was, and (D_in + D_out) r numbers are trained.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

__all__ = ["LowRank", "add_low_rank"]


class LowRank(nn.Module):
    """A linear layer, not trained, and a trained correction.

    Args:
        base: The layer.
        inputs: Width of its input.
        outputs: Width of its output.
        rank: Rank r of the correction.
        scale: The number a.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> x = torch.randn(5, 3)
        >>> bool((LowRank(layer, 3, 2, rank=1)(x) == layer(x)).all())
        True
    """

    def __init__(
        self, base: nn.Module, inputs: int, outputs: int, rank: int, scale: float = 16.0
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.b = nn.Parameter(torch.zeros(outputs, rank))
        self.factor = scale / rank

    @property
    def weight(self) -> Tensor:
        """The weight of the layer, whose type and place other code may ask for."""
        weight = self.base.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer and the correction."""
        low = nn.functional.linear(nn.functional.linear(x, self.a), self.b)
        out: Tensor = self.base(x) + self.factor * low
        return out


def add_low_rank(module: nn.Module, rank: int, skip: Collection[str] = ()) -> int:
    """Freeze a module, and correct its linear layers in place.

    Args:
        module: The module.
        rank: Rank of the corrections.
        skip: Names of submodules that are left as they are.

    Returns:
        The number of layers that were corrected.

    Raises:
        ValueError: If the rank is below 1, or there is no linear layer.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2))
        >>> add_low_rank(net, rank=2)
        2
        >>> [name for name, p in net.named_parameters() if p.requires_grad]
        ['0.a', '0.b', '2.a', '2.b']
    """
    if rank < 1:
        raise ValueError(f"rank = {rank}; a correction has at least rank 1.")
    module.requires_grad_(False)
    count = _correct(module, rank, skip)
    if not count:
        raise ValueError(
            f"{type(module).__name__} has no linear layer that a correction of low rank fits. "
            "Train all of it, train='all', or the prefix alone."
        )
    return count


def _correct(module: nn.Module, rank: int, skip: Collection[str]) -> int:
    count = 0
    for name, child in list(module.named_children()):
        if name in skip:
            continue
        if isinstance(child, nn.Linear):
            sizes = child.in_features, child.out_features
        elif type(child).__name__ == "Conv1D" and isinstance(child.weight, Tensor):
            # the linear layer of GPT-2, whose weight is (inputs, outputs)
            sizes = child.weight.shape[0], child.weight.shape[1]
        else:
            count += _correct(child, rank, skip)
            continue
        setattr(module, name, LowRank(child, *sizes, rank))
        count += 1
    return count
