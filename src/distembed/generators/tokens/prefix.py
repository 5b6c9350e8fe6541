r"""Conditions of a language model on an embedding: soft prefix, modulation of layers, or both.

A soft prefix is k vectors in front of the sequence, made from z (Li and Liang, 2021): any model
that reads vectors can be conditioned so, a pretrained one too. A modulation scales and shifts
every layer. Both are computed for B sets, not for N sequences.
"""

from __future__ import annotations

from torch import Tensor, nn

from distembed.nn.mlp import MLP

__all__ = ["CONDITIONS", "SoftPrefix", "check_condition"]

CONDITIONS = ("prefix", "modulation", "both")
"""How a transformer is conditioned."""


class SoftPrefix(nn.Module):
    """Map an embedding to k vectors in front of a sequence, `(B, L) -> (B, k, width)`.

    Args:
        latent: Dimension of what the generator sees of an embedding.
        width: Width of the model that reads them.
        count: k.

    Raises:
        ValueError: If `count` is below 1.

    Example:
        >>> import torch
        >>> SoftPrefix(latent=4, width=8, count=3)(torch.zeros(2, 4)).shape
        torch.Size([2, 3, 8])
    """

    def __init__(self, latent: int, width: int, count: int = 4) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"prefix = {count}; a soft prefix has at least one vector.")
        self.count = count
        self.network = MLP(latent, count * width, max(width, latent))

    def forward(self, z: Tensor) -> Tensor:
        """Return the vectors, `(B, k, width)`."""
        out: Tensor = self.network(z).unflatten(-1, (self.count, -1))
        return out


def check_condition(condition: str) -> None:
    """Raise a ValueError that lists the conditions where there is none of a name."""
    if condition not in CONDITIONS:
        raise ValueError(
            f"There is no condition {condition!r} of a transformer; there are: "
            f"{', '.join(CONDITIONS)}."
        )
