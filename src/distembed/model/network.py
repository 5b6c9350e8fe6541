r"""The trained module: where an encoder and a generator meet.

    loss(context, target) = L_generator(T target, C(z, m)) ,      z = encoder(T context)

T are the invertible transforms that bring atoms to the model's ground space. C centres and scales
each coordinate of z to unit deviation over training sets, so that a generator sees a small
covariance coordinate as well as a large mean coordinate while z itself keeps W2 units.

z must not depend on m, the effective number of atoms that made it, but what is known of the
distribution does: from ten atoms the best guess lies nearer to what all sets share, from ten
thousand it does not. So C also shrinks, by a learned r, and tells the generator:

    C(z, m) = [u + s r(u, s), s],      u = (z - centre) / scale,   s = sqrt(8 / (8 + m)),

which leaves u alone as m grows. r starts as a regression of one part of a set on another, linear
in u and in s (the shrinkage of empirical Bayes, which is s^2 where eight atoms say as much as the
population does), and a small network adds the rest. An embedding without a size is the
distribution itself, s = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.data.transforms.chain import Chain
from distembed.data.transforms.volume import log_volume
from distembed.encoders.streaming import StreamedEncoder, embed_chunks
from distembed.nn.mlp import MLP, shrink
from distembed.nn.ridge import ridge
from distembed.protocols import (
    Density,
    Encoder,
    Generator,
    Objective,
    PreparedEncoder,
    PreparedGenerator,
    Step,
)

__all__ = ["Embedder", "Network"]

LEAST_SCALE = 0.03
"""Coordinates of z below this share of the largest are not scaled up further."""


class Network(nn.Module):
    """An encoder, a generator and the transforms before them.

    Args:
        encoder: Maps a batch to `(B, L)`.
        generator: Scores and samples given `(B, L + 1)`.
        transform: Invertible map of atoms.
        latent: Dimension L.
        objectives: Further losses, added to the generator's.
    """

    linear: Tensor
    z_centre: Tensor
    z_scale: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        generator: nn.Module,
        transform: Chain,
        latent: int,
        objectives: Sequence[Objective] = (),
    ) -> None:
        super().__init__()
        self.encoder, self.generator = encoder, generator
        self.transform = transform
        for objective in objectives:
            if isinstance(objective, nn.Module) and any(True for _ in objective.parameters()):
                raise TypeError(
                    f"The objective {type(objective).__name__} has parameters, which would be "
                    "neither trained nor saved. Train it on embeddings afterwards."
                )
        self.objectives = tuple(objectives)
        self.shrinkage = MLP(latent + 1, latent, 4 * latent)
        shrink(cast(nn.Linear, self.shrinkage[-1]), 0.01)
        self.register_buffer("linear", torch.zeros(2 * latent + 2, latent))
        self.register_buffer("z_centre", torch.zeros(latent))
        self.register_buffer("z_scale", torch.ones(latent))

    @torch.no_grad()
    def prepare(self, batch: SetBatch, sizes: Sequence[int], rng: torch.Generator) -> None:
        """Let each part look at training sets once, before the first step.

        Args:
            batch: Training sets.
            sizes: Context sizes that training will draw.
            rng: Source of draws, on the CPU.
        """
        device = self.z_centre.device
        ground = self.to_ground(batch.to(device))
        if isinstance(self.encoder, PreparedEncoder):
            self.encoder.prepare(ground)
        z = cast(Encoder, self.encoder)(ground)
        deviation = z.std(0, unbiased=False)
        self.z_centre.copy_(z.mean(0))
        largest = deviation.max()
        # sets that are all alike have no scale: one keeps their embeddings finite
        floor = LEAST_SCALE * largest if largest > 1e-6 else torch.ones_like(largest)
        self.z_scale.copy_(deviation.clamp_min(floor))
        whole = self._standardise(z)
        if isinstance(self.generator, PreparedGenerator):
            # whole sets: what the generator reads is the distribution, and shrinkage comes before
            self.generator.prepare(ground, torch.cat([whole, whole.new_zeros(len(z), 1)], 1))
        # every set once, at one of the sizes: leaving a row out then leaves its set out
        parts = [
            batch.select(range(i, len(batch), len(sizes))).split(m, max(m, 64), rng)
            for i, m in enumerate(sizes[: len(batch)])
        ]
        self._prepare_shrinkage(parts)

    def _prepare_shrinkage(self, parts: Sequence[tuple[SetBatch, SetBatch]]) -> None:
        """Regress the embedding of one part of a set on that of a disjoint one.

        Coordinates that are not trained yet say nothing of a disjoint part. Shrinking these would
        keep gradients from them, so only those that stay as they are take part.
        """
        fixed = int(getattr(self.encoder, "fixed", 0))
        if not fixed:
            return
        device, latent = self.z_centre.device, len(self.z_centre)
        design, gap, trust = [], [], []
        for part, other in parts:
            u = self._standardise(self.encode(part.to(device)))[:, :fixed].double()
            s = _uncertainty(part.effective_sizes).to(device)
            gap.append(self._standardise(self.encode(other.to(device)))[:, :fixed].double() - u)
            design.append(_basis(u, s))
            trust.append((1 - _uncertainty(other.effective_sizes).square()).to(device))
        # sizes are few, so s and s^2 nearly cancel there and do not at other sizes
        fit = ridge(torch.cat(design), torch.cat(gap), torch.cat(trust), False, least=1e-3)
        kept = torch.arange(latent + 1) < fixed
        kept[latent] = True
        rows = kept.repeat(2).nonzero().flatten().to(device)
        self.linear[rows, :fixed] = fit.weight.to(self.linear)

    def to_ground(self, batch: SetBatch) -> SetBatch:
        """Transform atoms to the model's ground space, in float32."""
        batch = batch.to(dtype=torch.float32)
        return batch.replace(x=self.transform(batch.x.float()))

    def encode(self, batch: SetBatch) -> Tensor:
        """Embed sets given in the user's units, `(B, L)`."""
        z: Tensor = self.encoder(self.to_ground(batch)).float()
        return z

    @property
    def embedder(self) -> Embedder:
        """What maps sets in the user's units to z: all that inference asks for."""
        return Embedder(self.transform, self.encoder, len(self.z_centre))

    @property
    def streams(self) -> bool:
        """Whether the encoder can read a set in pieces."""
        return isinstance(self.encoder, StreamedEncoder) and self.encoder.passes is not None

    def encode_chunks(self, chunks: Callable[[], Iterable[SetBatch]]) -> Tensor:
        """Embed sets from pieces that can be read again, `(B, L)`.

        Raises:
            ValueError: If the encoder cannot stream.
        """

        def ground() -> Iterable[SetBatch]:
            return map(self.to_ground, chunks())

        return embed_chunks(cast(StreamedEncoder, self.encoder), ground).float()

    def condition(self, z: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Standardise and shrink embeddings for the generator, `(B, L) -> (B, L + 1)`."""
        u = self._standardise(z)
        s = u.new_zeros(len(u), 1) if sizes is None else _uncertainty(sizes).to(u)
        shrunk = u + _basis(u, s) @ self.linear + s * self.shrinkage(torch.cat([u, s], 1))
        return torch.cat([shrunk, s], 1)

    def loss(self, step: Step) -> Tensor:
        """Score the target of each set under the embedding of its context, `(B,)`."""
        z = self.encode(step.context)
        loss = self.score(step, z)
        for objective in self.objectives:
            loss = loss + objective(self, step, z)
        return loss

    def score(self, step: Step, z: Tensor) -> Tensor:
        """Score the target of each set under given embeddings, the generator's part, `(B,)`."""
        condition = self.condition(z, step.context.effective_sizes)
        return cast(Generator, self.generator).loss(
            self.to_ground(step.target), condition, step.rng
        )

    @torch.no_grad()
    def sample(
        self, z: Tensor, n: int, rng: torch.Generator, sizes: Tensor | None = None
    ) -> Tensor:
        """Draw atoms in the ground space, `(B, n, *event)`."""
        return cast(Generator, self.generator).sample(self.condition(z, sizes), n, rng)

    @torch.no_grad()
    def log_prob(
        self, batch: SetBatch, z: Tensor, sizes: Tensor | None = None, ground: bool = False
    ) -> Tensor:
        """Return the log density of every atom in the user's units or the ground's, `(N,)`.

        Raises:
            TypeError: If the generator has no density.
            ValueError: If atoms have no density in the user's units.
        """
        if not isinstance(self.generator, Density):
            raise TypeError(
                f"The generator {type(self.generator).__name__} draws and has no density that can "
                "be written down. Fit one that has: GDE(generator={'name': 'explicit', "
                "'likelihood': 'mixture'})."
            )
        nats = self.generator.log_prob(self.to_ground(batch), self.condition(z, sizes)).double()
        if ground or not len(self.transform.steps):
            return nats
        return nats + log_volume(self.transform, batch.x)

    def _standardise(self, z: Tensor) -> Tensor:
        return (z - self.z_centre) / self.z_scale


class Embedder(nn.Module):
    """An encoder behind the transforms of its atoms: an encoder of sets in the user's units.

    Args:
        transform: Invertible map of atoms.
        encoder: Maps a batch to `(B, L)`.
        latent: Dimension L.
    """

    def __init__(self, transform: Chain, encoder: nn.Module, latent: int) -> None:
        super().__init__()
        self.transform, self.encoder, self.latent = transform, encoder, latent

    @property
    def smooth(self) -> bool:
        """Whether z has a derivative by the weights."""
        return bool(getattr(self.encoder, "smooth", True))

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`: in the encoder's type, computed and returned where x is."""
        state = (*self.encoder.parameters(), *self.encoder.buffers())
        like = next((t for t in state if t.is_floating_point()), torch.empty(0))
        there = batch.to(like.device, like.dtype)
        z: Tensor = self.encoder(there.replace(x=self.transform(there.x.to(like.dtype))))
        return z.to(batch.x.device)


def _uncertainty(sizes: Tensor) -> Tensor:
    """One for a set of nothing, zero for infinitely many atoms, `(B, 1)`."""
    return (8 / (8 + sizes)).sqrt().unsqueeze(1)


def _basis(u: Tensor, s: Tensor) -> Tensor:
    """What shrinkage is linear in, `(B, 2 L + 2)`; zero where s is."""
    affine = s * torch.cat([u, torch.ones_like(s)], 1)
    return torch.cat([affine, s * affine], 1)
