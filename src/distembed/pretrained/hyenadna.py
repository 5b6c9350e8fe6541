r"""HyenaDNA (Nguyen et al., 2023): a causal language model of DNA without attention.

Every block mixes positions by a gated convolution as long as the sequence (Poli et al., 2023),

    (x_0, x_1, v) = short(W_in LN u),   s = v * x_1,   u <- u + W_out ((k * s + b s) x_0),
    u <- u + W_2 gelu(W_1 LN u),

with "short" a causal convolution of width 3 in each channel, and k the filter of
`distembed.pretrained.filters`. Convolutions are computed by FFT, in float32 at least. A step of
incremental decoding sums k_{n-m} s_m over the past, which a cache holds.

The names of weights are those of the published files after the prefix of their layout is removed:
`hyena.backbone.` in safetensors, `model.backbone.` in checkpoints of training.
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
from distembed.pretrained.filters import ImplicitFilter
from distembed.pretrained.states import cast, load_state

__all__ = ["HyenaCache", "HyenaConfig", "HyenaDNA"]

VOCABULARY = Vocabulary({"A": 7, "C": 8, "G": 9, "T": 10, "N": 11})
"""`[SEP]`, 1, stood at the end of full windows alone in training: it does not mean an end."""


@dataclass(frozen=True)
class HyenaConfig:
    """Sizes of the network.

    Attributes:
        width: Width D of the stream.
        depth: Number of blocks.
        inner: Width of the perceptron of a block.
        rows: Rows of the embedding, with those that pad it.
        limit: Largest number of positions, which scales the filters too.
        filter_inputs: Number of features of a position.
        filter_width: Width of the network of the filters.
        filter_depth: Its number of inner layers.
        kernel: Width of the short convolution.
        eps: Of layer normalisation.
        shift: What is added to the decay of a filter (`ImplicitFilter`).
    """

    width: int
    depth: int
    inner: int
    limit: int
    rows: int = 16
    filter_inputs: int = 5
    filter_width: int = 64
    filter_depth: int = 2
    kernel: int = 3
    eps: float = 1e-5
    shift: float = 0.05

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> HyenaConfig:
        """Read a `config.json` in either of its spellings.

        Raises:
            ValueError: If it is that of another model, or of a variant that is not published.
        """
        kind = config.get("model_type", "hyenadna")
        if kind != "hyenadna" or "d_model" not in config:
            raise ValueError(
                f"config.json describes a model of type {kind!r}, and hyenadna was expected, with "
                "d_model. Name another member, such as progen2 or causal_lm, or another folder."
            )
        layer = config.get("layer")
        layer = layer if isinstance(layer, Mapping) else config
        order = number({**config, **layer}, "hyena_order", "order", default=2)
        if order != 2:
            raise ValueError(
                f"config.json has a Hyena operator of order {order}; published models have order "
                "2, and no other is read."
            )
        width = number(config, "d_model")
        multiple = number(config, "pad_vocab_size_multiple", default=1)
        vocab = number(config, "vocab_size")
        return cls(
            width=width,
            depth=number(config, "n_layer"),
            inner=number(config, "d_inner", default=4 * width),
            limit=number(layer, "l_max", "max_seq_len"),
            rows=-(-vocab // multiple) * multiple,
            filter_inputs=number(layer, "emb_dim", default=3),
            filter_width=number(layer, "filter_order", default=64),
            filter_depth=number(layer, "num_inner_mlps", default=2),
            kernel=number(layer, "short_filter_order", "local_order", default=3),
            eps=float(config.get("layer_norm_epsilon", 1e-5)),
            # published code of inference adds 0.05 to the decay, that of training nothing; files
            # do not say which, so that the number can be added to a config.json
            shift=float(config.get("modulation_shift", 0.05)),
        )


@dataclass
class HyenaCache:
    """What the blocks remember of the positions that were read.

    Attributes:
        length: Number of positions.
        short: Last inputs of the short convolution of each block, `(N, 3 D, width - 1)`.
        long: All inputs of the long convolution of each block, `(N, D, length)`.
        filters: First values of the filter of each block, `(D, at least length)`.
    """

    length: int = 0
    short: dict[int, Tensor] = field(default_factory=dict)
    long: dict[int, Tensor] = field(default_factory=dict)
    filters: dict[int, Tensor] = field(default_factory=dict)


class HyenaDNA(nn.Module):
    """The network, with random weights until `load` has read published ones.

    Args:
        config: Its sizes.
        tied: Whether the head is the embedding, as in training; published files may hold both.

    Raises:
        ValueError: If the config is not consistent.

    Example:
        >>> model = HyenaDNA(HyenaConfig(width=16, depth=2, inner=64, limit=34, filter_width=8))
        >>> model.logits(model.embed(torch.tensor([[7, 8, 9]]))).shape
        torch.Size([1, 3, 16])
    """

    def __init__(self, config: HyenaConfig, tied: bool = True) -> None:
        super().__init__()
        self.config = config
        self.width, self.limit = config.width, config.limit
        self.vocabulary, self.both_ways = VOCABULARY, False
        self.source: Source | None = None
        self.remark = ""
        self.word_embeddings = nn.Embedding(config.rows, config.width)
        nn.init.normal_(self.word_embeddings.weight, std=0.02)
        self.layers = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.ln_f = nn.LayerNorm(config.width, eps=config.eps)
        self.lm_head = None if tied else nn.Linear(config.width, config.rows, bias=False)

    @classmethod
    def load(cls, files: Files) -> HyenaDNA:
        """Read a published model in either layout.

        Raises:
            ValueError: If the files are damaged or those of another model.
        """
        tensors, remark = cast(read_tensors(files))
        tied = not any(name.endswith("lm_head.weight") for name in tensors)
        with torch.device("meta"):
            model = cls(HyenaConfig.from_json(read_config(files)), tied)
        state, original, z = _renamed(tensors, model)
        load_state(model, state, "hyenadna", original)
        filters = [m for m in model.modules() if isinstance(m, ImplicitFilter)]
        for i, stored in z.items():
            remark += filters[i].keep_features(stored)
        model.source, model.remark = files.source, remark
        return model

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> HyenaDNA:
        """Make a network with random weights from the content of a `config.json`.

        Raises:
            ValueError: If it is that of another model.
        """
        return cls(HyenaConfig.from_json(config))

    def drop_head(self) -> None:
        """Remove the head, where states alone are of use."""
        self.lm_head = None

    @property
    def blocks(self) -> nn.Module:
        """The part without embeddings and head."""
        return self.layers

    def embed(self, ids: Tensor) -> Tensor:
        """Return the vectors of tokens, `(N, T) -> (N, T, D)`."""
        u: Tensor = self.word_embeddings(ids)
        return u

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states of tokens, `(N, T) -> (N, T, D)`, padded at the end."""
        return self._read(self.embed(ids))

    def logits(self, u: Tensor, cache: HyenaCache | None = None) -> Tensor:
        """Return the logits of the next token, `(N, T, D) -> (N, T, rows)`.

        Args:
            u: Vectors of tokens. What stands after a position changes nothing before it.
            cache: What was read before `u`; it is extended by `u`.

        Raises:
            ValueError: If there are more positions than the model has.
        """
        head = self.word_embeddings if self.lm_head is None else self.lm_head
        return functional.linear(self._read(u, cache), head.weight)

    def new_cache(self) -> HyenaCache:
        """Return an empty cache."""
        return HyenaCache()

    def _read(self, u: Tensor, cache: HyenaCache | None = None) -> Tensor:
        read = cache.length if cache is not None else 0
        needed = read + u.shape[1]
        check_positions("hyenadna", self.limit, needed, "The prefix and the sequence")
        for i, block in enumerate(self.layers):
            u = block(u, i, cache)
        if cache is not None:
            cache.length = needed
        h: Tensor = self.ln_f(u)
        return h


class _Block(nn.Module):
    def __init__(self, config: HyenaConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.eps)
        self.mixer = _Mixer(config)
        self.norm2 = nn.LayerNorm(config.width, eps=config.eps)
        self.mlp = nn.ModuleDict(
            {
                "fc1": nn.Linear(config.width, config.inner),
                "fc2": nn.Linear(config.inner, config.width),
            }
        )

    def forward(self, u: Tensor, number: int, cache: HyenaCache | None) -> Tensor:
        u = u + self.mixer(self.norm1(u), number, cache)
        inner = functional.gelu(self.mlp["fc1"](self.norm2(u)), approximate="tanh")
        out: Tensor = u + self.mlp["fc2"](inner)
        return out


class _Mixer(nn.Module):
    """The Hyena operator of order 2."""

    def __init__(self, config: HyenaConfig) -> None:
        super().__init__()
        width = config.width
        self.in_proj = nn.Linear(width, 3 * width)
        self.short_filter = nn.Conv1d(3 * width, 3 * width, config.kernel, groups=3 * width)
        self.filter_fn = ImplicitFilter(
            width,
            config.limit,
            config.filter_inputs,
            config.filter_width,
            config.filter_depth,
            config.shift,
        )
        self.out_proj = nn.Linear(width, width)

    def forward(self, u: Tensor, number: int, cache: HyenaCache | None) -> Tensor:
        y = self.in_proj(u).transpose(1, 2)
        before = self.short_filter.kernel_size[0] - 1
        past = None if cache is None else cache.short.get(number)
        y = functional.pad(y, (before, 0)) if past is None else torch.cat([past, y], 2)
        x0, x1, v = self.short_filter(y).chunk(3, 1)
        s = v * x1
        if cache is None:
            k = self.filter_fn(s.shape[2])
            r = convolve(k, s)
        else:
            cache.short[number] = y[:, :, y.shape[2] - before :]
            r = self._continue(s, number, cache)
        r = r + self.filter_fn.bias[:, None] * s
        out: Tensor = self.out_proj((r * x0).transpose(1, 2))
        return out

    def _continue(self, s: Tensor, number: int, cache: HyenaCache) -> Tensor:
        """Return the convolution at the positions of s, `(N, D, T)`, after those in the cache."""
        past = cache.long.get(number)
        every = s if past is None else torch.cat([past, s], 2)
        cache.long[number] = every
        k = cache.filters.get(number)
        if k is None or k.shape[1] < every.shape[2]:
            # twice as long as needed: a filter is not computed at every step
            k = self.filter_fn(min(2 * every.shape[2], self.filter_fn.limit))
            cache.filters[number] = k
        if past is None:
            return convolve(k[:, : every.shape[2]], s)
        ends = range(past.shape[2] + 1, every.shape[2] + 1)
        # the filter in reverse meets the sequence in order
        sums = [(every[:, :, :n] * k[:, :n].flip(1)).sum(2) for n in ends]
        return torch.stack(sums, 2)


def convolve(k: Tensor, s: Tensor) -> Tensor:
    """Return the causal convolution of filters `(D, T)` with sequences `(N, D, T)`."""
    size = 2 * s.shape[2]  # no sum wraps around
    # there is no FFT of half precision
    with torch.autocast(s.device.type, enabled=False):
        full = s if s.dtype == torch.float64 else s.float()
        product = torch.fft.rfft(full, size) * torch.fft.rfft(k.to(full.dtype), size)
        r: Tensor = torch.fft.irfft(product, size)[:, :, : s.shape[2]]
    return r.to(s.dtype)


def _renamed(
    tensors: Mapping[str, Tensor], model: HyenaDNA
) -> tuple[dict[str, Tensor], dict[str, str], dict[int, Tensor]]:
    """Bring the names of either layout to those of the module.

    Returns:
        The state, the names in the file by those in the module, and stored features of positions.

    Raises:
        ValueError: If the three names of one frequency hold different values.
    """
    state: dict[str, Tensor] = {}
    original: dict[str, str] = {}
    features: dict[int, Tensor] = {}
    for name, value in tensors.items():
        if "torchmetrics" in name:
            continue
        short = name.removeprefix("model.").removeprefix("hyena.").removeprefix("backbone.")
        short = short.replace("embeddings.word_embeddings.", "word_embeddings.")
        # training with checkpoints wraps both parts of a block
        short = short.replace(".mixer.layer.", ".mixer.").replace(".mlp.layer.", ".mlp.")
        if short.endswith((".pos_emb.t", ".modulation.deltas")):
            continue  # functions of the config
        if short.endswith(".pos_emb.z"):
            part = short.split(".")[1]
            features[int(part) if part.isdecimal() else -1] = value
            continue
        if short.endswith(".freq"):
            head, _, _ = short.partition("implicit_filter.")
            short = f"{head}frequency"
            if short in state and not torch.equal(state[short], value):
                raise ValueError(
                    f"{name} differs from {original[short]}; a filter of hyenadna has one vector "
                    "of frequencies under several names. Copy the file again."
                )
        state[short], original[short] = value, name
    unknown = [i for i in features if not 0 <= i < model.config.depth]
    if unknown:
        state |= {f"layers.{i}.mixer.filter_fn.pos_emb.z": features.pop(i) for i in unknown}
    return state, original, features
