r"""Published language models as generators of sequences, conditioned by a soft prefix.

    q_t(. | x_1, ..., x_{t-1}; z) = softmax(f(x_1, ..., x_{t-1}; z) + s_t(z))

f are the logits of the model for the symbols of the alphabet: the model reads k vectors that are
made from z, the tokens that it begins a sequence with, and the symbols so far. s is linear in z
and solved before training: how the frequencies of a set at position t differ from those of all
sets (`distembed.generators.tokens.sites`). Without it a model that predicts well from the symbols
alone learns slowly, or never, that z says something. How a sequence ends is one of

    stop      the model's own token of the end, a class beside the symbols,
    length    a law of the length, p(ends at t | is that long, z), from the same regression: for
              models without such a token. The symbols then share what is left.

A sequence of `longest` symbols ends with probability one, so that the probabilities of all
sequences of at most that length sum to one. The loss is minus the log probability, in nats a
sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.tokens.decoding import Sampling, draw_sequences
from distembed.generators.tokens.prefix import SoftPrefix
from distembed.generators.tokens.sites import Sites, next_tokens
from distembed.nn.precision import reduced
from distembed.nn.tokens import check_tokens, pieces
from distembed.pretrained.base import Writer, check_positions, symbol_ids
from distembed.pretrained.open import choose_trained, open_model
from distembed.protocols import GeneratorTraits

__all__ = ["CausalGenerator", "HyenaGenerator", "ProGenGenerator", "Published"]


class Published(nn.Module):
    """A published causal language model behind a soft prefix.

    Args:
        event_shape: `(T,)`, the padded length of the training sequences.
        latent: Dimension L of what the generator sees of an embedding.
        alphabet: The symbols of tokens 1 to V.
        path: Folder of the model, or its name on the hub.
        config: Content of a `config.json`, in place of a path: random weights.
        train: `prefix` (no weight of the model), `lora` (corrections of low rank) or `all`.
        rank: Rank of the corrections.
        prefix: Number k of vectors.
        end: `stop`, `length`, or `auto`: the first where the model has a token of the end.
        longest: Number of symbols of the longest sequence; T if left out.
        temperature: Divides the logits of drawn tokens; at 1 samples follow the density.
        top_k: Number of the most probable tokens that may be drawn; all if left out.
        top_p: Share of the probability that may be drawn, from the most probable token on.
        revision: Revision on the hub.
        download: Whether the model may be downloaded.

    Raises:
        ValueError: If the files are of another model, a symbol has no token, or prefix and
            sequences are longer than the model's limit.
        FileNotFoundError: If the files are not there.
    """

    member: ClassVar[str]
    ids: Tensor
    scale: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        alphabet: str,
        path: str | None = None,
        config: Mapping[str, Any] | None = None,
        train: str = "prefix",
        rank: int = 8,
        prefix: int = 8,
        end: str = "auto",
        longest: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        revision: str | None = None,
        download: bool = False,
    ) -> None:
        super().__init__()
        check_tokens(event_shape, len(alphabet))
        self.vocab, self.sampling = len(alphabet), Sampling(temperature, top_k, top_p)
        self.longest = event_shape[0] if longest is None else longest
        self.model = open_model(self.member, path, config, revision, download)
        writer = self.writer
        vocabulary = writer.vocabulary
        symbols = symbol_ids(vocabulary, alphabet, self.member)
        self.start = vocabulary.start
        # the last symbol is predicted and not read
        needed = prefix + len(self.start) + self.longest - 1
        parts = f"A prefix of {prefix} vectors and sequences of {self.longest} symbols"
        check_positions(self.member, writer.limit, needed, parts)
        if end not in ("auto", "stop", "length"):
            raise ValueError(f"end is {end!r}; it is 'stop', 'length' or 'auto'.")
        if end == "stop" and vocabulary.stop is None:
            raise ValueError(
                f"{self.member} has no token that ends a sequence. Say end='length': a law of the "
                "length given z."
            )
        self.stops = end != "length" and vocabulary.stop is not None
        self.sites = Sites(latent, self.vocab, self.longest)
        nn.init.zeros_(self.sites.bias)
        # class 0 has the token of the end, or one that is not used
        self.register_buffer("ids", torch.tensor([vocabulary.stop or 0, *symbols]), False)
        choose_trained(self.model, train, rank, fixed="prefix")
        self.prefix = SoftPrefix(latent, writer.width, prefix)
        with torch.no_grad():
            spread = writer.embed(self.ids[1:]).std()
        self.register_buffer("scale", spread.clone(), persistent=False)
        self.positions_at_once = 2**14
        self.traits = GeneratorTraits(unit="nats a sequence")
        self.train(self.training)

    @property
    def writer(self) -> Writer:
        """The published model."""
        return cast(Writer, self.model)

    def train(self, mode: bool = True) -> Published:
        """Set the mode; the published model has no dropout, which would not be reproducible."""
        super().train(mode)
        self.model.eval()
        return self

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Solve for s, and for the law of the length, on training sets."""
        self.sites.prepare(batch, z)
        if self.stops:
            # what all sets share is for the model to say
            nn.init.zeros_(self.sites.bias)

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        """Return the log probability of each sequence under its set, in nats, `(N,)`.

        Raises:
            ValueError: If atoms are no tokens, or a sequence is longer than `longest`.
        """
        ids, following, mask = next_tokens(batch.x, self.vocab, self.longest)
        prefix, sites, owner = self._prefix(z), self.sites(z)[:, : ids.shape[1]], batch.owner
        nats = []
        for rows in self._pieces(len(ids), ids.shape[1]):
            # the gradient of v[index] adds rows in an order that depends on the threads
            vectors = prefix.index_select(0, owner[rows])
            with reduced(z.device):
                u = torch.cat([vectors, self._embed(ids[rows, 1:])], 1)
                logits = self.writer.logits(u)[:, vectors.shape[1] - 1 :]
            each = self._classes(logits, sites.index_select(0, owner[rows]), slice(ids.shape[1]))
            each = each.gather(-1, following[rows].unsqueeze(-1)).squeeze(-1)
            nats.append((each * mask[rows]).sum(1))
        return torch.cat(nats).to(z.dtype)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set by its mean negative log likelihood in nats a sequence, `(B,)`."""
        return -batch.mean(self.log_prob(batch, z))

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n sequences of each set, `(B, n, longest)` int64, with pads 0 after their ends."""
        owner = torch.arange(len(z), device=z.device).repeat_interleave(n)
        prefix, sites = self._prefix(z), self.sites(z)
        parts = [
            self._draw(prefix[owner[rows]], sites[owner[rows]], rng)
            for rows in self._pieces(len(owner), self.longest)
        ]
        return torch.cat(parts).view(len(z), n, self.longest)

    def _draw(self, prefix: Tensor, sites: Tensor, rng: torch.Generator) -> Tensor:
        cache = self.writer.new_cache()

        def classes(u: Tensor, t: int) -> Tensor:
            with reduced(u.device):
                logits = self.writer.logits(u, cache)[:, -1:]
            place = slice(t, t + 1)
            return self._classes(logits, sites[:, place], place).squeeze(1)

        def advance(token: Tensor, t: int) -> Tensor:
            return classes(self._embed(token[:, None]), t + 1)

        return draw_sequences(classes(prefix, 0), advance, self.longest, self.sampling, rng)

    def _prefix(self, z: Tensor) -> Tensor:
        """Return the vectors before a sequence: those made from z, and the start, `(B, P, D)`."""
        with reduced(z.device):
            vectors = self.scale * self.prefix(z)
        start = torch.tensor(self.start, dtype=torch.int64, device=z.device).expand(len(z), -1)
        return torch.cat([vectors.to(self.scale.dtype), self.writer.embed(start)], 1)

    def _embed(self, tokens: Tensor) -> Tensor:
        """Return the vectors of symbols 1 to V; a pad has that of an unused class."""
        return self.writer.embed(self.ids[tokens])

    def _classes(self, logits: Tensor, sites: Tensor, place: slice) -> Tensor:
        """Return log probabilities of the end and of the symbols at some positions.

        Args:
            logits: Of the model, `(N, T, rows)`.
            sites: Logits of the regression at these positions, `(N, T, V + 1)`.
            place: Which positions they are.
        """
        chosen = logits[..., self.ids].to(sites.dtype)
        if self.stops:
            return (chosen + sites).log_softmax(-1)
        shared = self.sites.bias.view(self.longest, -1)[place]
        symbols = (chosen + sites - shared)[..., 1:].log_softmax(-1)
        # the class of the end, and all symbols together
        law = sites.log_softmax(-1)
        lasts = law[..., 1:].logsumexp(-1, keepdim=True)
        return torch.cat([law[..., :1], lasts + symbols], -1)

    def _pieces(self, rows: int, columns: int) -> Iterator[slice]:
        """Return slices of the rows of sequences that are computed at once."""
        columns += self.prefix.count + len(self.start)
        return pieces(rows, columns, self.positions_at_once)


class HyenaGenerator(Published):
    """HyenaDNA behind a soft prefix, with a law of the length.

    Example:
        >>> sizes = {"d_model": 8, "n_layer": 1, "vocab_size": 12, "max_seq_len": 32}
        >>> model = HyenaGenerator((6,), latent=4, alphabet="ACGT", config=sizes, train="all")
        >>> model.sample(torch.zeros(2, 4), 5, torch.Generator()).shape
        torch.Size([2, 5, 6])
    """

    member = "hyenadna"


class ProGenGenerator(Published):
    """ProGen2 behind a soft prefix."""

    member = "progen2"


class CausalGenerator(Published):
    """Any causal language model of `transformers` behind a soft prefix."""

    member = "causal_lm"
