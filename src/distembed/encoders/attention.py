r"""Set transformers whose attention knows the weights of the atoms (Lee et al., 2019).

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
from distembed.encoders.front import Front
from distembed.encoders.statistics import Attend, Stages, run
from distembed.nn.mlp import MLP

__all__ = ["SetTransformer", "attention", "induced"]

SUMMARIES = 4
"""Learned queries that pool the atoms of the last layer."""


class SetTransformer(nn.Module):
    """A set transformer, through inducing points or between all pairs of atoms.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Number of layers.
        heads: Heads of attention; they divide the width.
        points: Number of inducing points, or None for attention between all atoms.
        relative: Show each atom relative to its set as well.
        isometry: Give coordinates of z to mean, root covariance and shape in closed form.

    Raises:
        ValueError: If the heads do not divide the width.

    Example:
        >>> batch = SetBatch.from_list([torch.randn(5, 3), torch.randn(2, 3)])
        >>> SetTransformer((3,), latent=4)(batch).shape
        torch.Size([2, 4])
    """

    normal = True

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        points: int | None = 16,
        relative: bool = True,
        isometry: bool = True,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"heads = {heads} do not divide the width {width}.")
        self.latent, self.points = latent, points
        self.front = Front(event_shape, latent, relative, isometry)
        self.inputs = nn.Linear(self.front.columns, width)
        self.layers: Sequence[_Layer] = cast(
            Sequence[_Layer],
            nn.ModuleList(
                _Between(width, heads) if points is None else _Through(width, heads, points)
                for _ in range(depth)
            ),
        )
        self.summary = _Look(width, heads, SUMMARIES)
        known = self.front.known
        self.head = MLP(SUMMARIES * width + known, latent - known, 2 * width)

    @property
    def passes(self) -> int | None:
        """Two for the summary where it is wanted, one a layer, one to pool; None for all pairs."""
        return None if self.points is None else self.front.passes + len(self.layers) + 1

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
        """Ask for moments, for what the points of each layer see, and for the summary."""
        atoms, known = yield from self.front.stages(batch, self.inputs.weight.dtype)
        h = self.inputs(atoms)
        for layer in self.layers:
            h = yield from layer.stages(batch, h)
        pooled = (yield from self.summary.stages(batch, h)).flatten(1)
        if known is None:
            return self.head.forward(pooled)
        return torch.cat([known, self.head.forward(torch.cat([pooled, known], 1))], 1)


def attention(
    event_shape: tuple[int, ...],
    latent: int,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    relative: bool = True,
    isometry: bool = True,
) -> SetTransformer:
    """Return a set transformer whose atoms attend to all atoms of their set: cost m^2.

    Example:
        >>> attention((3,), latent=4).passes is None
        True
    """
    return SetTransformer(event_shape, latent, width, depth, heads, None, relative, isometry)


def induced(
    event_shape: tuple[int, ...],
    latent: int,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    points: int = 16,
    relative: bool = True,
    isometry: bool = True,
) -> SetTransformer:
    """Return a set transformer whose atoms speak through inducing points: cost m.

    Example:
        >>> induced((3,), latent=4).passes
        5
    """
    return SetTransformer(event_shape, latent, width, depth, heads, points, relative, isometry)


class _Layer(Protocol):
    def stages(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]: ...


class _Between(nn.Module):
    """Attention between all atoms of a set, then a network for each atom."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projections = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.network = MLP(width, width, 2 * width)

    def stages(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        yield from ()  # no statistic of one pass
        b, heads = len(batch), self.heads
        dense, log_w = batch.dense(self.projections(_normalised(h)))
        q, k, v = dense.view(b, dense.shape[1], 3, heads, -1).permute(2, 0, 3, 1, 4)
        # equal weights are no news to a softmax, and attention without a mask is faster
        mask = None if batch.equal is not None else log_w.to(q.dtype)[:, None, None]
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        seen = seen.transpose(1, 2).flatten(2)
        if batch.equal is not None:
            rows = seen.flatten(0, 1)
        else:
            rows = seen[batch.owner, batch.rank]
        h = h + self.mixed(rows)
        out: Tensor = h + self.network(_normalised(h))
        return out


class _Through(nn.Module):
    """Points attend to the atoms of a set, and the atoms to the points of their set."""

    def __init__(self, width: int, heads: int, points: int) -> None:
        super().__init__()
        self.look = _Look(width, heads, points)
        self.told = MLP(width, width, width)
        self.by_atom = nn.Linear(width, width)
        self.by_point = nn.Linear(width, 2 * width)
        self.mixed = nn.Linear(width, width)
        self.network = MLP(width, width, 2 * width)

    def stages(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        heads = self.look.heads
        points = yield from self.look.stages(batch, h)
        points = points + self.told(_normalised(points))
        k, v = self.by_point(points).unflatten(-1, (2, heads, -1)).permute(2, 0, 3, 1, 4)
        # the points of a set are few, so each atom gets a copy of its set's only in the products
        q = self.by_atom(_normalised(h)).unflatten(-1, (heads, -1))
        dense, _ = batch.dense(q)
        seen = functional.scaled_dot_product_attention(dense.transpose(1, 2), k, v)
        seen = seen.transpose(1, 2).flatten(2)
        h = h + self.mixed(seen[batch.owner, batch.rank])
        out: Tensor = h + self.network(_normalised(h))
        return out


class _Look(nn.Module):
    """Learned queries that attend to the atoms of each set, `(N, H) -> (B, I, H)`."""

    def __init__(self, width: int, heads: int, points: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Parameter(torch.randn(points, width))
        self.projections = nn.Linear(width, 2 * width)

    def stages(self, batch: SetBatch, h: Tensor) -> Stages[Tensor]:
        k, v = self.projections(_normalised(h)).unflatten(-1, (2, self.heads, -1)).unbind(1)
        q = self.queries.unflatten(-1, (self.heads, -1)).transpose(0, 1)
        q = (q / math.sqrt(q.shape[-1])).expand(len(batch), -1, -1, -1)
        ((average, _),) = yield (Attend(q, k, v),)
        return average.to(h.dtype).transpose(1, 2).flatten(2)


def _normalised(h: Tensor) -> Tensor:
    return functional.layer_norm(h, h.shape[-1:])
