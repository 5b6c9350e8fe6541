r"""A conditional variational autoencoder that draws its observation noise.

Each atom has a latent a, $p(x | z) = \int p(x | a, z) N(a; 0, I)\,da$, with a decoder
$p(x | a, z)$ that is a likelihood by name and an encoder $q(a | x, z) = N(m, diag\,s^2)$. The loss
is the negative evidence bound (Kingma and Welling, 2014, eq. 3 and 10; Sohn et al., 2015),

    -E_q log p(x | a, z) + sum_k (m_k^2 + s_k^2 - 1 - log s_k^2) / 2,

in nats over D, with no weight on either term: the noise of the decoder is learned, which sets
their balance (Rybkin et al., 2021). A sample is a draw of a *and* of $p(x | a, z)$. The mean of
the decoder alone lacks the variance that the noise explains, all of it if a is not used.

With `gaussian` noise, atoms are residuals u of the conditional Gaussian base, and the decoder
starts as N(0, I) for any a. Other likelihoods score raw atoms, whose encoder sees the logarithms
of counts. Their decoder starts from parameters that fit each set, a generalised linear function of
z (`distembed.generators.affine`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.affine import AffineParameters
from distembed.generators.base import ConditionalGaussian
from distembed.generators.likelihoods import LIKELIHOODS
from distembed.generators.likelihoods.base import Likelihood
from distembed.nn.conditional import ConditionalNet
from distembed.nn.film import Expand
from distembed.nn.mlp import shrink
from distembed.protocols import GeneratorTraits
from distembed.registry import build

__all__ = ["VAE"]


class VAE(nn.Module):
    """Conditional variational autoencoder: one network call a draw, and a bound on log p(x | z).

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the encoder and of the decoder.
        depth: Their number of residual blocks.
        hidden: Dimension of the latent of an atom; D, but at most 32, by default.
        likelihood: Distribution of an atom given its latent, a name of `LIKELIHOODS`.
        largest_log_sd: Bound on the absolute logarithm of a deviation of q.

    Attributes:
        traits: `raw_atoms` for likelihoods of counts and classes.

    Raises:
        ValueError: If `hidden` is below 1 or the likelihood is unknown.

    Example:
        >>> vae = VAE((2,), latent=4)
        >>> vae.sample(torch.zeros(3, 4), 5, torch.Generator()).shape
        torch.Size([3, 5, 2])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 128,
        depth: int = 3,
        hidden: int | None = None,
        likelihood: str = "gaussian",
        largest_log_sd: float = 8.0,
    ) -> None:
        super().__init__()
        dim = math.prod(event_shape)
        hidden = min(dim, 32) if hidden is None else hidden
        if hidden < 1:
            raise ValueError(
                f"hidden = {hidden}; the latent of an atom has at least one number. Leave "
                "`hidden` out for one per feature."
            )
        self.event_shape, self.hidden = tuple(event_shape), hidden
        self.largest_log_sd = largest_log_sd
        self.traits = self.traits_of(likelihood)
        self.likelihood: Likelihood = build(LIKELIHOODS, likelihood, "likelihood", dim)
        self.base = ConditionalGaussian(dim, latent, width) if likelihood == "gaussian" else None
        self.encoder = ConditionalNet(dim, 2 * hidden, latent, width, depth)
        self.decoder = ConditionalNet(hidden, self.likelihood.outputs, latent, width, depth)
        for net in (self.encoder, self.decoder):
            shrink(net.outputs, 0.1)
        self.affine = None if self.base is not None else AffineParameters(self.likelihood, latent)

    @staticmethod
    def traits_of(likelihood: str = "gaussian", **_: object) -> GeneratorTraits:
        """Return the traits of a generator with this likelihood."""
        return GeneratorTraits(raw_atoms=likelihood != "gaussian")

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Fit the base or, without one, the affine part of the decoder to training sets."""
        if self.base is not None:
            self.base.prepare(batch, z)
        if self.affine is not None:
            self.affine.prepare(batch, z)

    def widen(self, batch: SetBatch, z: Tensor) -> None:
        """Widen the base, if there is one, by the error of predictions from few atoms."""
        if self.base is not None:
            self.base.widen(batch, z)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set: the negative evidence bound, and the likelihood of the base, `(B,)`.

        Raises:
            ValueError: If atoms are not of the kind that the likelihood is for.
        """
        if self.base is None:
            self.likelihood.check(batch.flat[batch.w > 0])
            return batch.mean(self._bound(batch.flat.to(z.dtype), batch, z, rng))
        gaussian = self.base(z)
        u = gaussian.whiten(batch).detach()
        # minus the score of N(0, I): with the base the sum is the bound on x itself
        gain = self._bound(u, batch, z, rng) - (u.square().mean(1) + math.log(2 * math.pi)) / 2
        return self.base.negative_log_likelihood(batch, gaussian) + batch.mean(gain)

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`, with their observation noise."""
        a = torch.randn(len(z), n, self.hidden, generator=rng, device=z.device)
        h = self._decode(a, z, lambda rows: rows.unsqueeze(1))
        x = self.likelihood.sample(h, rng)
        atoms: Tensor = x if self.base is None else self.base(z).colour(x)
        return atoms.reshape(len(z), n, *self.event_shape)

    def _decode(self, a: Tensor, z: Tensor, expand: Expand) -> Tensor:
        """Return parameters of the likelihood for latents a of atoms."""
        outputs: Tensor = self.decoder(a, z, expand)
        return outputs if self.affine is None else outputs + expand(self.affine(z))

    def _bound(self, x: Tensor, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Return the negative evidence bound of each atom in nats per dimension, `(N,)`."""
        inputs = torch.log1p(x) if self.likelihood.counts else x
        mean, log_sd = self.encoder(inputs, z, batch.expand).chunk(2, 1)
        # the exponential of a distant atom would overflow
        log_sd = self.largest_log_sd * torch.tanh(log_sd / self.largest_log_sd)
        e = torch.randn(mean.shape, generator=rng, device=x.device, dtype=x.dtype)
        a = mean + log_sd.exp() * e
        h = self._decode(a, z, batch.expand)
        divergence = (mean.square() + (2 * log_sd).exp() - 1 - 2 * log_sd).sum(1) / 2
        bound: Tensor = divergence - self.likelihood.log_prob(x, h)
        return bound / x.shape[1]
