r"""ProGen2 (Nijkamp et al., 2023): causal transformers of proteins.

    n = LN u,   u <- u + W_o Attention(n) + W_2 gelu(W_1 n)                       each block

with rotary positions (Su et al., 2021) on the first channels of every head, in adjacent pairs. The
published rows of queries, keys and values are in eight shards of (query, value, key), from a
training on eight devices; they are put in the order query, key, value as they are read. A sequence
from N to C stands between the tokens 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.pretrained.base import Vocabulary, check_positions, number
from distembed.pretrained.files import Files, Source, read_config, read_tensors
from distembed.pretrained.states import cast, load_state

__all__ = ["ProGen2", "ProGenCache", "ProGenConfig"]

VOCABULARY = Vocabulary(
    {symbol: 5 + i for i, symbol in enumerate("ABCDEFGHIKLMNOPQRSTUVWXYZ")}, start=(3,), stop=4
)
"""Letters in the order of the alphabet, without J; the tokens 3 and 4 are `1` and `2`."""


@dataclass(frozen=True)
class ProGenConfig:
    """Sizes of the network.

    Attributes:
        width: Width D of the stream.
        depth: Number of blocks.
        heads: Heads of attention.
        rotary: Channels of a head that turn with the position.
        limit: Largest number of positions.
        rows: Rows of the embedding.
        head_rows: Rows of the head.
        inner: Width of the perceptron of a block.
        eps: Of layer normalisation.
        shards: Shards of the published rows of queries, keys and values.

    Raises:
        ValueError: If widths, heads and shards do not divide each other.
    """

    width: int
    depth: int
    heads: int
    rotary: int
    limit: int
    rows: int = 32
    head_rows: int = 32
    inner: int = 0
    eps: float = 1e-5
    shards: int = 8

    def __post_init__(self) -> None:
        channels, rest = divmod(self.width, self.heads)
        if rest or self.heads % self.shards or not 2 <= self.rotary <= channels or self.rotary % 2:
            raise ValueError(
                f"config.json has width {self.width}, {self.heads} heads and rotary_dim "
                f"{self.rotary}; heads divide the width and are a multiple of {self.shards}, and "
                "rotary_dim is even and no more than the channels of a head. Copy it again."
            )

    @classmethod
    def from_json(
        cls, config: Mapping[str, Any], rows: int | None = None, head_rows: int | None = None
    ) -> ProGenConfig:
        """Read a `config.json` in either of its spellings.

        Args:
            config: The content of the file.
            rows: Rows of the embedding in the file of weights; configs may lack them.
            head_rows: Rows of the head likewise.

        Raises:
            ValueError: If it is that of another model, or not consistent.
        """
        kind = config.get("model_type", "progen")
        if kind not in ("progen", "progen2") or "rotary_dim" not in config:
            raise ValueError(
                f"config.json describes a model of type {kind!r}, and progen was expected, with "
                "rotary_dim. Name another member, such as hyenadna or causal_lm, or another "
                "folder."
            )
        width = number(config, "n_embd", "embed_dim")
        return cls(
            width=width,
            depth=number(config, "n_layer"),
            heads=number(config, "n_head"),
            rotary=number(config, "rotary_dim"),
            limit=number(config, "n_positions", "n_ctx"),
            rows=number(config, "vocab_size_emb", "vocab_size", default=rows),
            head_rows=number(config, "vocab_size_lm_head", "vocab_size", default=head_rows),
            inner=number(config, "n_inner", default=4 * width),
            eps=float(config.get("layer_norm_epsilon", 1e-5)),
        )


@dataclass
class ProGenCache:
    """Keys and values `(N, heads, length, channels)` of each block, and their number."""

    length: int = 0
    pairs: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)


class ProGen2(nn.Module):
    """The network, with random weights until `load` has read published ones.

    Args:
        config: Its sizes.

    Example:
        >>> model = ProGen2(ProGenConfig(width=16, depth=2, heads=8, rotary=2, limit=32))
        >>> model.logits(model.embed(torch.tensor([[3, 5, 6, 4]]))).shape
        torch.Size([1, 4, 32])
    """

    def __init__(self, config: ProGenConfig) -> None:
        super().__init__()
        self.config = config
        self.width, self.limit = config.width, config.limit
        self.vocabulary, self.both_ways = VOCABULARY, False
        self.source: Source | None = None
        self.remark = ""
        self.wte = nn.Embedding(config.rows, config.width)
        self.h = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.ln_f = nn.LayerNorm(config.width, eps=config.eps)
        self.lm_head: nn.Module = nn.Linear(config.width, config.head_rows)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    @classmethod
    def load(cls, files: Files) -> ProGen2:
        """Read a published model, in the original archive or a conversion.

        Raises:
            ValueError: If the files are damaged or those of another model.
        """
        config, content = read_config(files), read_tensors(files)
        sizes = (content.get("transformer.wte.weight"), content.get("lm_head.weight"))
        rows, head_rows = (None if t is None else len(t) for t in sizes)
        with torch.device("meta"):
            model = cls(ProGenConfig.from_json(config, rows, head_rows))
        buffers = (".attn.bias", ".attn.masked_bias")  # a causal mask, which is no weight
        weights = {k: v for k, v in content.items() if not k.endswith(buffers)}
        tensors, remark = cast(weights)
        state = {name.removeprefix("transformer."): value for name, value in tensors.items()}
        original = {name.removeprefix("transformer."): name for name in tensors}
        for name, value in state.items():
            if name.endswith("qkv_proj.weight") and value.ndim == 2 and len(value) % 24 == 0:
                state[name] = unsharded(value, model.config.shards)
        load_state(model, state, "progen2", original)
        model.source, model.remark = files.source, remark
        return model

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ProGen2:
        """Make a network with random weights from the content of a `config.json`.

        Raises:
            ValueError: If it is that of another model.
        """
        return cls(ProGenConfig.from_json(config))

    def drop_head(self) -> None:
        """Remove the head, where states alone are of use."""
        self.lm_head = nn.Identity()

    @property
    def blocks(self) -> nn.Module:
        """The part without embeddings and head."""
        return self.h

    def embed(self, ids: Tensor) -> Tensor:
        """Return the vectors of tokens, `(N, T) -> (N, T, D)`."""
        u: Tensor = self.wte(ids)
        return u

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states of tokens, `(N, T) -> (N, T, D)`, padded at the end."""
        return self._read(self.embed(ids))

    def logits(self, u: Tensor, cache: ProGenCache | None = None) -> Tensor:
        """Return the logits of the next token, `(N, T, D) -> (N, T, rows)`.

        Args:
            u: Vectors of tokens. What stands after a position changes nothing before it.
            cache: What was read before `u`; it is extended by `u`.

        Raises:
            ValueError: If there are more positions than the model has.
        """
        logits: Tensor = self.lm_head(self._read(u, cache))
        return logits

    def new_cache(self) -> ProGenCache:
        """Return an empty cache."""
        return ProGenCache()

    def _read(self, u: Tensor, cache: ProGenCache | None = None) -> Tensor:
        read = 0 if cache is None else cache.length
        needed = read + u.shape[1]
        check_positions("progen2", self.limit, needed, "The prefix and the sequence")
        turns = self._turns(read, needed, u)
        for i, block in enumerate(self.h):
            u = block(u, i, turns, cache)
        if cache is not None:
            cache.length = needed
        h: Tensor = self.ln_f(u)
        return h

    def _turns(self, start: int, end: int, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of the angles of positions, `(T, rotary / 2)` each."""
        half = torch.arange(0, self.config.rotary, 2, dtype=torch.float64, device=u.device)
        rates = 10000.0 ** (-half / self.config.rotary)
        position = torch.arange(start, end, dtype=torch.float64, device=u.device)
        angle = position[:, None] * rates
        return angle.cos().to(u.dtype), angle.sin().to(u.dtype)


class _Block(nn.Module):
    def __init__(self, config: ProGenConfig) -> None:
        super().__init__()
        width = config.width
        inner = config.inner or 4 * width
        self.heads, self.rotary = config.heads, config.rotary
        self.ln_1 = nn.LayerNorm(width, eps=config.eps)
        self.attn = nn.ModuleDict(
            {
                "qkv_proj": nn.Linear(width, 3 * width, bias=False),
                "out_proj": nn.Linear(width, width, bias=False),
            }
        )
        self.mlp = nn.ModuleDict(
            {"fc_in": nn.Linear(width, inner), "fc_out": nn.Linear(inner, width)}
        )

    def forward(
        self, u: Tensor, number: int, turns: tuple[Tensor, Tensor], cache: ProGenCache | None
    ) -> Tensor:
        n = self.ln_1(u)
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.attn["qkv_proj"](n).chunk(3, 2)
        )
        q, k = self._turned(q, turns), self._turned(k, turns)
        if cache is not None:
            if number in cache.pairs:
                k, v = (torch.cat(p, 2) for p in zip(cache.pairs[number], (k, v), strict=True))
            cache.pairs[number] = k, v
        new, every = q.shape[2], k.shape[2]
        ones = torch.ones(new, every, dtype=torch.bool, device=u.device)
        mask = None if new == 1 else ones.tril(every - new)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        mixed = self.attn["out_proj"](mixed.transpose(1, 2).flatten(2))
        inner = functional.gelu(self.mlp["fc_in"](n), approximate="tanh")
        out: Tensor = u + mixed + self.mlp["fc_out"](inner)
        return out

    def _turned(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """Turn the first channels of `(N, heads, T, channels)`, in adjacent pairs."""
        cos, sin = turns
        a, b = x[..., : self.rotary].unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
        return torch.cat([turned.to(x.dtype), x[..., self.rotary :]], -1)


def unsharded(rows: Tensor, shards: int = 8) -> Tensor:
    """Put rows in shards of (query, value, key) into the order query, key, value.

    Example:
        >>> unsharded(torch.arange(6.0)[:, None], shards=2).T
        tensor([[0., 3., 2., 5., 1., 4.]])
    """
    query, value, key = rows.unflatten(0, (shards, 3, -1)).unbind(1)
    return torch.cat([part.flatten(0, 1) for part in (query, key, value)])
