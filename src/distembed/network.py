r"""The trained module: where an encoder and a generator meet.

    loss(context, target) = L_generator(T target, C(z, m)) ,      z = encoder(T context)

T are the invertible transforms that bring atoms to the model's ground space. C centres and scales
each coordinate of z to unit deviation over training sets, so that a generator sees a small
covariance coordinate as well as a large mean coordinate while z itself keeps W2 units.

C also appends sqrt(8 / m), m the effective number of atoms that made z. z must not depend on m,
but what is known of the distribution does: from ten atoms the best guess is drawn towards what
all sets share, from ten thousand it is not. A generator that is not told would compromise, and be
wrong at both. An embedding without a size stands for the distribution itself, m = infinity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.protocols import Encoder, Generator, Objective, Step

__all__ = ["Network"]

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

    z_centre: Tensor
    z_scale: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        generator: nn.Module,
        transform: nn.Module,
        latent: int,
        objectives: Sequence[Objective] = (),
    ) -> None:
        super().__init__()
        self.encoder, self.generator, self.transform = encoder, generator, transform
        self.objectives = tuple(objectives)
        self.register_buffer("z_centre", torch.zeros(latent))
        self.register_buffer("z_scale", torch.ones(latent))

    @torch.no_grad()
    def prepare(self, batch: SetBatch) -> None:
        """Let each part look at training sets once, before the first step."""
        batch = self.to_ground(batch)
        if hasattr(self.encoder, "prepare"):
            self.encoder.prepare(batch)
        z = cast(Encoder, self.encoder)(batch)
        deviation = z.std(0, unbiased=False)
        self.z_centre.copy_(z.mean(0))
        self.z_scale.copy_(deviation.clamp_min(LEAST_SCALE * deviation.max().clamp_min(1e-6)))
        if hasattr(self.generator, "prepare"):
            self.generator.prepare(batch, self.condition(z, batch.effective_sizes))

    def to_ground(self, batch: SetBatch) -> SetBatch:
        """Transform atoms to the model's ground space."""
        return batch.replace(x=self.transform(batch.x))

    def encode(self, batch: SetBatch) -> Tensor:
        """Embed sets given in the user's units, `(B, L)`."""
        z: Tensor = self.encoder(self.to_ground(batch)).float()
        return z

    def condition(self, z: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Standardise embeddings for the generator and append their uncertainty, `(B, L + 1)`."""
        scaled = (z - self.z_centre) / self.z_scale
        if sizes is None:
            return torch.cat([scaled, scaled.new_zeros(len(z), 1)], 1)
        return torch.cat([scaled, (8 / sizes).sqrt().to(scaled).unsqueeze(1)], 1)

    def loss(self, step: Step) -> Tensor:
        """Score the target of each set under the embedding of its context, `(B,)`."""
        z = self.encode(step.context)
        condition = self.condition(z, step.context.effective_sizes)
        loss = cast(Generator, self.generator).loss(
            self.to_ground(step.target), condition, step.rng
        )
        for objective in self.objectives:
            loss = loss + objective(self, step, z)
        return loss

    @torch.no_grad()
    def sample(self, z: Tensor, n: int, rng: torch.Generator, sizes: Tensor | None = None) -> Tensor:
        """Draw atoms in the user's units, `(B, n, *event)`."""
        x = cast(Generator, self.generator).sample(self.condition(z, sizes), n, rng)
        out: Tensor = self.transform.inverse(x.flatten(0, 1))
        return out.unflatten(0, (len(z), n))
