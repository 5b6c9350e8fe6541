r"""Generators with a density, trained by exact likelihood.

    loss_b = - sum_i w_i log p(x_i | z_b) / D

The density is either one of vectors or one of counts and classes:

- `gaussian`, `mixture`, `flow`: the conditional Gaussian base with location l and scale C, and
  what it leaves over, $p(x | z) = r(C^{-1}(x - l) | z) / \det C$, where r is N(0, I), a mixture
  (`generators.mixture`) or a flow of splines (`generators.normalizing`);
- the names of `LIKELIHOODS` otherwise, whose parameters are affine in z plus a small network. The
  affine part starts as a ridge regression of what each training set says by itself, and the
  network in units of what that leaves over.

Counts and classes are scored as they are: a model of them takes no transforms, as
`takes_raw` says. Everything is in nats: a loss is the cross entropy of the data.
"""

from __future__ import annotations

import math
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import ConditionalGaussian
from distembed.generators.likelihoods import LIKELIHOODS
from distembed.generators.likelihoods.base import Likelihood, regressed
from distembed.generators.mixture import Mixture
from distembed.generators.normalizing import SplineFlow
from distembed.nn.mlp import MLP, shrink
from distembed.nn.precision import reduced
from distembed.registry import build

__all__ = ["Explicit"]

VECTORS = ("gaussian", "mixture", "flow")
LEAST_UNIT = 0.05
"""Least unit of an output: 5 % of odds or of a size, a twentieth of a count."""


class Density(Protocol):
    """A conditional distribution of flattened atoms that can be scored and drawn from."""

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Set buffers from training sets."""

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        """Return nats of every atom, `(N,)`."""

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, D)`."""


class Residual(Protocol):
    """A conditional distribution of what a Gaussian leaves over."""

    def log_prob(self, batch: SetBatch, u: Tensor, z: Tensor) -> Tensor:
        """Return nats of residual atoms `(N, D)`, `(N,)`."""

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n residual atoms of each set, `(B, n, D)`."""


class Explicit(nn.Module):
    """A generator whose distribution has a density.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        likelihood: `gaussian`, `mixture`, `flow`, `poisson`, `negative_binomial`,
            `zero_inflated_negative_binomial`, `bernoulli`, `categorical` or `multinomial`.
        width: Width of networks.
        depth: Their hidden layers; of a flow, its transforms.
        components: Parts of a mixture.

    Raises:
        ValueError: If there is no such likelihood, or data are not of its kind.
        ImportError: If the likelihood is `flow` and zuko is not installed.

    Example:
        >>> model = Explicit((2,), latent=4, likelihood="poisson")
        >>> counts = SetBatch.from_list([[[0.0, 3.0], [1.0, 2.0]]])
        >>> model.log_prob(counts, torch.zeros(1, 4)).shape
        torch.Size([2])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        likelihood: str = "gaussian",
        width: int = 128,
        depth: int = 2,
        components: int = 8,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        dim = math.prod(event_shape)
        if likelihood in VECTORS:
            rest: nn.Module = _Standard(dim)
            if likelihood == "mixture":
                rest = Mixture(dim, latent, width, depth, components)
            elif likelihood == "flow":
                rest = SplineFlow(dim, latent, width, depth)
            self.density: nn.Module = _Vectors(ConditionalGaussian(dim, latent, width), rest)
        elif likelihood in LIKELIHOODS:
            member = cast(Likelihood, build(LIKELIHOODS, likelihood, "likelihood", dim))
            self.density = _Heads(member, latent, width, depth)
        else:
            names = dict.fromkeys([*VECTORS, *LIKELIHOODS])
            raise ValueError(
                f"There is no likelihood {likelihood!r}; there are: {', '.join(names)}."
            )

    @staticmethod
    def takes_raw(likelihood: str = "gaussian", **_: object) -> bool:
        """Whether data must come without transforms, given the options of the constructor."""
        return likelihood not in VECTORS

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Start from what training sets say."""
        self._density.prepare(batch, z)

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        """Return the log density of every atom under the distribution of its set, `(N,)`.

        Args:
            batch: The sets, in the space the generator was trained in.
            z: Their embeddings, `(B, L)`.

        Returns:
            Nats: of a density of vectors, or of the probability of counts and classes.

        Raises:
            ValueError: If atoms are not of the kind that the likelihood is for.
        """
        return self._density.log_prob(batch, z)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set by its mean negative log likelihood in nats per dimension, `(B,)`."""
        return -batch.mean(self.log_prob(batch, z)) / math.prod(self.event_shape)

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        return self._density.sample(z, n, rng).reshape(len(z), n, *self.event_shape)

    @property
    def _density(self) -> Density:
        return cast(Density, self.density)


class _Vectors(nn.Module):
    """A conditional Gaussian and the density of what it leaves over."""

    def __init__(self, base: ConditionalGaussian, rest: nn.Module) -> None:
        super().__init__()
        self.base, self.rest = base, rest

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        self.base.prepare(batch, z)

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        gaussian = self.base(z)
        left = self._residual.log_prob(batch, gaussian.whiten(batch), z)
        return left - batch.expand(self.base.dim * gaussian.log_volume())

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        drawn: Tensor = self.base(z).colour(self._residual.sample(z, n, rng))
        return drawn

    @property
    def _residual(self) -> Residual:
        return cast(Residual, self.rest)


class _Standard(nn.Module):
    """N(0, I)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def log_prob(self, batch: SetBatch, u: Tensor, z: Tensor) -> Tensor:
        return -u.square().sum(1) / 2 - self.dim * math.log(2 * math.pi) / 2

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        return torch.randn(len(z), n, self.dim, generator=rng, device=z.device)


class _Heads(nn.Module):
    """Parameters of a likelihood, affine in z plus a small network."""

    weight: Tensor
    bias: Tensor
    left_over: Tensor

    def __init__(self, likelihood: Likelihood, latent: int, width: int, depth: int) -> None:
        super().__init__()
        self.likelihood, outputs = likelihood, likelihood.outputs
        self.register_buffer("weight", torch.zeros(outputs, latent))
        self.register_buffer("bias", torch.zeros(outputs))
        self.register_buffer("left_over", torch.ones(outputs))
        self.network = MLP(latent, outputs, width, depth)
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        shrink(last, 0.01)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        fit = regressed(self.likelihood, batch, z)
        self.weight.copy_(fit.weight.T)
        self.bias.copy_(fit.bias)
        self.left_over.copy_(fit.error.clamp_min(LEAST_UNIT))

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        self.likelihood.check(batch.flat[batch.w > 0])
        return self.likelihood.log_prob(batch.flat, batch.expand(self._outputs(z)))

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        h = self._outputs(z)
        return self.likelihood.sample(h.unsqueeze(1).expand(-1, n, -1), rng).to(z.dtype)

    def _outputs(self, z: Tensor) -> Tensor:
        with reduced(z.device):
            found = self.network(z)
        h: Tensor = torch.addmm(self.bias, z, self.weight.T) + found.float() * self.left_over
        return h
