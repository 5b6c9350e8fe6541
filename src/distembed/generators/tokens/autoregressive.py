r"""A language model of sequences, conditioned on an embedding, with an exact density.

    log p(x | z) = sum_t log softmax(s_t(z) + r(x_{t-1}; z) + f(x_1, ..., x_{t-1}; z))_{x_t}

The sum runs over the tokens and the end (class 0). s is the site-independent law and r what the
symbol before tells beyond it, both solved before training (`distembed.generators.tokens.sites`,
`distembed.generators.tokens.transitions`), f a causal transformer, conditioned by a
soft prefix, by a modulation of its layers, or by both. A sequence of `longest` tokens ends with
probability one, so that the probabilities of all sequences of at most that length sum to one.
The loss is minus the log density, in nats a sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.tokens.decoding import Sampling, draw_sequences
from distembed.generators.tokens.network import NetworkSettings, TokenNetwork
from distembed.generators.tokens.sites import Sites, next_tokens
from distembed.generators.tokens.transitions import Transitions
from distembed.nn.tokens import check_tokens
from distembed.protocols import GeneratorTraits

__all__ = ["Autoregressive", "autoregressive"]


class Autoregressive(nn.Module):
    """A causal transformer over tokens, on top of the site-independent law of a set.

    Args:
        event_shape: `(T,)`, the padded length of the training sequences.
        latent: Dimension L of the embedding.
        vocab: The largest token; 0 is the pad.
        network: Sizes of the transformer, and how it is conditioned.
        sampling: Changes of the probabilities of drawn tokens.
        longest: Number of tokens of the longest sequence; T if left out.

    Raises:
        ValueError: If an atom is no sequence, or a size is not possible.

    Example:
        >>> model = Autoregressive((6,), latent=4, vocab=3)
        >>> model.sample(torch.zeros(2, 4), 5, torch.Generator()).shape
        torch.Size([2, 5, 6])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        vocab: int,
        network: NetworkSettings | None = None,
        sampling: Sampling | None = None,
        longest: int | None = None,
    ) -> None:
        super().__init__()
        check_tokens(event_shape, vocab)
        self.vocab, self.sampling = vocab, sampling or Sampling()
        self.longest = event_shape[0] if longest is None else longest
        self.sites = Sites(latent, vocab, self.longest)
        self.transitions = Transitions(latent, vocab)
        self.network = TokenNetwork(latent, vocab + 1, vocab + 1, network)
        self.traits = GeneratorTraits(unit="nats a sequence")

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Solve the site-independent law of training sets, and what the symbol before adds."""
        self.sites.prepare(batch, z)
        self.transitions.prepare(batch, z, self.sites)

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        """Return the log probability of each sequence under its set, in nats, `(N,)`.

        Raises:
            ValueError: If atoms are no tokens, or a sequence is longer than `longest`.
        """
        ids, following, mask = next_tokens(batch.x, self.vocab, self.longest)
        conditions, sites = self.network.conditions(z), self.sites(z)[:, : ids.shape[1]]
        after = self.transitions(z).flatten(0, 1)
        nats = []
        for part in self.network.settings.pieces(*ids.shape):
            owner = batch.owner[part]
            logits = self.network(ids[part], conditions.rows(owner))
            row = owner[:, None] * (self.vocab + 1) + ids[part]
            start = after.index_select(0, row.flatten()).view(*row.shape, -1)
            logits = (logits + start + sites.index_select(0, owner)).log_softmax(-1)
            each = logits.gather(-1, following[part].unsqueeze(-1)).squeeze(-1)
            nats.append((each * mask[part]).sum(1))
        return torch.cat(nats)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set by its mean negative log likelihood in nats a sequence, `(B,)`."""
        return -batch.mean(self.log_prob(batch, z))

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n sequences of each set, `(B, n, longest)` int64, with pads 0 after their ends."""
        parts = [
            self._draw(z[part.start : part.stop], n, rng)
            for part in self.network.settings.pieces(len(z), n * self.longest)
        ]
        return torch.cat(parts)

    def _draw(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        shared = self.network.conditions(z)
        owner = torch.arange(len(z), device=z.device).repeat_interleave(n)
        conditions, sites, after = shared.rows(owner), self.sites(z), self.transitions(z)
        logits, cache = self.network.begin(shared, n, self.longest)

        def start(token: Tensor, t: int) -> Tensor:
            logits: Tensor = sites[owner, t] + after[owner, token]
            return logits

        def advance(token: Tensor, t: int) -> Tensor:
            return start(token, t + 1) + self.network.advance(token, conditions, cache)

        first = logits + start(torch.zeros_like(owner), 0)
        x = draw_sequences(first, advance, self.longest, self.sampling, rng)
        return x.view(len(z), n, self.longest)


def autoregressive(
    event_shape: tuple[int, ...],
    latent: int,
    vocab: int,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    condition: str = "both",
    prefix: int = 4,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    longest: int | None = None,
) -> Autoregressive:
    """Build an `Autoregressive` from plain options, the default generator of sequences.

    Args:
        event_shape: `(T,)`, the padded length of the training sequences.
        latent: Dimension L of the embedding.
        vocab: Size of the alphabet, where the data do not state it.
        width: Width of the transformer.
        depth: Number of its layers.
        heads: Heads of attention.
        condition: How the transformer sees z: `prefix`, `modulation` (of its layers) or `both`.
        prefix: Number of vectors of a soft prefix.
        temperature: Divides the logits of drawn tokens; at 1 samples follow the density.
        top_k: Number of the most probable tokens that may be drawn; all if left out.
        top_p: Share of the probability that may be drawn, from the most probable token on.
        longest: Number of tokens of the longest sequence; T if left out.

    Raises:
        ValueError: If a name is unknown or a number is out of range.

    Example:
        >>> autoregressive((6,), latent=4, vocab=3, top_k=2).sampling.top_k
        2
    """
    network = NetworkSettings(width, depth, heads, condition, prefix)
    sampling = Sampling(temperature, top_k, top_p)
    return Autoregressive(event_shape, latent, vocab, network, sampling, longest)
