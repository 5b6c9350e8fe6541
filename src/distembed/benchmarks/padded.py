"""A deep-sets network on padded sets, the textbook form that packed sets are timed against."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.encoders.deepsets import DeepSets

__all__ = ["Padded", "padded"]


class Padded(nn.Module):
    """A deep-sets network on padded sets, with the layers of a plain `DeepSets`.

    Args:
        encoder: Of mean pooling.

    Example:
        >>> import torch
        >>> plain = DeepSets((3,), 4, pooling="mean")
        >>> Padded(plain)(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)).shape
        torch.Size([2, 4])
    """

    def __init__(self, encoder: DeepSets) -> None:
        super().__init__()
        self.inputs, self.layers, self.head = encoder.inputs, encoder.layers, encoder.head

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Embed `x (B, M, D)`, whose atoms are where `mask (B, M)` is true, to `(B, L)`."""
        share = (mask.to(x.dtype) / mask.sum(1, keepdim=True)).unsqueeze(1)
        h = self.inputs(x)
        for module in self.layers:
            layer = cast(Any, module)
            feedback = layer.by_set((share @ h).squeeze(1)).unsqueeze(1)
            inner = layer.by_atom(functional.layer_norm(h, h.shape[-1:])) + feedback
            h = h + layer.outer(functional.silu(inner))
        z: Tensor = self.head((share @ h).squeeze(1))
        return z


def padded(batch: SetBatch) -> tuple[Tensor, Tensor]:
    """Return atoms `(B, M, D)` and the mask `(B, M)` of those that exist."""
    dense, log_w = batch.dense(batch.x)
    return dense, log_w.isfinite()
