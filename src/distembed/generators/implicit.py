r"""An implicit generator: noise through a network, trained by a divergence (Li et al., 2015).

    x = l(z) + C(z) u,      u = e + f(e, t, z),      e ~ N(0, I),  t ~ U(0, 1)

l and C are those of the conditional Gaussian base. f starts near zero, so u starts as noise; t is
one more number of noise, which lets a narrow network choose between modes. Nothing has a density
and nothing is integrated: a draw is one call.

With m atoms of the target and n drawn, $\min D(P_n, Q_m)$ over generators is not the truth.
Quantiles of few atoms lie further in than those of the population, and a generator follows them:
minimised as it is, the sliced or the Sinkhorn divergence takes away variance. So does the energy
distance if a drawn atom is compared with itself. What is minimised is therefore, for two
independent draws X and X' (Salimans et al., 2018, "Improving GANs using optimal transport"),

    (D(X, Y) + D(X', Y) - D(X, X')) / 2.

- Where D is a kernel distance, as `energy` and `mmd` are, the mean of this differs from D between
  the generator and Y by no more than a constant: its gradient has no bias at any n and m.
- Else it is the energy distance between *draws of n and of m atoms* under D. It has its minimum at
  the truth where n = m and D is of negative type, as `sliced` is; `sinkhorn` nearly is.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.divergences import DIVERGENCES
from distembed.generators.base import ConditionalGaussian
from distembed.nn.film import Expand, FiLMNet
from distembed.protocols import Divergence
from distembed.registry import build

__all__ = ["Implicit"]


class Implicit(nn.Module):
    """Noise through a network, trained by a divergence.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Its number of residual blocks.
        divergence: `energy`, `mmd`, `sliced`, `sinkhorn` or another name of `DIVERGENCES`, or a
            `Divergence` that passes a gradient to atoms. A field `seed` is drawn anew at every
            step: directions that stay are the only ones that are ever fitted.
        draws: Atoms of each of the two draws of a set; as many as its target has where left out.
            `sliced` and `sinkhorn` are smaller between more atoms: give the number that their
            targets have if sets differ in size.

    Raises:
        ValueError: If there is no such divergence, or it cannot train: it needs sets of equal
            sizes, or passes no gradient. If `draws` is below 1.

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
        divergence: str | Divergence = "energy",
        draws: int | None = None,
    ) -> None:
        super().__init__()
        if draws is not None and draws < 1:
            raise ValueError(f"draws = {draws}; a draw has at least one atom.")
        self.event_shape, self.draws = tuple(event_shape), draws
        if isinstance(divergence, str):
            divergence = cast(Divergence, build(DIVERGENCES, divergence, "divergence"))
        self.divergence = divergence
        _refuse_untrainable(self.divergence)
        dim = math.prod(event_shape)
        self.base = ConditionalGaussian(dim, latent, width)
        self.field = FiLMNet(dim, latent, width, depth)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Start the base from the moments of training sets."""
        self.base.prepare(batch, z)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set: likelihood of the base, and the divergence of residuals, `(B,)`."""
        gaussian = self.base(z)
        # typical distances are then about one in any number of dimensions
        unit = math.sqrt(math.prod(self.event_shape))
        target = batch.replace(x=gaussian.whiten(batch).detach() / unit)
        like = _evenly(batch.sizes if self.draws is None else batch.sizes * 0 + self.draws, target)
        shape = (len(like.w), target.x.shape[1])
        one, two = (
            like.replace(x=self._residuals(shape, z, like.expand, rng) / unit) for _ in range(2)
        )
        divergence = _reseeded(self.divergence, rng)
        both, twice = SetBatch.concat([one, two]), SetBatch.concat([target, target])
        near = divergence(both, twice).view(2, -1).mean(0)
        return self.base.negative_log_likelihood(batch, gaussian) + near - divergence(one, two) / 2

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        shape = (len(z), n, math.prod(self.event_shape))
        drawn: Tensor = self.base(z).colour(
            self._residuals(shape, z, lambda v: v.unsqueeze(1), rng)
        )
        return drawn.reshape(len(z), n, *self.event_shape)

    def _residuals(
        self, shape: tuple[int, ...], z: Tensor, expand: Expand, rng: torch.Generator
    ) -> Tensor:
        e = torch.randn(shape, generator=rng, device=z.device)
        t = torch.rand(shape[:-1], generator=rng, device=z.device)
        moved: Tensor = e + self.field(e, z, t, expand)
        return moved


def _evenly(sizes: Tensor, like: SetBatch) -> SetBatch:
    """Return sets of given sizes with equal weights and rows that are yet to be drawn."""
    offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    w = (1 / sizes.to(like.w)).repeat_interleave(sizes)
    return SetBatch(like.x.new_zeros(len(w), 0), w, offsets)


def _reseeded(divergence: Divergence, rng: torch.Generator) -> Divergence:
    """Draw the seed of a divergence that has one."""
    given: Any = divergence
    if not (dataclasses.is_dataclass(given) and hasattr(given, "seed")):
        return divergence
    seed = int(torch.randint(2**62, (), generator=rng, device=rng.device))
    return cast(Divergence, dataclasses.replace(cast(Any, given), seed=seed))


def _refuse_untrainable(divergence: Divergence) -> None:
    """Try a divergence on sets of two and three atoms, as training will meet them."""
    name = getattr(divergence, "__name__", type(divergence).__name__)
    fix = "Use divergence='energy', which takes any sets and has no bias."
    with torch.enable_grad():
        x = torch.tensor([[0.0], [1.0]], requires_grad=True)
        two, three = SetBatch.from_list([x]), SetBatch.from_list([[[0.0], [0.5], [2.0]]])
        try:
            value = divergence(two, three)
        except (IndexError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"The divergence {name} cannot compare a set of two atoms with one of three "
                f"({error}), but targets come in all sizes. {fix}"
            ) from error
    if value.shape != (1,) or not value.requires_grad:
        raise ValueError(
            f"The divergence {name} returns shape {tuple(value.shape)} "
            f"{'with' if value.requires_grad else 'without'} a gradient for one pair of sets; a "
            f"generator learns from shape (1,) with a gradient to the atoms. {fix}"
        )
