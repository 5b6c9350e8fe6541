r"""A conditional generative adversarial network whose training converges locally (R3GAN).

Residual atoms u of the conditional Gaussian base, noise $e \sim N(0, I)$, a generated atom
$g = e + c\,G(e, z)$, and a critic $D(\cdot, z)$ that compares pairs of the same set (Huang et
al., 2024, eq. 2 and 5; the relativistic pairing is by Jolicoeur-Martineau, 2018, the penalties by
Mescheder et al., 2018):

    critic:     softplus(D(g) - D(u)) + gamma / 2 (|grad D(u)|^2 + |grad D(g)|^2),
    generator:  softplus(D(u) - D(g)).

A generated atom has to score *higher* than a real one of its set, so a missing mode keeps
attracting the generator; zero-centred penalties on both sides make the game converge locally.

One optimiser trains both sides: the critic's terms contain generated atoms detached, the
generator's contain the critic with its parameters detached, and the two are summed. Adam's step
does not depend on the scale of the gradient, so c < 1 makes the generator the slower side (two
time scales; Heusel et al., 2017): with c = 1 it leaves a good start before the critic can judge
it. The critic receives z detached: z is trained to make good atoms. It would otherwise be trained
to expose generated atoms or, in the generator's terms, to mislead the critic.

The value of the game does not measure quality. Without gradients or in evaluation the loss is the
likelihood of the base plus the gain in the energy score (Gneiting and Raftery, 2007, eq. 21),

    ES(g) - ES(e),   ES(g) = E|g - u| - E|g - g'| / 2 over sqrt(D),

which is half the energy distance up to a term of the data alone, and linear in the weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.generators.base import ConditionalGaussian
from distembed.nn.conditional import ConditionalNet
from distembed.nn.film import Expand
from distembed.nn.mlp import shrink

__all__ = ["GAN"]


class GAN(nn.Module):
    """Relativistic GAN with gradient penalties on both sides: one network call a draw.

    Args:
        event_shape: Shape of one atom.
        latent: Dimension L of the embedding.
        width: Width of the generator and of the critic.
        depth: Their number of residual blocks.
        penalty: Weight gamma of the gradient penalties.
        pace: Factor c of the generator's output, which slows its training.
        draws: Generated atoms, an even number, that estimate the energy score of each atom.

    Raises:
        ValueError: If the penalty is not positive: without one the game does not converge.

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
        pace: float = 0.3,
        draws: int = 8,
    ) -> None:
        super().__init__()
        if not 0 < penalty < math.inf:
            raise ValueError(
                f"penalty = {penalty}; the gradient penalties need a positive weight, without "
                "which critic and generator do not converge. Use 0.1, or more if the loss "
                "oscillates."
            )
        self.event_shape, self.penalty = tuple(event_shape), penalty
        self.pace, self.draws = pace, draws
        dim = math.prod(event_shape)
        self.base = ConditionalGaussian(dim, latent, width)
        self.generator = ConditionalNet(dim, dim, latent, width, depth)
        shrink(self.generator.outputs, 0.01)
        self.critic = ConditionalNet(dim, 1, latent, width, depth)
        # only differences of scores enter the loss, so a bias would have no gradient
        self.critic.outputs.register_parameter("bias", None)

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Fit the base to the moments of training sets."""
        self.base.prepare(batch, z)

    def widen(self, batch: SetBatch, z: Tensor) -> None:
        """Widen the base by the error of predictions from few atoms."""
        self.base.widen(batch, z)

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set, `(B,)`: base and game, or base and energy score in evaluation."""
        gaussian = self.base(z)
        u = gaussian.whiten(batch).detach()
        score = self._game if self.training and torch.is_grad_enabled() else self._gain
        nll = self.base.negative_log_likelihood(batch, gaussian)
        return nll + batch.mean(score(u, batch, z, rng))

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms of each set, `(B, n, *event)`."""
        e = torch.randn(len(z), n, math.prod(self.event_shape), generator=rng, device=z.device)
        u = self._generate(e, z, lambda rows: rows.unsqueeze(1))
        atoms: Tensor = self.base(z).colour(u)
        return atoms.reshape(len(z), n, *self.event_shape)

    def _generate(self, e: Tensor, z: Tensor, expand: Expand) -> Tensor:
        u: Tensor = e + self.pace * self.generator(e, z, expand)
        return u

    def _game(self, u: Tensor, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Return the losses of both sides for each atom and its generated partner, `(N,)`."""
        e = torch.randn(u.shape, generator=rng, device=u.device, dtype=u.dtype)
        generated = self._generate(e, z, batch.expand)
        z = z.detach()

        atoms = torch.cat([u, generated.detach()]).requires_grad_()
        score = self.critic(atoms, z, lambda rows: batch.expand(rows).repeat(2, 1)).squeeze(1)
        (slope,) = torch.autograd.grad(score.sum(), atoms, create_graph=True)
        real, false = score.chunk(2)
        square = torch.stack(slope.square().sum(1).chunk(2)).sum(0)
        critic = functional.softplus(false - real) + self.penalty / 2 * square

        frozen = {name: p.detach() for name, p in self.critic.named_parameters()}
        arguments = (generated, z, batch.expand)
        score = functional_call(self.critic, frozen, arguments).squeeze(1)
        total: Tensor = critic + functional.softplus(real.detach() - score)
        return total

    def _gain(self, u: Tensor, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Return the energy score of generated atoms less that of their noise, `(N,)`."""
        shape = (len(u), self.draws, u.shape[1])
        e = torch.randn(shape, generator=rng, device=u.device, dtype=u.dtype)
        generated = self._generate(e, z, lambda rows: batch.expand(rows).unsqueeze(1))
        gain = _energy_score(generated, u) - _energy_score(e, u)
        return gain / math.sqrt(u.shape[1])


def _energy_score(draws: Tensor, u: Tensor) -> Tensor:
    """Estimate the energy score of draws `(N, K, D)` for atoms `(N, D)` without bias, `(N,)`."""
    one, two = draws.chunk(2, 1)
    error = (draws - u.unsqueeze(1)).norm(dim=2).mean(1)
    score: Tensor = error - (one - two).norm(dim=2).mean(1) / 2
    return score
