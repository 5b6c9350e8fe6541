r"""Deep sets with feedback: a residual network of each atom, whose features are pooled.

    h_0 = A x
    h_k = h_{k-1} + MLP([LN(h_{k-1}), E h_{k-1}])                          k = 1..depth
    z   = g(pool h)

E is the weighted mean over the set, or another pooling, so every layer depends on the distribution
alone (Zaheer et al., 2017; the feedback of the pooled mean after GDE, arXiv 2505.18150, section
A.3). LayerNorm acts inside the residual branch only: the stream that is pooled keeps its scale,
and nothing bounds z.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.encoders.pooling import Pooling
from distembed.encoders.pooling import pooling as pooling_by_name
from distembed.encoders.statistics import Stages, run
from distembed.nn.mlp import MLP
from distembed.nn.precision import reduced
from distembed.protocols import EncoderTraits

__all__ = ["DeepSets"]


class DeepSets(nn.Module):
    """A pooled residual network.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Number of layers.
        pooling: Name of a pooling, or a `Pooling` of your own, for the features of the last layer.
        feedback: Name of the pooling that is fed back at every layer, or None for none.
        masked: Whether sets may have missing values: the network then reads every feature, zero
            where it is missing, and whether it was measured.

    Raises:
        ValueError: If there is no such pooling.

    Example:
        >>> batch = SetBatch.from_list([torch.randn(5, 3), torch.randn(2, 3)])
        >>> DeepSets((3,), latent=4)(batch).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 64,
        depth: int = 2,
        pooling: str | Pooling = "moments",
        feedback: str | None = "mean",
        masked: bool = False,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.pool = pooling_by_name(pooling)
        self.feedback = pooling_by_name(feedback) if feedback is not None else None
        fed_back = width * (self.feedback.columns if self.feedback else 0)
        self.masked = masked
        self.inputs = nn.Linear(math.prod(event_shape) * (2 if masked else 1), width)
        self.layers = nn.ModuleList([_Layer(width, fed_back) for _ in range(depth)])
        self.head = MLP(self.pool.columns * width, latent, 2 * width)

    @property
    def traits(self) -> EncoderTraits:
        """One pass or more for each pooling."""
        poolings = [self.pool, *([self.feedback] * len(self.layers) if self.feedback else [])]
        passes = [p.passes for p in poolings]
        total = sum(p for p in passes if p is not None)
        return EncoderTraits(
            None if None in passes else total,
            all(p.normal for p in poolings),
            all(p.smooth for p in poolings),
            masked=self.masked,
        )

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        batch = batch.without_empty()
        return run(self.stages(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Request what is fed back at each layer, and what is pooled; return z."""
        dtype, device = self.inputs.weight.dtype, batch.w.device
        atoms = self._with_mask(batch) if self.masked else batch.flat
        with reduced(device):
            h = self.inputs(atoms.to(dtype))
        for layer in self.layers:
            pooled = None
            if self.feedback:
                pooled = (yield from self.feedback(batch, h)).to(h.dtype)
            with reduced(device):
                h = layer(batch, h, pooled)
        z: Tensor = self.head((yield from self.pool(batch, h.to(dtype))).to(dtype))
        return z

    @staticmethod
    def _with_mask(batch: SetBatch) -> Tensor:
        """Return atoms and their masks side by side, `(N, 2 D)`."""
        mask = batch.mask
        return torch.cat([batch.filled.reshape(mask.shape), mask], 1)


class _Layer(nn.Module):
    def __init__(self, width: int, fed_back: int) -> None:
        super().__init__()
        self.by_atom = nn.Linear(width, width)
        self.by_set = nn.Linear(fed_back, width, bias=False) if fed_back else None
        self.outer = nn.Linear(width, width)

    def forward(self, batch: SetBatch, h: Tensor, pooled: Tensor | None) -> Tensor:
        inner = self.by_atom(functional.layer_norm(h, h.shape[-1:]))
        if self.by_set is not None and pooled is not None:
            inner = inner + batch.expand(self.by_set(pooled))
        out: Tensor = h + self.outer(functional.silu(inner))
        return out
