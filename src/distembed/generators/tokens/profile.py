r"""Profiles: symbols that are independent of each other by position, or mixtures of such.

    p(x | z) = sum_k pi_k(z) prod_t softmax(s_t(z) + e_kt)_{x_t}

s is the site-independent law of a set (`distembed.generators.tokens.sites`), e_k what component k
adds to it, and pi the weights of the components, which depend on z. With one component e is zero:
the site-independent model, and the least that a language model must beat. The length of a
sequence is part of the profile: class 0 ends it. The density is exact.

The components are found before training by expectation-maximisation (Dempster, Laird and Rubin,
1977) on sequences of all training sets, and their weights start as a ridge regression on z of the
logarithms of the weights that each set has.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import sample_weight
from distembed.generators.tokens.components import (
    MixtureStart,
    Places,
    find_components,
    sum_of_rows,
)
from distembed.generators.tokens.decoding import draw_tokens
from distembed.generators.tokens.sites import Sites, next_tokens
from distembed.nn.mlp import MLP, shrink
from distembed.nn.ridge import ridge
from distembed.nn.tokens import check_tokens, pieces
from distembed.protocols import GeneratorTraits
from distembed.rng import stream

__all__ = ["Profile"]


class Profile(nn.Module):
    """Frequencies by position, or a mixture of them, as a function of z.

    Args:
        event_shape: `(T,)`, the padded length of the training sequences.
        latent: Dimension L of the embedding.
        vocab: Size of the alphabet, where the data do not state it.
        components: Number of profiles of the mixture; 1 is the site-independent model.
        width: Width of the network of the weights.
        longest: Number of tokens of the longest sequence; T if left out.
        start: How the components are found.

    Raises:
        ValueError: If an atom is no sequence, or there is no component.

    Example:
        >>> model = Profile((6,), latent=4, vocab=3, components=2)
        >>> model.sample(torch.zeros(2, 4), 5, torch.Generator()).shape
        torch.Size([2, 5, 6])
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        vocab: int,
        components: int = 1,
        width: int = 64,
        longest: int | None = None,
        start: MixtureStart | None = None,
    ) -> None:
        super().__init__()
        check_tokens(event_shape, vocab)
        if components < 1:
            raise ValueError(
                f"components = {components}; a mixture has at least one profile, and one is the "
                "site-independent model."
            )
        self.vocab, self.components = vocab, components
        self.longest = event_shape[0] if longest is None else longest
        self.start = start or MixtureStart()
        self.sites = Sites(latent, vocab, self.longest)
        self.traits = GeneratorTraits(unit="nats a sequence")
        if components > 1:
            shape = (self.longest, vocab + 1, components)
            self.profiles = nn.Parameter(torch.randn(shape, generator=stream("profiles")) / 10)
            self.network = MLP(latent, components, width)
            shrink(self.network.last, 0.1)
            self.register_buffer("weight", torch.zeros(latent, components))
            self.register_buffer("bias", torch.zeros(components))

    @torch.no_grad()
    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Solve the site-independent law, and find the components of a mixture."""
        self.sites.prepare(batch, z)
        if self.components == 1:
            return
        places = Places.of(next_tokens(batch.x, self.vocab, self.longest), self.vocab + 1)
        mass = batch.w.double() * batch.effective_sizes[batch.owner]
        mixture = find_components(places, mass, self.components, self.start)
        self.profiles[: len(mixture.gain)] = mixture.gain.to(self.profiles)
        share = batch.mean(mixture.share.double())
        atoms = batch.effective_sizes[:, None]
        share = (share * atoms + 1) / (atoms + self.components)
        fit = ridge(z, share.log(), sample_weight(batch))
        self.weight.copy_(fit.weight)
        self.bias.copy_(fit.bias)

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        """Return the log probability of each sequence under its set, in nats, `(N,)`.

        Raises:
            ValueError: If atoms are no tokens, or a sequence is longer than `longest`.
        """
        ids, following, mask = next_tokens(batch.x, self.vocab, self.longest)
        table, weights = self._log_probabilities(z), self._log_weights(z)
        step = (self.vocab + 1) * torch.arange(ids.shape[1], device=ids.device)
        nats = []
        for part in pieces(len(ids), ids.shape[1] * self.components):
            owner = batch.owner[part]
            row = owner[:, None] * self.longest * (self.vocab + 1) + step + following[part]
            joint = sum_of_rows(table.flatten(0, 2), row, mask[part])
            nats.append((joint + weights.index_select(0, owner)).logsumexp(-1))
        return torch.cat(nats)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set by its mean negative log likelihood in nats a sequence, `(B,)`."""
        return -batch.mean(self.log_prob(batch, z))

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n sequences of each set, `(B, n, longest)` int64, with pads 0 after their ends."""
        table, weights = self._log_probabilities(z).exp(), self._log_weights(z).exp()
        parts: list[Tensor] = []
        for b in range(len(z)):
            component = draw_tokens(weights[b].expand(n, -1), rng)
            for part in pieces(n, self.longest * (self.vocab + 1)):
                # (n, longest, V + 1): every position is independent, and the first end counts
                token = draw_tokens(table[b].permute(2, 0, 1)[component[part]], rng)
                parts.append(token * (token > 0).cumprod(1))
        return torch.cat(parts).view(len(z), n, self.longest)

    def _log_probabilities(self, z: Tensor) -> Tensor:
        """Return log probabilities of classes, `(B, longest, V + 1, K)`."""
        logits: Tensor = self.sites(z).unsqueeze(-1)
        return (logits if self.components == 1 else logits + self.profiles).log_softmax(2)

    def _log_weights(self, z: Tensor) -> Tensor:
        """Return the logarithms of the weights of the components, `(B, K)`."""
        if self.components == 1:
            return z.new_zeros(len(z), 1)
        logits: Tensor = self.network(z) + torch.addmm(self.bias, z, self.weight)
        return logits.log_softmax(1)
