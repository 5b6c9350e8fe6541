r"""The trained module: an encoder, a conditioning, a generator and a transform.

    loss(context, target) = L_generator(T target, C(z, m)),      z = encoder(T context)

T is the invertible transform that brings atoms to the model's ground space, C the conditioning
(`distembed.model.conditioning`), m the effective number of atoms of the context. Each of the four
is replaceable, and nothing else stands between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.data.transforms.chain import Chain
from distembed.data.transforms.volume import log_volume
from distembed.encoders.streaming import State, StreamedEncoder, embed_chunks, merge
from distembed.protocols import (
    Conditioning,
    Density,
    EncoderTraits,
    Generator,
    Halves,
    Objective,
    PreparedEncoder,
    PreparedGenerator,
    Step,
    TransportGenerator,
    WidenedGenerator,
    as_encoder,
    encoder_traits,
    generator_traits,
)

__all__ = ["Embedder", "Network"]


class Network(nn.Module):
    """An encoder, a conditioning, a generator and a transform.

    Args:
        encoder: Maps a batch to z `(B, L)`; its attribute `latent` is L.
        conditioning: Maps z and effective sizes to what the generator sees.
        generator: Scores and samples.
        transform: Invertible map of atoms.
        objectives: Further losses, added to the generator's.

    Raises:
        TypeError: If the encoder has no attribute `latent`, or an objective has parameters.
    """

    def __init__(
        self,
        encoder: nn.Module,
        conditioning: nn.Module,
        generator: nn.Module,
        transform: Chain,
        objectives: Sequence[Objective] = (),
    ) -> None:
        super().__init__()
        self.encoder, self.conditioning, self.generator = encoder, conditioning, generator
        self.transform = transform
        self.latent = as_encoder(encoder).latent
        for objective in objectives:
            if isinstance(objective, nn.Module) and any(True for _ in objective.parameters()):
                raise TypeError(
                    f"The objective {type(objective).__name__} has parameters, which would be "
                    "neither trained nor saved. Train it on embeddings afterwards."
                )
        self.objectives = tuple(objectives)

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        state = next(chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if state is None else state.device

    @property
    def traits(self) -> EncoderTraits:
        """What the encoder states about itself."""
        return encoder_traits(self.encoder)

    @property
    def loss_unit(self) -> str:
        """The unit of the loss, where the generator states one."""
        return generator_traits(self.generator).unit

    @torch.no_grad()
    def prepare(self, batch: SetBatch, sizes: Sequence[int], rng: torch.Generator) -> None:
        """Prepare each part on training sets, once, before the first step.

        Args:
            batch: Training sets.
            sizes: Context sizes that training will draw.
            rng: Source of draws, on the CPU.

        Raises:
            ValueError: If the parts do not fit each other; the message says what was built.
        """
        ground = self.to_ground(batch.to(self.device))
        if isinstance(self.encoder, PreparedEncoder):
            self.encoder.prepare(ground)
        self.prepare_generator(batch, sizes, rng)

    @torch.no_grad()
    def prepare_generator(
        self, batch: SetBatch, sizes: Sequence[int], rng: torch.Generator
    ) -> None:
        """Prepare conditioning and generator on what the encoder makes of training sets.

        The arguments and the errors are those of `prepare`.
        """
        ground = self.to_ground(batch.to(self.device))
        z = self._checked(self.encoder(ground), len(ground))

        @cache
        def parts() -> list[tuple[SetBatch, SetBatch]]:
            # every set once, at one of the sizes: leaving a row out then leaves its set out
            pairs = [
                batch.select(range(i, len(batch), len(sizes))).split(m, max(m, 64), rng)
                for i, m in enumerate(sizes[: len(batch)])
            ]
            return [(a.to(self.device), b.to(self.device)) for a, b in pairs]

        def halves() -> list[Halves]:
            return [
                Halves(self.encode(a), a.effective_sizes, self.encode(b), b.effective_sizes)
                for a, b in parts()
            ]

        conditioning = cast(Conditioning, self.conditioning)
        conditioning.prepare(z, halves, self.traits.informed)
        if isinstance(self.generator, PreparedGenerator):
            # whole sets: what the generator reads is the distribution, and shrinkage comes before
            self.generator.prepare(ground, self.condition(z))
        if conditioning.sized and isinstance(self.generator, WidenedGenerator):
            conditions = [self.condition(self.encode(a), a.effective_sizes) for a, _ in parts()]
            atoms = SetBatch.concat([self.to_ground(b) for _, b in parts()])
            self.generator.widen(atoms, torch.cat(conditions))
        self._check_generator(ground, z)

    def to_ground(self, batch: SetBatch) -> SetBatch:
        """Transform atoms to the model's ground space: numbers in float32, tokens as they are."""
        batch = batch.to(dtype=torch.float32)
        return self.transform.of_batch(batch).without_empty()

    def encode(self, batch: SetBatch) -> Tensor:
        """Embed sets given in the user's units, `(B, L)`."""
        z: Tensor = self.encoder(self.to_ground(batch)).float()
        return z

    @property
    def embedder(self) -> Embedder:
        """The encoder of sets in the user's units."""
        return Embedder(self.transform, self.encoder, self.latent)

    @property
    def streams(self) -> bool:
        """Whether the encoder can read a set in pieces."""
        return isinstance(self.encoder, StreamedEncoder) and self.traits.passes is not None

    def encode_chunks(
        self,
        chunks: Callable[[], Iterable[SetBatch]],
        merge: Callable[[Iterable[State]], State] = merge,
    ) -> Tensor:
        """Embed sets from pieces that can be read again, `(B, L)`.

        Args:
            chunks: The pieces, of this process if there are many.
            merge: Puts the states of the pieces together.

        Raises:
            ValueError: If the encoder cannot stream.
        """

        def ground() -> Iterable[SetBatch]:
            return map(self.to_ground, chunks())

        return embed_chunks(cast(StreamedEncoder, self.encoder), ground, merge).float()

    def condition(self, z: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Map embeddings `(B, L)` and effective sizes `(B,)` to what the generator sees."""
        return cast(Conditioning, self.conditioning)(z, sizes)

    def forward(self, step: Step) -> Tensor:
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
    def transport(self, x: Tensor, start: Tensor, end: Tensor, steps: int) -> Tensor:
        """Move atoms of the ground space between the distributions of two conditions.

        Args:
            x: Atoms, `(B, n, *event)`.
            start: What the generator sees of their own distributions, `(B, C)`.
            end: What it sees of the others, `(B, C)`.
            steps: Steps of the solver.

        Raises:
            TypeError: If the generator has no inverse.
        """
        if not isinstance(self.generator, TransportGenerator):
            raise TypeError(
                f"transport is not defined for the generator {type(self.generator).__name__}, "
                "whose atoms are no invertible function of noise (no method transport). Those "
                "that have one are 'flow', 'diffusion', and 'explicit' with the likelihood "
                "gaussian or flow."
            )
        return self.generator.transport(x, start, end, steps)

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
                f"log_prob is not defined for the generator {type(self.generator).__name__}, "
                "which has no density (no method log_prob). One that has, for vectors, counts and "
                "images, is {'name': 'explicit', 'likelihood': 'mixture'}."
            )
        nats = self.generator.log_prob(self.to_ground(batch), self.condition(z, sizes)).double()
        if ground or not len(self.transform.transforms):
            return nats
        return nats + log_volume(self.transform, batch.x)

    def _checked(self, z: Tensor, sets: int) -> Tensor:
        """Return z, or raise where an encoder returns another shape than it states."""
        if tuple(z.shape) != (sets, self.latent):
            raise ValueError(
                f"The encoder {type(self.encoder).__name__} states latent = {self.latent} and "
                f"returned z of shape {tuple(z.shape)} for {sets} sets; expected "
                f"({sets}, {self.latent}). Set its attribute `latent` to what it returns."
            )
        return z

    def _check_generator(self, ground: SetBatch, z: Tensor) -> None:
        """Score two sets, and raise where the generator cannot take what it is given."""
        batch = ground.select(range(min(2, len(ground))))
        condition = self.condition(z[: len(batch)])
        name, columns = type(self.generator).__name__, condition.shape[1]
        explained = (
            f"the conditioning gives it {columns} columns for latent = {self.latent} ('none' "
            "gives L, 'size' and 'shrinkage' L + 1)"
        )
        try:
            loss = cast(Generator, self.generator).loss(
                batch, condition, torch.Generator(self.device).manual_seed(0)
            )
        except RuntimeError as error:
            raise ValueError(
                f"The generator {name} cannot score sets from {columns} columns: {error}. "
                f"Note that {explained}; build the generator for as many."
            ) from error
        if tuple(loss.shape) != (len(batch),):
            raise ValueError(
                f"The generator {name} returned a loss of shape {tuple(loss.shape)} for "
                f"{len(batch)} sets; expected ({len(batch)},), one number a set."
            )


class Embedder(nn.Module):
    """An encoder behind the transform of its atoms: an encoder of sets in the user's units.

    Args:
        transform: Invertible map of atoms.
        encoder: Maps a batch to `(B, L)`.
        latent: Dimension L.
    """

    def __init__(self, transform: Chain, encoder: nn.Module, latent: int) -> None:
        super().__init__()
        self.transform, self.encoder, self.latent = transform, encoder, latent

    @property
    def traits(self) -> EncoderTraits:
        """What the encoder states about itself."""
        return encoder_traits(self.encoder)

    def forward(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`: in the encoder's type, computed and returned where x is."""
        state = (*self.encoder.parameters(), *self.encoder.buffers())
        like = next((t for t in state if t.is_floating_point()), torch.empty(0))
        moved = batch.to(like.device, like.dtype)
        z: Tensor = self.encoder(self.transform.of_batch(moved).without_empty())
        return z.to(batch.w.device)
