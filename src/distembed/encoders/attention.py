r"""Set transformers with attention that weighs atoms by their weights (Lee et al., 2019).

Atom j is attended to with the logit $q_i^\top k_j + \log w_j$, so that an atom of twice the weight
counts as two and one of weight zero is not there: the five laws hold exactly.

- `attention`: every atom attends to all atoms of its set. Cost is quadratic in the atoms of a set;
  use it up to about 512.
- `induced`: a few inducing points attend to the atoms, and the atoms to them. Cost is linear. The
  softmax sums of inducing points are mergeable (`statistics.Attend`), so it streams, in one pass
  a layer.

Which of the two is used can not depend on the number of atoms: a set and its doubled self would
be embedded by different networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.encoders.statistics import Attend, Stages, run
from distembed.nn.mlp import MLP
from distembed.protocols import EncoderTraits

__all__ = ["SetTransformer", "attention", "induced"]

_QUERIES = 4  # learned queries that pool the atoms of the last layer


class SetTransformer(nn.Module):
    """A set transformer, through inducing points or between all pairs of atoms.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Number of layers.
        heads: Heads of attention; they divide the width.
        points: Number of inducing points, or None for attention between all atoms.

    Raises:
        ValueError: If the heads do not divide the width.

    Example:
        >>> batch = SetBatch.from_list([torch.randn(5, 3), torch.randn(2, 3)])
        >>> SetTransformer((3,), latent=4)(batch).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        points: int | None = 16,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(
                f"heads = {heads} do not divide the width {width}; take a width that is a "
                "multiple of them."
            )
        self.latent, self.points = latent, points
        self.inputs = nn.Linear(math.prod(event_shape), width)
        self.layers: Sequence[_Layer] = cast(
            Sequence[_Layer],
            nn.ModuleList(
                _SAB(width, heads) if points is None else _ISAB(width, heads, points)
                for _ in range(depth)
            ),
        )
        self.pool = _PMA(width, heads, _QUERIES)
        self.head = MLP(_QUERIES * width, latent, 2 * width)

    @property
    def traits(self) -> EncoderTraits:
        """One pass a layer and one to pool; none is enough for all pairs."""
        streams = self.points is not None
        return EncoderTraits(len(self.layers) + 1 if streams else None)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""
        return run(self.stages(batch), batch)

    def stages(self, batch: SetBatch) -> Stages[Tensor]:
        """Request the attention of each layer, and that of the pooling; return z."""
        h = self.inputs(batch.flat.to(self.inputs.weight.dtype))
        for layer in self.layers:
            h = yield from layer.stages(batch, h)
        pooled = yield from self.pool.stages(batch, h)
        return self.head.forward(pooled.flatten(1))


def attention(
    event_shape: tuple[int, ...],
    latent: int,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
) -> SetTransformer:
    """Return a set transformer whose atoms attend to all atoms of their set: cost m^2.

    Example:
        >>> attention((3,), latent=4).traits.passes is None
        True
    """
    return SetTransformer(event_shape, latent, width, depth, heads, None)


def induced(
    event_shape: tuple[int, ...],
    latent: int,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    points: int = 16,
) -> SetTransformer:
    """Return a set transformer whose atoms attend through inducing points: cost m.

    Example:
        >>> induced((3,), latent=4).traits.passes
        3
    """
    return SetTransformer(event_shape, latent, width, depth, heads, points)


class _Layer(Protocol):
    def stages(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]: ...


class _SAB(nn.Module):
    """Set attention block: attention between all atoms of a set, then a network for each."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projections = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.network = MLP(width, width, 2 * width)

    def stages(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        yield from ()  # no statistic of one pass
        b, heads = batch.count, self.heads
        dense, log_w = batch.dense(self.projections(_normalised(h)))
        q, k, v = dense.view(b, dense.shape[1], 3, heads, -1).permute(2, 0, 3, 1, 4)
        # equal weights are no news to a softmax, and attention without a mask is faster
        mask = None if batch.equal is not None else log_w.to(q.dtype)[:, None, None]
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        attended = attended.transpose(1, 2).flatten(2)
        if batch.equal is not None:
            rows = attended.flatten(0, 1)
        else:
            rows = attended[batch.owner, batch.rank]
        h = h + self.mixed(rows)
        out: Tensor = h + self.network(_normalised(h))
        return out


class _ISAB(nn.Module):
    """Induced set attention block: points attend to the atoms, and the atoms to the points."""

    def __init__(self, width: int, heads: int, points: int) -> None:
        super().__init__()
        self.pool = _PMA(width, heads, points)
        self.by_pooled = MLP(width, width, width)
        self.by_atom = nn.Linear(width, width)
        self.by_point = nn.Linear(width, 2 * width)
        self.mixed = nn.Linear(width, width)
        self.network = MLP(width, width, 2 * width)

    def stages(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        heads = self.pool.heads
        points = yield from self.pool.stages(batch, h)
        points = points + self.by_pooled(_normalised(points))
        k, v = self.by_point(points).unflatten(-1, (2, heads, -1)).permute(2, 0, 3, 1, 4)
        # the points of a set are few, so each atom gets a copy of its set's only in the products
        q = self.by_atom(_normalised(h)).unflatten(-1, (heads, -1))
        dense, _ = batch.dense(q)
        attended = functional.scaled_dot_product_attention(dense.transpose(1, 2), k, v)
        attended = attended.transpose(1, 2).flatten(2)
        h = h + self.mixed(attended[batch.owner, batch.rank])
        out: Tensor = h + self.network(_normalised(h))
        return out


class _PMA(nn.Module):
    """Pooling by multihead attention: learned queries attend to atoms, `(N, H) -> (B, I, H)`."""

    def __init__(self, width: int, heads: int, points: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Parameter(torch.randn(points, width))
        self.projections = nn.Linear(width, 2 * width)

    def stages(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        k, v = self.projections(_normalised(h)).unflatten(-1, (2, self.heads, -1)).unbind(1)
        q = self.queries.unflatten(-1, (self.heads, -1)).transpose(0, 1)
        q = (q / math.sqrt(q.shape[-1])).expand(batch.count, -1, -1, -1)
        ((average, _),) = yield (Attend(q, k, v),)
        return average.to(h.dtype).transpose(1, 2).flatten(2)


def _normalised(h: Tensor) -> Tensor:
    return functional.layer_norm(h, h.shape[-1:])
