r"""Features of a token sequence by a published language model.

    h(x) = W (1 / T) sum_t s_t(x),      s_t the last hidden state at token t

The mean runs over the symbols of the sequence, not over the start and the end that the model
reads; that of an empty sequence is zero. Of a model that is not trained, the means are computed
once for each sequence, in the type of its weights, and kept in memory. They are computed for many
sequences at once, beside others after a restart than before: kept features are equal up to
rounding, and to the bit where every sequence is read alone (`at_once=1`, slower).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.nn.tokens import check_tokens, read_tokens
from distembed.pretrained.base import Reader, check_positions, symbol_ids
from distembed.pretrained.open import choose_trained, open_model

__all__ = ["CausalFeatures", "ESM2Features", "HyenaFeatures", "ProGenFeatures", "Published"]


class Published(nn.Module):
    """Mean states of a published model, and a linear map of them.

    Args:
        event_shape: `(T,)`; later sequences may have another length, within the model's limit.
        width: Number H of features.
        alphabet: The symbols of tokens 1 to V.
        path: Folder of the model, or its name on the hub.
        config: Content of a `config.json`, in place of a path: random weights.
        train: `frozen`, `lora` (corrections of low rank) or `all`.
        rank: Rank of the corrections.
        revision: Revision on the hub.
        download: Whether the model may be downloaded.
        at_once: Tokens that are read at once; sequences are read whole, one at least.

    Raises:
        ValueError: If the files are of another model, or a symbol has no token.
        FileNotFoundError: If the files are not there.
    """

    member: ClassVar[str]
    ids: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        width: int,
        alphabet: str,
        path: str | None = None,
        config: Mapping[str, Any] | None = None,
        train: str = "frozen",
        rank: int = 8,
        revision: str | None = None,
        download: bool = False,
        at_once: int = 2**14,
    ) -> None:
        super().__init__()
        check_tokens(event_shape, len(alphabet))
        self.width, self.vocab = width, len(alphabet)
        self.model = open_model(self.member, path, config, revision, download)
        reader = self.reader
        reader.drop_head()
        vocabulary = reader.vocabulary
        ids = symbol_ids(vocabulary, alphabet, self.member)
        # the pad has a token too, which no mask lets through
        self.register_buffer("ids", torch.tensor([ids[0], *ids]), persistent=False)
        self.before = vocabulary.start
        self.after = () if vocabulary.stop is None or not reader.both_ways else (vocabulary.stop,)
        others = len(self.before) + len(self.after)
        check_positions(
            self.member, reader.limit, event_shape[0] + others, "The sequences with their start"
        )
        choose_trained(self.model, train, rank, fixed="frozen")
        self.frozen = train == "frozen"
        self.outputs = nn.Linear(reader.width, width)
        self.at_once = at_once
        self.numbers_kept = 2**27
        self._means: dict[bytes, Tensor] = {}
        self._means_of: tuple[Any, ...] = ()
        self.train(self.training)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the kept features out of a copy, whose weights count their changes anew."""
        return {**self.__dict__, "_means": {}, "_means_of": ()}

    @property
    def reader(self) -> Reader:
        """The published model."""
        return cast(Reader, self.model)

    def train(self, mode: bool = True) -> Published:
        """Set the mode; the published model has no dropout, which would not be reproducible."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of each sequence, `(N, T) -> (N, H)`.

        Raises:
            ValueError: If x does not hold tokens, or a sequence is longer than the model's limit.
        """
        ids, mask = read_tokens(x, self.vocab)
        ids, length = ids[:, 1:], mask[:, 1:].sum(1)
        means = self._kept(ids, length) if self.frozen else self._mean_states(ids, length)
        h: Tensor = self.outputs(means)
        return h

    def _kept(self, ids: Tensor, length: Tensor) -> Tensor:
        """Return the mean states of sequences, each computed once."""
        weights = list(self.model.parameters())
        state = weights[0].dtype, weights[0].device, sum(p._version for p in weights)
        if state != self._means_of:
            self._means.clear()
            self._means_of = state
        rows = ids.cpu().numpy()
        keys = [row[:n].tobytes() for row, n in zip(rows, length.tolist(), strict=True)]
        first = {key: i for i, key in enumerate(keys) if key not in self._means}
        means = dict(zip(keys, map(self._means.get, keys), strict=True))
        if first:
            index = torch.tensor(list(first.values()), device=ids.device)
            with torch.no_grad(), torch.autocast(ids.device.type, enabled=False):
                new = self._mean_states(ids[index], length[index])
            room = self.numbers_kept // self.reader.width - len(self._means)
            for i, (key, mean) in enumerate(zip(first, new, strict=True)):
                means[key] = mean
                if i < room:
                    self._means[key] = mean.clone()
        return torch.stack([cast(Tensor, means[key]) for key in keys])

    def _mean_states(self, ids: Tensor, length: Tensor) -> Tensor:
        """Return the mean states of sequences, computed in groups of similar length."""
        # the longest first: it is what all sequences of its group are padded to
        order = length.argsort(stable=True, descending=True)
        read, first = int((length > 0).sum()), 0
        dtype = next(self.model.parameters()).dtype
        parts = []
        while first < read:
            step = max(1, self.at_once // int(length[order[first]]))
            rows = order[first : min(first + step, read)]
            parts.append(self._group(ids[rows], length[rows]).to(dtype))
            first += step
        shape = (len(order) - read, self.reader.width)
        parts.append(torch.zeros(shape, dtype=dtype, device=ids.device))
        # the gradient of v[index] adds rows in an order that depends on the threads
        return torch.cat(parts).index_select(0, order.argsort())

    def _group(self, ids: Tensor, length: Tensor) -> Tensor:
        longest, start, n = int(length.max()), len(self.before), len(ids)
        tokens = self.ids[ids[:, :longest]]
        tokens = torch.cat([tokens.new_tensor(self.before).expand(n, -1), tokens], 1)
        end = start + length[:, None]
        if self.after:
            tokens = functional.pad(tokens, (0, 1)).scatter(1, end, self.after[0])
        place = torch.arange(tokens.shape[1], device=ids.device)
        states = self.reader.states(tokens, place < end + len(self.after))
        share = ((place >= start) & (place < end)).to(states.dtype) / length[:, None]
        return (share.unsqueeze(2) * states).sum(1)


class ESM2Features(Published):
    """Mean states of ESM-2."""

    member = "esm2"


class HyenaFeatures(Published):
    """Mean states of HyenaDNA.

    Example:
        >>> sizes = {"d_model": 8, "n_layer": 1, "vocab_size": 12, "max_seq_len": 32}
        >>> encoder = HyenaFeatures((5,), width=4, alphabet="ACGT", config=sizes, train="all")
        >>> encoder(torch.tensor([[1, 4, 2, 0, 0]])).shape
        torch.Size([1, 4])
    """

    member = "hyenadna"


class ProGenFeatures(Published):
    """Mean states of ProGen2."""

    member = "progen2"


class CausalFeatures(Published):
    """Mean states of any causal language model of `transformers`."""

    member = "causal_lm"
