"""Networks with known outputs, and a generator of tokens, for tests."""

import torch
from torch import nn

from distembed.generators.likelihoods import LIKELIHOODS
from distembed.registry import Member, build
from distembed.rng import stream


class ExactField(nn.Module):
    """The field `f(x, angle)`, where the angle pi t / 2 broadcasts against x; counts its calls."""

    def __init__(self, f):
        super().__init__()
        self.f, self.calls = f, 0

    def forward(self, x, z, t, expand):
        self.calls += 1
        angle = torch.pi / 2 * t
        return self.f(x, angle.unsqueeze(-1) if angle.ndim else angle)


class Zero(nn.Module):
    """A network whose output is zero."""

    def forward(self, z):
        return z.new_zeros(())


def zero_field():
    return ExactField(lambda x, angle: torch.zeros_like(x))


def draws_of(likelihood, dim):
    """Return a function that draws integer atoms of a set from a likelihood by name."""
    distribution = build(LIKELIHOODS, likelihood, "likelihood", dim)

    def draw(m, rng):
        h = torch.randn(distribution.outputs, generator=rng, dtype=torch.float64)
        return distribution.sample(h.expand(m, -1), rng).long()

    return draw


def embeddings(b, latent):
    """Draw standard normal embeddings `(b, latent)`."""
    return torch.randn(b, latent, generator=stream("z"))


class Supervised(nn.Module):
    """A generator whose embeddings are standardised parameters of the true distributions."""

    def __init__(self, generator, parameters):
        super().__init__()
        self.generator = generator
        self.centre, self.scale = parameters.mean(0), parameters.std(0)
        self.z = self.standardise(parameters)

    def standardise(self, parameters):
        return ((parameters - self.centre) / self.scale).float()

    def forward(self, step):
        return self.generator.loss(step.target, self.z[step.index], step.rng)


class TokenFrequencies(nn.Module):
    """Independent symbols at each position, with logits affine in z; pads are not scored."""

    def __init__(self, event_shape, latent, vocab):
        super().__init__()
        (self.length,), self.vocab = event_shape, vocab
        self.heads = nn.Linear(latent, self.length * vocab)

    def logits(self, z):
        return self.heads(z).view(len(z), self.length, self.vocab).log_softmax(-1)

    def loss(self, batch, z, rng):
        logits = batch.expand(self.logits(z).flatten(1)).view(len(batch.x), *self.shape)
        index = (batch.x - 1).clamp_min(0).unsqueeze(-1)
        nats = -logits.gather(-1, index).squeeze(-1)
        return batch.mean(torch.where(batch.x > 0, nats, 0).sum(1, keepdim=True)).squeeze(1)

    @torch.no_grad()
    def sample(self, z, n, rng):
        p = self.logits(z).exp().flatten(0, 1)
        index = torch.multinomial(p, n, replacement=True, generator=rng)
        return 1 + index.view(len(z), self.length, n).mT

    @property
    def shape(self):
        return self.length, self.vocab


TOKEN_GENERATORS = {
    "frequencies": Member(
        "generator_fakes:TokenFrequencies",
        "independent symbols",
        atoms=("tokens",),
        example={"vocab": 4},
    )
}
"""A family of generators of tokens, which the law tests accept as they accept `GENERATORS`."""
