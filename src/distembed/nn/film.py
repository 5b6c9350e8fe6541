r"""A network on atoms that is modulated by embeddings and time (FiLM; Perez et al., 2018).

    h <- h + W_2 silu(W_1 ((1 + a) LN(h) + b)),     (a, b) affine in condition(z) and in time(t)

All atoms of a set share its condition, which is computed for B sets and not for N atoms.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.nn.mlp import MLP, shrink
from distembed.nn.precision import reduced
from distembed.nn.time import TimeFeatures

__all__ = ["Expand", "FiLMNet"]

Expand = Callable[[Tensor], Tensor]
"""Repeats the row of each set for its atoms, `(B, H) -> (N, H)` or `(B, 1, H)`."""


class _Block(nn.Module):
    """One residual block; `expand` repeats rows of sets for their atoms."""

    def __init__(self, width: int, times: int) -> None:
        super().__init__()
        self.by_condition = nn.Linear(width, 2 * width)
        self.by_time = nn.Linear(times, 2 * width)
        self.inner = nn.Linear(width, width)
        self.outer = shrink(nn.Linear(width, width), 0.1)

    def forward(self, h: Tensor, condition: Tensor, time: Tensor, expand: Expand) -> Tensor:
        a, b = (expand(self.by_condition(condition)) + self.by_time(time)).chunk(2, -1)
        normed = functional.layer_norm(h, h.shape[-1:])
        out: Tensor = h + self.outer(
            functional.silu(self.inner(torch.addcmul(normed + b, a, normed)))
        )
        return out


class FiLMNet(nn.Module):
    """A field on atoms, conditioned on embeddings and time, that starts near zero.

    Args:
        dim: Dimension of an atom, and of the field.
        latent: Dimension of the embedding z.
        width: Width of the residual stream.
        depth: Number of residual blocks.

    Example:
        >>> field = FiLMNet(2, latent=4, width=8, depth=1)
        >>> x, z, t = torch.zeros(3, 5, 2), torch.zeros(3, 4), torch.tensor(0.5)
        >>> field(x, z, t, lambda rows: rows.unsqueeze(1)).shape
        torch.Size([3, 5, 2])
    """

    def __init__(self, dim: int, latent: int, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        self.time = TimeFeatures()
        self.condition = MLP(latent, width, width)
        self.inputs = nn.Linear(dim, width)
        self.blocks = nn.ModuleList([_Block(width, self.time.size) for _ in range(depth)])
        self.outputs = shrink(nn.Linear(width, dim), 0.01)

    def forward(self, x: Tensor, z: Tensor, t: Tensor, expand: Expand) -> Tensor:
        """Evaluate the field.

        Args:
            x: Atoms, `(N, D)` or `(B, n, D)`.
            z: Embeddings, `(B, L)`.
            t: Time of each atom in [0, 1], with the leading shape of `x`, or a scalar.
            expand: Repeats the row of each set for its atoms, `(B, H)` to the leading shape of
                `x`.

        Returns:
            The field, with the shape of `x`.
        """
        with reduced(x.device):
            time, condition = self.time(t), functional.silu(self.condition(z))
            h = self.inputs(x)
            for block in self.blocks:
                h = block(h, condition, time, expand)
            out: Tensor = self.outputs(functional.layer_norm(h, h.shape[-1:]))
        return out.to(x.dtype)
