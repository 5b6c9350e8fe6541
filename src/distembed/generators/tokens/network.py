r"""A transformer over tokens that is conditioned on an embedding.

    logits = r W N(transformer([prefix(z), E[id_1], ..., E[id_C]]; modulation(z)))

The r is small at the start: a generator begins as the site-independent law of its set
(`distembed.generators.tokens.sites`) and the network learns what that lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from distembed.generators.tokens.prefix import SoftPrefix, check_condition
from distembed.nn.causal import Cache, SequenceTransformer
from distembed.nn.mlp import MLP, shrink
from distembed.nn.precision import reduced
from distembed.nn.tokens import pieces

__all__ = ["Conditions", "NetworkSettings", "TokenNetwork"]


@dataclass(frozen=True)
class NetworkSettings:
    """Sizes of the transformer, and how it is conditioned.

    Attributes:
        width: Width of a position.
        depth: Number of layers.
        heads: Heads of attention.
        condition: `prefix`, `modulation` or `both`.
        prefix: Number of vectors of a soft prefix.
        positions: Positions of all sequences that are scored or drawn at once.
    """

    width: int = 64
    depth: int = 2
    heads: int = 4
    condition: str = "both"
    prefix: int = 4
    positions: int = 2**17

    def pieces(self, rows: int, columns: int) -> Iterator[slice]:
        """Yield slices of the rows of sequences that are computed at once."""
        return pieces(rows, columns + self.prefix, self.positions)


class Conditions(NamedTuple):
    """What a transformer sees of embeddings, one row a set or one a sequence.

    Attributes:
        prefix: Vectors in front of the sequence, `(R, k, width)`, or none.
        modulation: Of the layers, `(R, M)`, or none.
    """

    prefix: Tensor | None
    modulation: Tensor | None

    def rows(self, index: Tensor) -> Conditions:
        """Return the rows of an index, which may repeat them."""
        # the gradient of v[index] adds rows in an order that depends on the threads
        return Conditions(*(None if v is None else v.index_select(0, index) for v in self))


class TokenNetwork(nn.Module):
    """Map ids of positions, and the embedding of their set, to logits.

    Args:
        latent: Dimension of what the generator sees of an embedding.
        symbols: Number of ids.
        classes: Number of logits of a position.
        settings: Sizes.
        causal: Whether a position sees those up to it alone.

    Raises:
        ValueError: If a size is not possible, or there is no such condition.
    """

    def __init__(
        self,
        latent: int,
        symbols: int,
        classes: int,
        settings: NetworkSettings | None = None,
        causal: bool = True,
    ) -> None:
        super().__init__()
        s = self.settings = settings or NetworkSettings()
        check_condition(s.condition)
        modulated = s.condition != "prefix"
        self.embedding = nn.Embedding(symbols, s.width)
        self.prefix = (
            None if s.condition == "modulation" else SoftPrefix(latent, s.width, s.prefix)
        )
        self.condition = MLP(latent, s.width, s.width) if modulated else None
        condition = s.width if modulated else 0
        self.transformer = SequenceTransformer(s.width, s.depth, s.heads, condition, causal)
        self.outputs = shrink(nn.Linear(s.width, classes), 0.1)

    def conditions(self, z: Tensor) -> Conditions:
        """Return the conditions of sets, one row each, from `(B, L)`."""
        with reduced(z.device):
            prefix = None if self.prefix is None else self.prefix(z).to(z.dtype)
            modulation = None
            if self.condition is not None:
                hidden = nn.functional.silu(self.condition(z))
                modulation = self.transformer.modulate(hidden).to(z.dtype)
        return Conditions(prefix, modulation)

    def forward(self, ids: Tensor, conditions: Conditions, mask: Tensor | None = None) -> Tensor:
        """Return logits of positions `(R, C)`, `(R, C, classes)`.

        Args:
            ids: Ids of the positions.
            conditions: One row a sequence.
            mask: Positions that others see, `(R, C)`, where the network is not causal.
        """
        h, k = self.embedding(ids), 0
        if conditions.prefix is not None:
            k = conditions.prefix.shape[1]
            h = torch.cat([conditions.prefix, h], 1)
            mask = None if mask is None else nn.functional.pad(mask, (k, 0), value=True)
        return self._logits(self.transformer(h, conditions.modulation, mask)[:, k:])

    def begin(self, conditions: Conditions, n: int, capacity: int) -> tuple[Tensor, Cache]:
        """Read the start of n sequences of each set.

        Args:
            conditions: One row a set.
            n: Number of sequences of each.
            capacity: Number of ids that will be read, the start included.

        Returns:
            Logits of the first token of each sequence, `(B n, classes)`, and a cache of its rows.
        """
        reference = self.outputs.weight
        sets = len(next(v for v in conditions if v is not None))
        start = torch.zeros(sets, 1, dtype=torch.int64, device=reference.device)
        h, k = self.embedding(start), 0
        if conditions.prefix is not None:
            k = conditions.prefix.shape[1]
            h = torch.cat([conditions.prefix, h], 1)
        # what all sequences of a set share is read once
        cache = self.transformer.cache(sets, capacity + k)
        last = self.transformer(h, conditions.modulation, cache=cache)[:, -1]
        return self._logits(last).repeat_interleave(n, 0), cache.repeat(n)

    def advance(self, token: Tensor, conditions: Conditions, cache: Cache) -> Tensor:
        """Read one more token of each sequence `(R,)`; return the logits of the next."""
        h = self.transformer(self.embedding(token[:, None]), conditions.modulation, cache=cache)
        return self._logits(h[:, 0])

    def _logits(self, h: Tensor) -> Tensor:
        with reduced(h.device):
            out: Tensor = self.outputs(h)
        return out.to(self.outputs.weight.dtype)
