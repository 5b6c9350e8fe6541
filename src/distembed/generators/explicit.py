r"""Generators with a density, trained by maximum likelihood.

    loss_b = - sum_i w_i log p(x_i | z_b) / D

The density is one of vectors, or one of counts and classes:

- `gaussian`, `mixture`, `flow`: a conditional Gaussian base with location l and scale C, and a
  density r of its residuals, $p(x | z) = r(C^{-1}(x - l) | z) / \det C$. r is N(0, I), a mixture
  (`generators.mixture`) or a flow of splines (`generators.normalizing`);
- the names of `LIKELIHOODS` otherwise, whose parameters are an affine function of z plus a small
  network (`generators.heads`).

Counts and classes are scored as they are: `traits.raw_atoms` then excludes transforms. Everything
is in nats: a loss is the cross entropy of the data.
"""

from __future__ import annotations

import math
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import ConditionalGaussian
from distembed.generators.heads import LikelihoodHeads
from distembed.generators.likelihoods import LIKELIHOODS
from distembed.generators.marginal import marginal_log_prob
from distembed.generators.mixture import Mixture, MixtureSettings
from distembed.generators.normalizing import SplineFlow
from distembed.protocols import GeneratorTraits, WidenedGenerator
from distembed.registry import build

__all__ = ["RESIDUALS", "Explicit"]

RESIDUALS = ("gaussian", "mixture", "flow")
"""Densities of the residuals of a conditional Gaussian."""


class ConditionalDensity(Protocol):
    """A conditional distribution of flattened atoms."""

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Set buffers from training sets."""

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        """Return log densities in nats of all atoms, `(N,)`."""

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, D)`."""


class ResidualDensity(Protocol):
    """A conditional distribution of the residuals of a Gaussian."""

    def log_prob(self, batch: SetBatch, u: Tensor, z: Tensor) -> Tensor:
        """Return log densities in nats of residual atoms `(N, D)`, `(N,)`."""

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n residual atoms of each set, `(B, n, D)`."""


@runtime_checkable
class _InvertibleResidual(Protocol):
    """A residual density whose draws are an invertible function of standard normal noise."""

    def noise(self, u: Tensor, z: Tensor) -> Tensor:
        """Return the noise of residual atoms, `(B, n, D)`."""

    def atoms(self, e: Tensor, z: Tensor) -> Tensor:
        """Return the residual atoms of noise, `(B, n, D)`."""


class Explicit(nn.Module):
    """A generator whose distribution has a density.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        likelihood: `gaussian`, `mixture`, `flow`, `poisson`, `negative_binomial`,
            `zero_inflated_negative_binomial`, `bernoulli`, `categorical` or `multinomial`.
        width: Width of networks.
        depth: Their hidden layers; of a flow, its transforms.
        components: Components of a mixture.

    Attributes:
        traits: `raw_atoms` for likelihoods of counts and classes.

    Raises:
        ValueError: If there is no such likelihood, or it is not defined for the shape.
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
        self.event_shape, self.likelihood = tuple(event_shape), likelihood
        self.traits = self.traits_of(likelihood)
        dim = math.prod(event_shape)
        if likelihood in RESIDUALS:
            residual: nn.Module = _StandardNormal(dim)
            if likelihood == "mixture":
                residual = Mixture(dim, latent, width, depth, MixtureSettings(components))
            elif likelihood == "flow":
                residual = SplineFlow(dim, latent, width, depth)
            base = ConditionalGaussian(dim, latent, width)
            self.density: nn.Module = _Composed(base, residual)
        elif likelihood in LIKELIHOODS:
            member = build(LIKELIHOODS, likelihood, "likelihood", dim)
            self.density = LikelihoodHeads(member, latent, width, depth)
        else:
            names = dict.fromkeys([*RESIDUALS, *LIKELIHOODS])
            raise ValueError(
                f"There is no likelihood {likelihood!r}; there are: {', '.join(names)}."
            )

    @staticmethod
    def traits_of(likelihood: str = "gaussian", **_: object) -> GeneratorTraits:
        """Return the traits of a generator with this likelihood."""
        return GeneratorTraits(
            raw_atoms=likelihood not in RESIDUALS, masked=likelihood == "gaussian"
        )

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Fit the affine parts to training sets."""
        self._density.prepare(batch, z)

    def widen(self, batch: SetBatch, z: Tensor) -> None:
        """Widen the base, if there is one, by the error of predictions from few atoms."""
        if isinstance(self.density, WidenedGenerator):
            self.density.widen(batch, z)

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        """Return the log density of each atom under the distribution of its set, `(N,)`.

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
        """Score each set by its mean negative log likelihood in nats per dimension, `(B,)`.

        Where values are missing it is that of the measured features, per measured feature.
        """
        if batch.observed is not None:
            return -batch.mean(self.log_prob(batch, z)) / batch.mean(batch.mask.sum(1))
        return -batch.mean(self.log_prob(batch, z)) / math.prod(self.event_shape)

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        return self._density.sample(z, n, rng).reshape(len(z), n, *self.event_shape)

    @torch.no_grad()
    def transport(self, x: Tensor, z_from: Tensor, z_to: Tensor, steps: int = 0) -> Tensor:
        """Map atoms `(B, n, *event)` to their noise at one embedding, and back at another.

        Exact: `steps` is not used.

        Raises:
            TypeError: If atoms are no invertible function of noise, as those of mixtures.
        """
        density = self.density
        residual: object = density.residual if isinstance(density, _Composed) else None
        if not isinstance(residual, _InvertibleResidual):
            raise TypeError(
                f"The likelihood {self.likelihood} has no inverse: its atoms are no invertible "
                "function of noise. Transport takes generator='flow', or 'explicit' with the "
                "likelihood gaussian or flow."
            )
        base = cast(_Composed, density).base
        e = residual.noise(base(z_from).residuals(x.flatten(2)), z_from)
        atoms: Tensor = base(z_to).colour(residual.atoms(e, z_to))
        return atoms.reshape(x.shape)

    @property
    def _density(self) -> ConditionalDensity:
        return cast(ConditionalDensity, self.density)


class _Composed(nn.Module):
    """A conditional Gaussian and a density of its residuals."""

    def __init__(self, base: ConditionalGaussian, residual: nn.Module) -> None:
        super().__init__()
        self.base, self.residual = base, residual

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        self.base.prepare(batch, z)

    def widen(self, batch: SetBatch, z: Tensor) -> None:
        self.base.widen(batch, z)

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        gaussian = self.base(z)
        if batch.observed is not None and isinstance(self.residual, _StandardNormal):
            return marginal_log_prob(batch, gaussian)
        nats = self._residual.log_prob(batch, gaussian.whiten(batch), z)
        return nats - batch.expand(self.base.dim * gaussian.log_volume())

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        atoms: Tensor = self.base(z).colour(self._residual.sample(z, n, rng))
        return atoms

    @property
    def _residual(self) -> ResidualDensity:
        return cast(ResidualDensity, self.residual)


class _StandardNormal(nn.Module):
    """N(0, I)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def log_prob(self, batch: SetBatch, u: Tensor, z: Tensor) -> Tensor:
        return -u.square().sum(1) / 2 - self.dim * math.log(2 * math.pi) / 2

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        return torch.randn(len(z), n, self.dim, generator=rng, device=z.device)

    def noise(self, u: Tensor, z: Tensor) -> Tensor:
        return u

    def atoms(self, e: Tensor, z: Tensor) -> Tensor:
        return e
