r"""Discrete diffusion of sequences: symbols are masked, and predicted from those that remain.

Given its length l, the symbols of a sequence are revealed in a random order o, each drawn given
those before it:

    log p(x | l, z) >= E_o sum_j log p(x_{o_j} | x_{o_1}, ..., x_{o_{j-1}}, z)
                     = E_m E_{|M| = m} (l / m) sum_{i in M} log p(x_i | x without M, z)

with m uniform on 1, ..., l (Hoogeboom et al., 2022; it is the bound of absorbing diffusion, Austin
et al., 2021, whatever its schedule). The loss is minus one draw of the right-hand side, plus the
negative log probability of the length: an upper bound on the negative log likelihood, in nats a
sequence, and no density. Lengths and the first guess of every symbol are those of the
site-independent law (`distembed.generators.tokens.sites`).

A draw reveals the symbols of a sequence in `calls` groups. Symbols of one group are drawn
independently of each other; with as many calls as symbols, samples follow the model whose bound is
the loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.generators.tokens.decoding import draw_tokens
from distembed.generators.tokens.network import Conditions, NetworkSettings, TokenNetwork
from distembed.generators.tokens.sites import Sites, next_tokens
from distembed.nn.tokens import check_tokens
from distembed.protocols import GeneratorTraits

__all__ = ["Masked", "masked"]


class Masked(nn.Module):
    """A transformer that predicts masked symbols from all others.

    Args:
        event_shape: `(T,)`, the padded length of the training sequences.
        latent: Dimension L of the embedding.
        vocab: The largest token; 0 is the pad.
        calls: Number of groups in which the symbols of a draw are revealed.
        network: Sizes of the transformer, and how it is conditioned.
        longest: Number of tokens of the longest sequence; T if left out.

    Raises:
        ValueError: If an atom is no sequence, or a number is out of range.

    Example:
        >>> model = Masked((6,), latent=4, vocab=3)
        >>> model.sample(torch.zeros(2, 4), 5, torch.Generator()).shape
        torch.Size([2, 5, 6])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        vocab: int,
        calls: int = 32,
        network: NetworkSettings | None = None,
        longest: int | None = None,
    ) -> None:
        super().__init__()
        check_tokens(event_shape, vocab)
        if calls < 1:
            raise ValueError(
                f"calls = {calls}; the symbols of a draw are revealed in at least one group."
            )
        self.vocab, self.calls = vocab, calls
        self.longest = event_shape[0] if longest is None else longest
        self.sites = Sites(latent, vocab, self.longest)
        # the start 0, the symbols, the mask V + 1 and the end V + 2
        self.network = TokenNetwork(latent, vocab + 3, vocab, network, causal=False)
        self.traits = GeneratorTraits(unit="nats a sequence, a bound")

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Solve the site-independent law of training sets."""
        self.sites.prepare(batch, z)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set by a draw of the bound on its negative log likelihood, `(B,)`.

        Raises:
            ValueError: If atoms are no tokens, or a sequence is longer than `longest`.
        """
        next_tokens(batch.x, self.vocab, self.longest)  # refuses what is no sequence
        x = functional.pad(batch.x, (0, max(0, self.longest - batch.x.shape[1])))
        x = x[:, : self.longest]
        length = (x > 0).sum(1)
        # numbers for all positions that there may be: pads change nothing
        noise = torch.rand(len(x), 1 + self.longest, generator=rng, device=x.device)
        rank = _ranks(noise[:, 1:], x > 0)
        count = 1 + (noise[:, 0] * length).long().minimum((length - 1).clamp_min(0))
        hidden = (rank < count[:, None]) & (x > 0)
        x, hidden = (v[:, : max(1, int(length.max()))] for v in (x, hidden))

        sites, conditions = self.sites(z), self.network.conditions(z)
        ends = _log_lengths(sites)
        nats = []
        for part in self.network.settings.pieces(len(x), x.shape[1] + 2):
            owner = batch.owner[part]
            symbols = sites[:, : x.shape[1], 1:].index_select(0, owner)
            p = self._predict(x[part], hidden[part], conditions.rows(owner), symbols)
            each = p.log_softmax(-1).gather(-1, (x[part] - 1).clamp_min(0).unsqueeze(-1))
            total = (each.squeeze(-1) * hidden[part]).sum(1) * length[part] / count[part]
            law = ends.index_select(0, owner).gather(1, length[part, None])
            nats.append(total + law.squeeze(1))
        return -batch.mean(torch.cat(nats))

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n sequences of each set, `(B, n, longest)` int64, with pads 0 after their ends."""
        sites, conditions = self.sites(z), self.network.conditions(z)
        ends, parts = _log_lengths(sites).exp(), []
        owners = torch.arange(len(z), device=z.device).repeat_interleave(n)
        for part in self.network.settings.pieces(len(owners), self.longest + 2):
            owner = owners[part]
            length = draw_tokens(ends[owner], rng)
            symbols = sites[:, :, 1:].index_select(0, owner)
            parts.append(self._reveal(length, conditions.rows(owner), symbols, rng))
        return torch.cat(parts).view(len(z), n, self.longest)

    def _reveal(
        self, length: Tensor, conditions: Conditions, symbols: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Draw the symbols of sequences of given lengths `(R,)`, `(R, longest)`."""
        position = torch.arange(self.longest, device=length.device)
        real = position < length[:, None]
        noise = torch.rand(real.shape, generator=rng, device=length.device)
        rank, x = _ranks(noise, real), real.long()
        for call in range(self.calls):
            # the group of a symbol depends on its rank and its length alone
            group = rank * self.calls // length[:, None].clamp_min(1)
            now, hidden = (group == call) & real, (group >= call) & real
            if not bool(now.any()):
                continue
            p = self._predict(x, hidden, conditions, symbols).softmax(-1)
            x = torch.where(now, 1 + draw_tokens(p, rng), x)
        return x

    def _predict(
        self, x: Tensor, hidden: Tensor, conditions: Conditions, symbols: Tensor
    ) -> Tensor:
        """Return logits of the symbols at all positions, `(R, C, V)`."""
        start, end, mask = x.new_zeros(len(x), 1), self.vocab + 2, self.vocab + 1
        length = (x > 0).sum(1, keepdim=True)
        ids = functional.pad(torch.where(hidden, mask, x), (0, 1))
        ids = torch.cat([start, ids.scatter(1, length, end)], 1)
        seen = torch.arange(ids.shape[1], device=x.device) <= length + 1
        logits: Tensor = self.network(ids, conditions, seen)[:, 1:-1]
        return logits + symbols


def masked(
    event_shape: tuple[int, ...],
    latent: int,
    vocab: int,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    condition: str = "both",
    prefix: int = 4,
    calls: int = 32,
    longest: int | None = None,
) -> Masked:
    """Build a `Masked` from plain options.

    Args:
        event_shape: `(T,)`, the padded length of the training sequences.
        latent: Dimension L of the embedding.
        vocab: Size of the alphabet, where the data do not state it.
        width: Width of the transformer.
        depth: Number of its layers.
        heads: Heads of attention.
        condition: How the transformer sees z: `prefix`, `modulation` (of its layers) or `both`.
        prefix: Number of vectors of a soft prefix.
        calls: Number of groups in which the symbols of a draw are revealed.
        longest: Number of tokens of the longest sequence; T if left out.

    Raises:
        ValueError: If a name is unknown or a number is out of range.

    Example:
        >>> masked((6,), latent=4, vocab=3, calls=6).calls
        6
    """
    network = NetworkSettings(width, depth, heads, condition, prefix)
    return Masked(event_shape, latent, vocab, calls, network, longest)


def _ranks(noise: Tensor, real: Tensor) -> Tensor:
    """Return the rank of each real position in a random order, `(R, C)`; pads come last."""
    order = torch.where(real, noise, 2.0).argsort(1)
    place = torch.arange(noise.shape[1], device=noise.device).expand_as(order)
    return torch.zeros_like(order).scatter(1, order, place)


def _log_lengths(sites: Tensor) -> Tensor:
    """Return the log probability of each length 0, ..., longest, `(B, longest + 1)`."""
    log_p = sites.log_softmax(-1)
    ends, goes_on = log_p[..., 0], log_p[..., 1:].logsumexp(-1)
    return functional.pad(ends, (0, 1)) + functional.pad(goes_on.cumsum(1), (1, 0))
