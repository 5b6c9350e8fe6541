r"""Variance-preserving diffusion whose last step holds no signal.

Residual atoms u of the conditional Gaussian base are noised with $\alpha_t = \cos(\pi t / 2)$ and
$\sigma_t = \sin(\pi t / 2)$,

    u_t = alpha_t u + sigma_t e,      v_t = alpha_t e - sigma_t u,

the arc of `generators.residual` with time, and so the sign of v, reversed. At t = 1 nothing of u
is left, so sampling starts from the distribution that training ended in; a schedule that keeps
some signal shrinks every mean (Lin et al., 2024).

**Prediction** (Salimans and Ho, 2022, section 4). The network f adds to what is right where u is
standard normal, as by the skip of Karras et al. (2022, section 5):

    v: v = f,      epsilon: e = sigma_t u_t + f,      x: u = alpha_t u_t + f,

which are the same velocity up to a factor, f = c v with c = 1, alpha_t, -sigma_t. Each is trained
on its own squared error divided by E[c^2], 1 or 1/2: bounded, zero for f = 0, and the same number
for the same error of v at all times. They differ in where they look: epsilon near the data, x near
the noise. To sample, f is divided by c, at times no nearer than `CLOSEST` to where c vanishes.
Prefer v: on the mixtures of `generators.coupling` (floor 0.60) the error of 32 and of 200 calls is
0.62 and 0.62 with v, 0.72 and 0.70 with x, and, after 150 steps of training instead of 200, 1.19
and 1.17 with epsilon, whose error is divided by most where the shape is still undecided.

**Guidance** (Ho and Salimans, 2022). With a probability `dropout` the network is shown a learned
null embedding in the place of the z of a set, and learns the average set; sampling follows
$v_\varnothing + w (v_z - v_\varnothing)$. The base always sees z: location and covariance are
those of the set at any w, and what w exaggerates is the shape that sets apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.generators.base import ConditionalGaussian
from distembed.generators.residual import Share, residual_loss
from distembed.generators.samplers import SAMPLERS, check_calls
from distembed.nn.backbone import backbone as build_backbone

__all__ = ["CLOSEST", "Diffusion"]

CLOSEST = 0.02
"""Smallest factor that a prediction is divided by: its own error grows as much."""

# by the angle of the arc, from noise to data: cos and sin change places, v its sign
_PREDICTIONS = {
    "v": Share(lambda s: -torch.ones_like(s), 1.0),
    "epsilon": Share(lambda s: -s.sin(), 2.0),
    "x": Share(torch.cos, 2.0),
}
_TIMES = {  # t of the arc where the network may be divided by its factor
    "v": (0.0, 1.0),
    "epsilon": (2 / math.pi * math.asin(CLOSEST), 1.0),
    "x": (0.0, 2 / math.pi * math.acos(CLOSEST)),
}


class Diffusion(nn.Module):
    """Diffusion with a choice of prediction, sampler and guidance.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the network.
        depth: Its number of residual blocks.
        calls: Network calls of a draw; twice as many under guidance.
        sampler: `heun`, `ddim` or `ancestral`; see `generators.samplers`.
        prediction: What the network predicts: `v`, `epsilon` or `x`.
        dropout: Probability that a set is shown without its embedding in training.
        guidance: Weight w; 1 follows the embedding as it is and asks the network once.
        backbone: The network: `mlp`, or `unet` for images.

    Raises:
        ValueError: If a name is unknown or a number is out of range.

    Example:
        >>> model = Diffusion((2,), latent=4, calls=4)
        >>> model.sample(torch.zeros(3, 4), 5, torch.Generator()).shape
        torch.Size([3, 5, 2])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 128,
        depth: int = 3,
        calls: int = 32,
        sampler: Literal["heun", "ddim", "ancestral"] = "heun",
        prediction: Literal["v", "epsilon", "x"] = "v",
        dropout: float = 0.0,
        guidance: float = 1.0,
        backbone: str = "mlp",
    ) -> None:
        super().__init__()
        _check_name("sampler", sampler, SAMPLERS)
        _check_name("prediction", prediction, _PREDICTIONS)
        check_calls(calls, sampler)
        if not 0 <= dropout < 1:
            raise ValueError(
                f"dropout = {dropout}; it is the share of sets that are shown without their "
                "embedding, in [0, 1). 0.1 is usual."
            )
        if guidance != 1 and not dropout:
            raise ValueError(
                f"guidance = {guidance} with dropout = 0: guidance leads away from the average "
                "set, which a network knows only if it is trained without embeddings at times. "
                "Set dropout, 0.1 is usual, or guidance = 1."
            )
        self.event_shape, self.calls, self.sampler = tuple(event_shape), calls, sampler
        self.prediction, self.dropout, self.guidance = prediction, dropout, guidance
        self.base = ConditionalGaussian(math.prod(event_shape), latent, width)
        self.field = build_backbone(backbone, self.event_shape, latent, width, depth)
        # as far from the embeddings of sets as they are from each other
        self.null = nn.Parameter(torch.randn(latent)) if dropout else None

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Start the base from the moments of training sets."""
        self.base.prepare(batch, z)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set: likelihood of the base, and what the network gains, `(B,)`."""
        shown = self._dropped(z, rng)
        return residual_loss(
            self.base,
            lambda u, t: self.field(u, shown, 1 - t, batch.expand),
            batch,
            z,
            rng,
            share=_PREDICTIONS[self.prediction],
        )

    def _dropped(self, z: Tensor, rng: torch.Generator) -> Tensor:
        # validation scores what is drawn with guidance 1
        if self.null is None or not self.training:
            return z
        dropped = torch.rand(len(z), 1, generator=rng, device=z.device) < self.dropout
        return torch.where(dropped, self.null.to(z), z)

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        gaussian = self.base(z)
        u = torch.randn(len(z), n, math.prod(self.event_shape), generator=rng, device=z.device)
        u = SAMPLERS[self.sampler](lambda u, t: self._velocity(u, z, t), u, self.calls, rng)
        drawn: Tensor = gaussian.colour(u)
        return drawn.reshape(len(z), n, *self.event_shape)

    def _velocity(self, u: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Velocity along the arc at its time t, guided."""
        t = t.clamp(*_TIMES[self.prediction])
        found: Tensor = self.field(u, z, 1 - t, _over_atoms)
        if self.null is not None and self.guidance != 1:
            average = self.field(u, self.null.to(z).expand_as(z), 1 - t, _over_atoms)
            found = average + self.guidance * (found - average)
        return found / _PREDICTIONS[self.prediction].factor(torch.pi / 2 * t)


def _check_name(what: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise ValueError(f"{what} is {name!r}; there are: {', '.join(map(repr, known))}.")


def _over_atoms(v: Tensor) -> Tensor:
    return v.unsqueeze(1)
