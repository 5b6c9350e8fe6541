r"""An implicit generator: noise through a network, trained by a divergence (Li et al., 2015).

    x = l(z) + C(z) u,      u = e + f(e, t, z),      e ~ N(0, I),  t ~ U(0, 1)

l and C are those of the conditional Gaussian base. f starts near zero, so u starts as noise; t is
one more number of noise, by which a narrow network can choose between modes. There is no density
and no solver: a draw is one network call.

With m atoms of the target and n drawn, $\min D(P_n, Q_m)$ over generators is not the truth.
Quantiles of a small sample lie further in than those of the population, and a generator follows
them: the plug-in sliced and Sinkhorn divergences shrink the variance, and so does the energy
distance if drawn atoms are compared with themselves. The loss is therefore, for two independent
draws X and X' (Salimans et al., 2018, "Improving GANs using optimal transport"),

    (D(X, Y) + D(X', Y) - D(X, X')) / 2.

- If D is a kernel distance, as `energy` and `mmd` are, the mean of this differs from D between the
  generator and Y by a constant: its gradient has no bias at any n and m.
- Otherwise it is the energy distance between *draws of n and of m atoms* under D. Its minimum is
  at the truth if n = m and D is of negative type, as `sliced` is; `sinkhorn` nearly is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences import DIVERGENCES
from distembed.generators.base import ConditionalGaussian
from distembed.nn.film import Expand, FiLMNet
from distembed.protocols import Divergence, RandomDivergence
from distembed.registry import NamedMember, build

__all__ = ["Implicit"]


class Implicit(nn.Module):
    """Noise through a network, trained by a divergence.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Its number of residual blocks.
        divergence: `energy`, `mmd`, `sliced`, `sinkhorn` or another name of `DIVERGENCES`, or a
            `Divergence` that passes a gradient to atoms. A `RandomDivergence` gets a new seed at
            every step: the generator would fit a fixed set of directions only.
        draws: Atoms of each of the two draws of a set; by default as many as its target has.
            `sliced` and `sinkhorn` are smaller between more atoms: set the number of atoms that
            their targets have if sets differ in size.

    Raises:
        ValueError: If there is no such divergence, if it is defined for sets of equal sizes
            only or passes no gradient, or if `draws` is below 1.

    Example:
        >>> model = Implicit((2,), latent=4)
        >>> model.sample(torch.zeros(3, 4), 5, torch.Generator()).shape
        torch.Size([3, 5, 2])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 128,
        depth: int = 3,
        divergence: NamedMember | Divergence = "energy",
        draws: int | None = None,
    ) -> None:
        super().__init__()
        if draws is not None and draws < 1:
            raise ValueError(f"draws = {draws}; a draw has at least one atom.")
        self.event_shape, self.draws = tuple(event_shape), draws
        self.divergence: Divergence = (
            build(DIVERGENCES, divergence, "divergence")
            if isinstance(divergence, str | Mapping)
            else divergence
        )
        _check_trainable(self.divergence)
        dim = math.prod(event_shape)
        self.base = ConditionalGaussian(dim, latent, width)
        self.field = FiLMNet(dim, latent, width, depth)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Fit the base to the moments of training sets."""
        self.base.prepare(batch, z)

    def widen(self, batch: SetBatch, z: Tensor) -> None:
        """Widen the base by the error of predictions from few atoms."""
        self.base.widen(batch, z)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set: likelihood of the base, and the divergence of residuals, `(B,)`."""
        gaussian = self.base(z)
        # typical distances are about one in any dimension
        unit = math.sqrt(math.prod(self.event_shape))
        target = batch.replace(x=gaussian.whiten(batch).detach() / unit)
        sizes = batch.sizes if self.draws is None else torch.full_like(batch.sizes, self.draws)
        like = _equal_weights(sizes, target)
        shape = (len(like.w), target.x.shape[1])
        one, two = (
            like.replace(x=self._residuals(shape, z, like.expand, rng) / unit) for _ in range(2)
        )
        divergence = _reseed(self.divergence, rng)
        both, twice = SetBatch.concat([one, two]), SetBatch.concat([target, target])
        near = divergence(both, twice).view(2, -1).mean(0)
        return self.base.negative_log_likelihood(batch, gaussian) + near - divergence(one, two) / 2

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        shape = (len(z), n, math.prod(self.event_shape))
        u = self._residuals(shape, z, lambda rows: rows.unsqueeze(1), rng)
        atoms: Tensor = self.base(z).colour(u)
        return atoms.reshape(len(z), n, *self.event_shape)

    def _residuals(
        self, shape: tuple[int, ...], z: Tensor, expand: Expand, rng: torch.Generator
    ) -> Tensor:
        e = torch.randn(shape, generator=rng, device=z.device)
        t = torch.rand(shape[:-1], generator=rng, device=z.device)
        u: Tensor = e + self.field(e, z, t, expand)
        return u


def _equal_weights(sizes: Tensor, like: SetBatch) -> SetBatch:
    """Return sets of these sizes with equal weights and empty rows."""
    offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    w = (1 / sizes.to(like.w)).repeat_interleave(sizes)
    return SetBatch(like.x.new_zeros(len(w), 0), w, offsets)


def _reseed(divergence: Divergence, rng: torch.Generator) -> Divergence:
    """Draw a new seed of a divergence that has one."""
    if not isinstance(divergence, RandomDivergence):
        return divergence
    seed = int(torch.randint(2**62, (), generator=rng, device=rng.device))
    return cast(Divergence, dataclasses.replace(cast(Any, divergence), seed=seed))


def _check_trainable(divergence: Divergence) -> None:
    """Evaluate a divergence on sets of two and three atoms, as in training.

    Raises:
        ValueError: If it cannot compare them, or passes no gradient.
    """
    name = getattr(divergence, "__name__", type(divergence).__name__)
    fix = "Use divergence='energy', which compares any sets and has no bias."
    with torch.enable_grad():
        x = torch.tensor([[0.0], [1.0]], requires_grad=True)
        two, three = SetBatch.from_list([x]), SetBatch.from_list([[[0.0], [0.5], [2.0]]])
        try:
            value = divergence(two, three)
        except (IndexError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"The divergence {name} cannot compare a set of two atoms with one of three "
                f"({error}), but targets have different sizes. {fix}"
            ) from error
    if value.shape != (1,) or not value.requires_grad:
        raise ValueError(
            f"The divergence {name} returns shape {tuple(value.shape)} "
            f"{'with' if value.requires_grad else 'without'} a gradient for one pair of sets; "
            f"training needs shape (1,) with a gradient to the atoms. {fix}"
        )
