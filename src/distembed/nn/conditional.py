r"""A network on atoms that is modulated by the embedding of their set.

    h <- h + W_2 silu((1 + a(z)) * W_1 h + b(z))

FiLM (Perez et al., 2018) acts after the inner product, and there is no normalisation: the network
is smooth in its input everywhere, so that its gradient may itself be penalised. The condition is
computed for B sets and not for N atoms.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.nn.film import Expand
from distembed.nn.mlp import MLP
from distembed.nn.precision import reduced

__all__ = ["ConditionalNet"]


class _Block(nn.Module):
    """One residual block; `expand` repeats rows of sets for their atoms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.by_condition = nn.Linear(width, 2 * width)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, h: Tensor, condition: Tensor, expand: Expand) -> Tensor:
        a, b = expand(self.by_condition(condition)).chunk(2, -1)
        inner = self.inner(h)
        out: Tensor = h + self.outer(functional.silu(torch.addcmul(inner + b, a, inner)))
        return out


class ConditionalNet(nn.Module):
    """Map atoms and the embeddings of their sets to one row per atom.

    Args:
        inputs: Width of an atom.
        outputs: Width of a row.
        latent: Dimension of the embedding z.
        width: Width of the residual stream.
        depth: Number of residual blocks.

    Example:
        >>> net = ConditionalNet(2, 3, latent=4, width=8, depth=1)
        >>> net(torch.zeros(5, 7, 2), torch.zeros(5, 4), lambda v: v.unsqueeze(1)).shape
        torch.Size([5, 7, 3])
    """

    def __init__(self, inputs: int, outputs: int, latent: int, width: int, depth: int) -> None:
        super().__init__()
        self.condition = MLP(latent, width, width)
        self.inputs = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.outputs = nn.Linear(width, outputs)

    def forward(self, x: Tensor, z: Tensor, expand: Expand) -> Tensor:
        """Evaluate.

        Args:
            x: Atoms, `(N, D)` or `(B, n, D)`.
            z: Embeddings, `(B, L)`.
            expand: Repeats the row of each set for its atoms, `(B, H)` to the leading shape of
                `x`.

        Returns:
            Rows, with the leading shape and the type of `x`.
        """
        with reduced(x.device):
            condition = functional.silu(self.condition(z))
            h = self.inputs(x)
            for block in self.blocks:
                h = block(h, condition, expand)
            out: Tensor = self.outputs(functional.silu(h))
        return out.to(x.dtype)
