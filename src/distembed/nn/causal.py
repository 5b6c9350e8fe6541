r"""A transformer of sequences, causal or not, with a cache for decoding one token at a time.

    h <- h + W_o Attention(m_1(N h)),      h <- h + W_2 (silu(W_a u) * W_b u),   u = m_2(N h)

N is the root mean square norm (Zhang and Sennrich, 2019), positions are rotary
(`distembed.nn.rotary`), the network is gated (SwiGLU; Shazeer, 2020), and m is a modulation by a
condition, $m(u) = (1 + a) u + b$ with a and b linear in it (FiLM; Perez et al., 2018), or nothing.
In a causal transformer position t sees the positions up to t. The keys and values of positions
that were seen are kept in a `Cache`, so that the next position costs one pass of one position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.nn.mlp import shrink
from distembed.nn.precision import reduced
from distembed.nn.rotary import Angles, rotary_angles, rotate

__all__ = ["Cache", "SequenceTransformer"]


@dataclass
class Cache:
    """Keys and values of the positions that a causal transformer has seen.

    Attributes:
        keys: Of each layer, `(R, heads, capacity, d)`, rotated.
        values: Of each layer, of the same shape.
        length: Number of positions that are filled.
    """

    keys: list[Tensor]
    values: list[Tensor]
    length: int = 0

    def repeat(self, n: int) -> Cache:
        """Return a cache with n copies of every row, one after another."""
        keys, values = ([t.repeat_interleave(n, 0) for t in v] for v in (self.keys, self.values))
        return Cache(keys, values, self.length)

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write new positions of a layer, and return all that are filled."""
        end = self.length + k.shape[2]
        filled = []
        for store, new in ((self.keys[layer], k), (self.values[layer], v)):
            store[:, :, self.length : end] = new
            filled.append(store[:, :, :end].to(new.dtype))
        return filled[0], filled[1]


class SequenceTransformer(nn.Module):
    """Map vectors of positions to vectors of positions, `(R, T, width) -> (R, T, width)`.

    Args:
        width: Width of a position.
        depth: Number of layers.
        heads: Heads of attention; the width is an even multiple of them.
        condition: Width of a condition that modulates every layer; 0 for none.
        causal: Whether a position sees those up to it alone.

    Raises:
        ValueError: If the width is no even multiple of the heads, or there is no layer.

    Example:
        >>> net = SequenceTransformer(8, depth=1, heads=2)
        >>> h, cache = torch.randn(3, 5, 8), net.cache(3, capacity=5)
        >>> steps = [net(h[:, t : t + 1], cache=cache) for t in range(5)]
        >>> torch.allclose(torch.cat(steps, 1), net(h), atol=1e-5)
        True
    """

    def __init__(
        self, width: int, depth: int, heads: int, condition: int = 0, causal: bool = True
    ) -> None:
        super().__init__()
        if depth < 1 or heads < 1 or width % (2 * heads):
            raise ValueError(
                f"width = {width}, depth = {depth}, heads = {heads}: a transformer has at least "
                "one layer, and its width is an even multiple of its heads, such as width = 64 "
                "with heads = 4."
            )
        self.width, self.heads, self.causal = width, heads, causal
        self.layers = nn.ModuleList([_Layer(width, heads) for _ in range(depth)])
        self.norm = nn.Parameter(torch.ones(width))
        self.modulation = nn.Linear(condition, depth * 4 * width) if condition else None
        if self.modulation is not None:
            shrink(self.modulation, 0.1)

    def modulate(self, condition: Tensor) -> Tensor:
        """Return scales and shifts of all layers, `(B, C) -> (B, depth * 4 * width)`.

        Raises:
            ValueError: If the transformer was built without a condition.
        """
        if self.modulation is None:
            raise ValueError("This transformer has no modulation; build it with condition=C.")
        out: Tensor = self.modulation(condition)
        return out

    def cache(self, rows: int, capacity: int) -> Cache:
        """Return an empty cache for sequences of at most `capacity` positions."""
        shape = (rows, self.heads, capacity, self.width // self.heads)
        keys, values = ([self.norm.new_empty(shape) for _ in self.layers] for _ in range(2))
        return Cache(keys, values)

    def forward(
        self,
        h: Tensor,
        modulation: Tensor | None = None,
        mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Apply the layers and a last norm.

        Args:
            h: Positions, `(R, T, width)`.
            modulation: Of each row, from `modulate`, `(R, depth * 4 * width)`.
            mask: Positions that others see, `(R, T)`; all of them if left out. It is for
                transformers that are not causal: padded ends need no mask in a causal one.
            cache: Positions before `h`, which are seen, and to which `h` is added.
        """
        start = 0 if cache is None else cache.length
        attend = _attention(h.shape[1], start, self.causal, mask, h.device)
        with reduced(h.device):
            angles = rotary_angles(start, h.shape[1], self.width // self.heads, h)
            parts: Sequence[Tensor | None] = [None] * len(self.layers)
            if modulation is not None:
                parts = modulation.unsqueeze(1).chunk(len(self.layers), -1)
            for number, (layer, part) in enumerate(zip(self.layers, parts, strict=True)):
                store = None if cache is None else _store(cache, number)
                h = layer(h, part, angles, attend, store)
        if cache is not None:
            cache.length += h.shape[1]
        return functional.rms_norm(h.to(self.norm.dtype), (self.width,), self.norm)


_Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
_Store = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        hidden = 8 * ((width * 8 // 3 + 7) // 8)
        self.norms = nn.Parameter(torch.ones(2, width))
        self.projections = nn.Linear(width, 3 * width, bias=False)
        self.mixed = shrink(nn.Linear(width, width, bias=False), 0.3)
        self.gated = nn.Linear(width, 2 * hidden, bias=False)
        self.outputs = shrink(nn.Linear(hidden, width, bias=False), 0.3)

    def forward(
        self,
        h: Tensor,
        modulation: Tensor | None,
        angles: Angles,
        attend: _Attention,
        store: _Store | None,
    ) -> Tensor:
        scales = (None,) * 4 if modulation is None else modulation.chunk(4, -1)
        u = self._normalised(h, 0, scales[0], scales[1])
        projected = self.projections(u).unflatten(-1, (3, self.heads, -1))
        q, k, v = projected.permute(2, 0, 3, 1, 4)
        q, k = rotate(q, angles), rotate(k, angles)
        if store is not None:
            k, v = store(k, v)
        h = h + self.mixed(attend(q, k, v).transpose(1, 2).flatten(2))
        gate, linear = self.gated(self._normalised(h, 1, scales[2], scales[3])).chunk(2, -1)
        out: Tensor = h + self.outputs(functional.silu(gate) * linear)
        return out

    def _normalised(self, h: Tensor, k: int, a: Tensor | None, b: Tensor | None) -> Tensor:
        u = functional.rms_norm(h, h.shape[-1:], self.norms[k])
        return u if a is None or b is None else torch.addcmul(u + b, a, u)


def _store(cache: Cache, layer: int) -> _Store:
    return lambda k, v: cache.extend(layer, k, v)


def _attention(
    count: int, start: int, causal: bool, mask: Tensor | None, device: torch.device
) -> _Attention:
    """Return the attention of `count` queries that follow `start` positions."""
    attention = cast("Callable[..., Tensor]", functional.scaled_dot_product_attention)
    if not causal:
        seen = None if mask is None else mask[:, None, None]
        return lambda q, k, v: attention(q, k, v, attn_mask=seen)
    if count == 1:
        return lambda q, k, v: attention(q, k, v)
    if start == 0:
        return lambda q, k, v: attention(q, k, v, is_causal=True)
    keys = torch.arange(start + count, device=device)
    allowed = keys <= torch.arange(start, start + count, device=device)[:, None]
    return lambda q, k, v: attention(q, k, v, attn_mask=allowed)
