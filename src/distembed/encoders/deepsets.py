r"""Deep sets with feedback: a pooled residual network that sees each atom twice.

    h_0 = A [x, r],      r = the atom relative to its own set (centred; whitened or scaled)
    h_k = h_{k-1} + MLP([LN(h_{k-1}), E h_{k-1}])                          k = 1..depth
    z   = [s, g(pool h, s)],     s = the summary of the set: mean, root covariance and shape

E is the weighted mean over the set, or another pooling, so every layer depends on the distribution
alone (Zaheer et al., 2017; the feedback of the pooled mean after GDE, arXiv 2505.18150, section
A.3). The summary is fixed before training, in units of W2 (`distembed.encoders.summary`); it fills
at most seven eighths of z. The learned g has coordinates of its own, so that noise of training
never moves a mean. LayerNorm acts
inside the residual branch only: the stream that is pooled keeps its scale, and nothing bounds z.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.encoders.front import Front
from distembed.encoders.pooling import Pooling, pooling
from distembed.encoders.statistics import Stages, run
from distembed.nn.mlp import MLP
from distembed.nn.precision import reduced

__all__ = ["DeepSets"]

Block = Literal["pre", "post", "plain"]


class DeepSets(nn.Module):
    """A pooled residual network, the default encoder.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Number of layers.
        relative: Show each atom relative to its set as well.
        isometry: Give coordinates of z to mean, root covariance and shape in closed form.
        pooling: Name of a pooling, or a `Pooling` of your own, for the features of the last layer.
        feedback: Name of the pooling that is fed back at every layer, or None for none.
        block: `pre` normalises inside a residual branch; `post` and `plain` are the layers of the
            GDE paper, with a normalisation after the sum, and with neither sum nor normalisation.

    Raises:
        ValueError: If there is no such pooling or block.

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
        relative: bool = True,
        isometry: bool = True,
        pooling: str | Pooling = "moments",
        feedback: str | None = "mean",
        block: Block = "pre",
    ) -> None:
        super().__init__()
        if block not in ("pre", "post", "plain"):
            raise ValueError(f"block is {block!r}; there are: 'pre', 'post', 'plain'.")
        self.latent = latent
        self.pool = _pooling(pooling)
        self.feedback = _pooling(feedback) if feedback is not None else None
        self.front = Front(event_shape, latent, relative, isometry)
        told = width * (self.feedback.columns if self.feedback else 0)
        self.inputs = _inputs(self.front.columns, width, block)
        self.layers = nn.ModuleList([_Layer(width, told, block) for _ in range(depth)])
        seen = self.pool.columns * width
        self.head: nn.Module = nn.Linear(seen, latent)
        if isometry:
            self.head = MLP(seen + self.front.known, latent - self.front.known, 2 * width)

    @property
    def passes(self) -> int | None:
        """How often the atoms are read: twice for the summary, once or more for each pooling."""
        inner = self.feedback.passes if self.feedback else 0
        if self.pool.passes is None or inner is None:
            return None
        return self.front.passes + len(self.layers) * inner + self.pool.passes

    @property
    def normal(self) -> bool:
        """Whether z is asymptotically normal in the number of atoms."""
        return self.pool.normal and (self.feedback is None or self.feedback.normal)

    @property
    def smooth(self) -> bool:
        """Whether z has a derivative by the weights."""
        return self.pool.smooth and (self.feedback is None or self.feedback.smooth)

    @property
    def fixed(self) -> int:
        """How many coordinates, the first, are the summary, which training does not move."""
        return self.front.known

    def prepare(self, batch: SetBatch) -> None:
        """Fix the summary and the floor of scales from training sets."""
        self.front.prepare(batch)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        return run(self.stages(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Ask for moments, for what is fed back, and for what is pooled; return z."""
        dtype, device = next(self.parameters()).dtype, batch.x.device
        atoms, known = yield from self.front.stages(batch, dtype)
        with reduced(device):
            h = self.inputs(atoms)
        for layer in self.layers:
            told = None
            if self.feedback:
                told = (yield from self.feedback(batch, h)).to(h.dtype)
            with reduced(device):
                h = layer(batch, h, told)
        pooled = (yield from self.pool(batch, h.to(dtype))).to(dtype)
        if known is None:
            z: Tensor = self.head(pooled)
            return z
        return torch.cat([known, self.head(torch.cat([pooled, known], 1))], 1)


class _Layer(nn.Module):
    def __init__(self, width: int, told: int, block: Block) -> None:
        super().__init__()
        self.block = block
        self.by_atom = nn.Linear(width, width)
        self.by_set = nn.Linear(told, width, bias=False) if told else None
        self.outer: nn.Module = nn.Linear(width, width)
        if block != "pre":
            self.outer = MLP(width, width, width)
        self.skip = nn.Linear(width, width) if block == "post" else None

    def forward(self, batch: SetBatch, h: Tensor, told: Tensor | None) -> Tensor:
        inner = self.by_atom(_normalised(h) if self.block == "pre" else h)
        if self.by_set is not None and told is not None:
            inner = inner + batch.expand(self.by_set(told))
        out: Tensor = self.outer(functional.silu(inner))
        if self.block == "pre":
            return h + out
        return out if self.skip is None else _normalised(out + h + self.skip(h))


def _inputs(columns: int, width: int, block: Block) -> nn.Module:
    return nn.Linear(columns, width) if block == "pre" else MLP(columns, width, width, hidden=2)


def _normalised(h: Tensor) -> Tensor:
    return functional.layer_norm(h, h.shape[-1:])


_pooling = pooling
"""The function, under a name that the argument of the same name does not hide."""
