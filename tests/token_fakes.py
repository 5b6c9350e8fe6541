"""Sets of sequences, and a small autoregressive generator of tokens."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

DNA = {"name": "tokens", "alphabet": "ACGT"}


def sequences(sets=24, size=40, length=6, seed=0):
    """Sets of strings of 1 to `length` symbols: in each set one symbol is favoured."""
    rng = np.random.default_rng(seed)
    out = []
    for s in range(sets):
        p = np.full(4, 0.1)
        p[s % 4] = 0.7
        lengths = rng.integers(1, length + 1, size)
        out.append(["".join(rng.choice(list("ACGT"), n, p=p)) for n in lengths])
    return out


class Autoregressive(nn.Module):
    """Sequences with p(x | z) = prod_t p(x_t | x_{t-1}, z), whose end is the pad 0."""

    def __init__(self, event_shape, latent, vocab, width=16):
        super().__init__()
        (self.length,), self.start = event_shape, vocab + 1
        self.previous = nn.Embedding(vocab + 2, width)
        self.context = nn.Linear(latent, width)
        self.logits = nn.Linear(width, vocab + 1)

    def log_softmax(self, previous, z):
        h = torch.tanh(self.previous(previous) + self.context(z))
        return self.logits(h).log_softmax(-1)

    def log_prob(self, batch, z):
        """One pad ends every sequence, however many follow."""
        x = functional.pad(batch.x, (0, 1))
        previous = functional.pad(x[:, :-1], (1, 0), value=self.start)
        nats = self.log_softmax(previous, batch.expand(z)[:, None]).gather(2, x[:, :, None])
        return (nats[..., 0] * (previous > 0)).sum(1)

    def loss(self, batch, z, rng):
        return -batch.mean(self.log_prob(batch, z))

    @torch.no_grad()
    def sample(self, z, n, rng):
        token = torch.full((len(z), n), self.start)
        tokens = []
        for _ in range(self.length):
            p = self.log_softmax(token, z[:, None]).exp().flatten(0, 1)
            draw = torch.multinomial(p, 1, generator=rng).view(len(z), n)
            token = draw * (token > 0)
            tokens.append(token)
        return torch.stack(tokens, 2)


class WithoutDensity(Autoregressive):
    """The same generator without its density."""

    log_prob = None

    def loss(self, batch, z, rng):
        return -batch.mean(Autoregressive.log_prob(self, batch, z))
