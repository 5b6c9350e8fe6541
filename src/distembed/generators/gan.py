r"""A conditional generative adversarial network with a game that settles (R3GAN).

Residual atoms u of the conditional Gaussian base, noise $e \sim N(0, I)$, a generated atom
$g = e + c\,G(e, z)$, and a critic $D(\cdot, z)$ that is shown pairs of the same set (Huang et al.,
2024, eq. 2 and 5; the relativistic pairing is Jolicoeur-Martineau, 2018, the penalties Mescheder
et al., 2018):

    critic:     softplus(D(g) - D(u)) + gamma / 2 (|grad D(u)|^2 + |grad D(g)|^2),
    generator:  softplus(D(u) - D(g)).

A generated atom has to be taken for *more* real than a real one of its set, so a mode that is
missing keeps pulling; penalties at zero on both sides make the game converge locally.

One optimiser plays both sides: the critic's terms see generated atoms detached, the generator's
see the critic with its parameters detached, and the two are summed. A step of Adam moves every
weight as far, so c < 1 makes the generator the slower side (two time scales; Heusel et al., 2017):
with c = 1 it runs from a start that was right before the critic has seen that. The critic sees z
detached: the embedding learns to make good atoms. It would otherwise learn to give them away or,
in the generator's terms, to blind the critic.

The value of the game says nothing of quality. Without gradients or in evaluation the loss is
the likelihood of the base and the gain in the energy score (Gneiting and Raftery, 2007, eq. 21),

    ES(g) - ES(e),   ES(g) = E|g - u| - E|g - g'| / 2 over sqrt(D),

which is half the energy distance up to what the data alone decide, linear in the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.generators.base import ConditionalGaussian
from distembed.nn.conditional import ConditionalNet
from distembed.nn.mlp import shrink

__all__ = ["GAN"]

_PACE = 0.3  # c
_SCORED = 8  # generated atoms that each target atom is scored with, in pairs


class GAN(nn.Module):
    """Relativistic GAN with gradient penalties on both sides: one network call a draw.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the generator and of the critic.
        depth: Their number of residual blocks.
        penalty: Weight gamma of the gradient penalties.

    Raises:
        ValueError: If the penalty is not positive: without it the game circles.

    Example:
        >>> gan = GAN((2,), latent=4)
        >>> gan.sample(torch.zeros(3, 4), 5, torch.Generator()).shape
        torch.Size([3, 5, 2])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 128,
        depth: int = 3,
        penalty: float = 0.1,
    ) -> None:
        super().__init__()
        if not 0 < penalty < math.inf:
            raise ValueError(
                f"penalty = {penalty}; the gradient penalties need a positive weight, or critic "
                "and generator chase each other in circles. Try 0.1, and more if training swings."
            )
        self.event_shape, self.penalty = tuple(event_shape), penalty
        dim = math.prod(event_shape)
        self.base = ConditionalGaussian(dim, latent, width)
        self.generator = ConditionalNet(dim, dim, latent, width, depth)
        shrink(self.generator.outputs, 0.01)
        self.critic = ConditionalNet(dim, 1, latent, width, depth)
        # differences of scores are judged, so a constant would have no gradient
        self.critic.outputs.register_parameter("bias", None)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Start the base from the moments of training sets."""
        self.base.prepare(batch, z)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set, `(B,)`: the base and the game, or in evaluation the energy score."""
        gaussian = self.base(z)
        u = gaussian.whiten(batch).detach()
        playing = self.training and torch.is_grad_enabled()
        of_atoms = self._game(u, batch, z, rng) if playing else self._gain(u, batch, z, rng)
        return self.base.negative_log_likelihood(batch, gaussian) + batch.mean(of_atoms)

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        e = torch.randn(len(z), n, math.prod(self.event_shape), generator=rng, device=z.device)
        drawn: Tensor = self.base(z).colour(self._generate(e, z, lambda v: v.unsqueeze(1)))
        return drawn.reshape(len(z), n, *self.event_shape)

    def _generate(self, e: Tensor, z: Tensor, expand: Callable[[Tensor], Tensor]) -> Tensor:
        moved: Tensor = e + _PACE * self.generator(e, z, expand)
        return moved

    def _game(self, u: Tensor, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Both sides of the game, one number an atom and its partner, `(N,)`."""
        e = torch.randn(u.shape, generator=rng, device=u.device, dtype=u.dtype)
        made = self._generate(e, z, batch.expand)
        z = z.detach()

        atoms = torch.cat([u, made.detach()]).requires_grad_()
        score = self.critic(atoms, z, lambda v: batch.expand(v).repeat(2, 1)).squeeze(1)
        (slope,) = torch.autograd.grad(score.sum(), atoms, create_graph=True)
        real, false = score.chunk(2)
        steep = torch.stack(slope.square().sum(1).chunk(2)).sum(0)
        critic = functional.softplus(false - real) + self.penalty / 2 * steep

        frozen = {name: p.detach() for name, p in self.critic.named_parameters()}
        judged: Tensor = functional_call(self.critic, frozen, (made, z, batch.expand)).squeeze(1)
        both: Tensor = critic + functional.softplus(real.detach() - judged)
        return both

    def _gain(self, u: Tensor, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """How much better generated atoms score than their noise, `(N,)`, lower is better."""
        shape = (len(u), _SCORED, u.shape[1])
        e = torch.randn(shape, generator=rng, device=u.device, dtype=u.dtype)
        made = self._generate(e, z, lambda v: batch.expand(v).unsqueeze(1))
        gain = _energy_score(made, u) - _energy_score(e, u)
        return gain / math.sqrt(u.shape[1])


def _energy_score(drawn: Tensor, u: Tensor) -> Tensor:
    """Energy score of draws `(N, K, D)` for atoms `(N, D)`, without bias, `(N,)`."""
    one, two = drawn.chunk(2, 1)
    error = (drawn - u.unsqueeze(1)).norm(dim=2).mean(1)
    score: Tensor = error - (one - two).norm(dim=2).mean(1) / 2
    return score
