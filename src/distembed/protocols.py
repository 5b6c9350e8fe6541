"""Protocols of the parts of a model, and the records that pass between them.

    Collection --batch--> SetBatch --Encoder--> z --Generator--> SetBatch,  Divergence judges.

They are structural: a user's own class needs no base class of ours. `distembed.testing` checks
what a signature cannot say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from distembed.batch import SetBatch

__all__ = [
    "AtomSpace",
    "Collection",
    "Conditioning",
    "Density",
    "DescribedEncoder",
    "DescribedGenerator",
    "Divergence",
    "Encoder",
    "EncoderTraits",
    "Generator",
    "GeneratorTraits",
    "Halves",
    "NamedGenerator",
    "Objective",
    "PreparedEncoder",
    "PreparedGenerator",
    "RandomDivergence",
    "Remarking",
    "Step",
    "TransportGenerator",
    "as_encoder",
    "encoder_traits",
    "generator_traits",
]


@runtime_checkable
class AtomSpace(Protocol):
    """A kind of atoms: how they travel, and what is defined for them.

    The kinds of this package are in `distembed.data.spaces`.
    """

    @property
    def name(self) -> str:
        """The kind: `vectors`, `counts`, `images` or `tokens`."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the atoms in a batch."""

    @property
    def ground(self) -> str:
        """Name of the distance between atoms, such as `Euclidean`."""

    @property
    def masked(self) -> bool:
        """Whether atoms may have missing values, which batches hold as a mask."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Arguments of networks that depend on the atoms.

        They are `atom_kind`, what tokens have, and `masked` where values may be missing.

        `distembed.registry.build` passes each to a constructor that names it.
        """

    def default_transform(self, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """Return the transform that `auto` stands for, as a list of members."""

    def check(self, x: np.ndarray) -> None:
        """Raise a ValueError where atoms `(N, *event)` are not of this kind."""

    def encode(self, sequences: Sequence[str]) -> np.ndarray:
        """Return the atoms `(N, T)` of strings, or raise a ValueError where atoms are numbers."""

    def restore(self, x: np.ndarray) -> Any:
        """Return generated atoms `(..., *event)` as the data are: clipped, rounded, or strings."""

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return ground distances, `(N, *event), (M, *event) -> (N, M)`."""

    def describe(self) -> dict[str, Any]:
        """Return a mapping of `name` and options that rebuilds the space."""


@runtime_checkable
class Collection(Protocol):
    """Many sets that are read when they are asked for.

    It is picklable, and the same generator state gives the same batch in any process.
    """

    @property
    def ids(self) -> np.ndarray:
        """Name of each set, `(S,)` strings, unique."""

    @property
    def meta(self) -> Mapping[str, np.ndarray]:
        """Columns of metadata, each `(S,)`."""

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each set, `(S,)` int64."""

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the atoms in a batch."""

    @property
    def atoms(self) -> AtomSpace:
        """The kind of atoms."""

    @property
    def features(self) -> tuple[str, ...] | None:
        """Names of the features where atoms are vectors with names."""

    @property
    def weighted(self) -> bool:
        """Whether any set has unequal weights."""

    def __len__(self) -> int: ...

    def batch(
        self, indices: Sequence[int], m: int | None = None, rng: torch.Generator | None = None
    ) -> SetBatch:
        """Read some sets, all atoms or at most m of each drawn with `rng`."""

    def chunks(self, index: int, rows: int, part: int = 0, parts: int = 1) -> Iterator[SetBatch]:
        """Read one set in pieces of at most `rows` atoms; weights stay fractions of the set.

        Of many readers each reads every `parts`-th piece, from piece `part` on.
        """


@dataclass(frozen=True)
class EncoderTraits:
    """What an encoder states about itself; the defaults hold for one that states nothing.

    Attributes:
        passes: How often it reads the atoms of a set that arrives in pieces; None if it needs all
            atoms at once.
        normal: Whether z is asymptotically normal in the number of atoms.
        smooth: Whether z is differentiable by the weights; error bars use the derivative. False
            for medians and quantiles, whose error bars come from a jackknife.
        informed: How many coordinates of z, the first, carry signal before training, because they
            are solved in closed form.
        remainder: Whether the last coordinate is the length of what the others leave out, so that
            distances add its squares (`distembed.geometry.remainder`).
        masked: Whether it reads sets with missing values, by their masks.
    """

    passes: int | None = None
    normal: bool = True
    smooth: bool = True
    informed: int = 0
    remainder: bool = False
    masked: bool = False


@runtime_checkable
class Encoder(Protocol):
    """A map from the empirical distribution of a set to a vector; it can see nothing else.

    Built as `(event_shape, latent, **options)`. An attribute `traits` (`EncoderTraits`) and a
    method `prepare` (`PreparedEncoder`) are optional.
    """

    latent: int

    def __call__(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""


@runtime_checkable
class DescribedEncoder(Protocol):
    """An encoder that states its traits."""

    @property
    def traits(self) -> EncoderTraits:
        """What holds for this encoder."""


def as_encoder(module: object) -> Encoder:
    """Return a module as an encoder.

    Raises:
        TypeError: If it does not state the dimension of z.
    """
    if not isinstance(module, Encoder):
        raise TypeError(
            f"The encoder {type(module).__name__} has no attribute `latent`: the number of "
            "coordinates of the z that it returns. Set self.latent in its constructor."
        )
    return module


def encoder_traits(encoder: object) -> EncoderTraits:
    """Return the traits that an encoder states, or the defaults."""
    return encoder.traits if isinstance(encoder, DescribedEncoder) else EncoderTraits()


@runtime_checkable
class PreparedEncoder(Protocol):
    """An encoder that looks at training sets once before the first step: scales, bandwidths."""

    def prepare(self, batch: SetBatch) -> None:
        """Set buffers from training sets."""


@runtime_checkable
class PreparedGenerator(Protocol):
    """A generator that looks at training sets and their z once before the first step."""

    def prepare(self, batch: SetBatch, z: Tensor) -> None:
        """Set buffers from training sets and their embeddings `(B, L)`."""


@runtime_checkable
class Remarking(Protocol):
    """A part that states, after it was prepared, what it chose."""

    remark: str
    """A sentence for the user; empty if nothing was chosen."""


@runtime_checkable
class WidenedGenerator(Protocol):
    """A generator whose covariance grows with the uncertainty of z, the last column it sees."""

    def widen(self, batch: SetBatch, z: Tensor) -> None:
        """Measure the error of predictions from few atoms, after `prepare`.

        Args:
            batch: Atoms of training sets that z was not made from.
            z: What the conditioning makes of other atoms of these sets, `(B, columns)`.
        """


@dataclass(frozen=True)
class Halves:
    """Embeddings of two disjoint parts of the same sets.

    Attributes:
        z: Of the one part, `(B, L)`.
        sizes: Effective number of atoms behind `z`, `(B,)`.
        other: Of the other part, `(B, L)`.
        other_sizes: Effective number of atoms behind `other`, `(B,)`.
    """

    z: Tensor
    sizes: Tensor
    other: Tensor
    other_sizes: Tensor


class Conditioning(Protocol):
    """A map from an embedding to what the generator sees.

    Built as `(latent, **options)`; the members are in `distembed.model.conditioning`.
    """

    outputs: int
    """Number of columns that the generator sees."""
    sized: bool
    """Whether the last column is the uncertainty s of an embedding, zero for infinitely many atoms
    and one for none."""

    def prepare(self, z: Tensor, halves: Callable[[], Sequence[Halves]], informed: int) -> None:
        """Set buffers from embeddings `(B, L)` of training sets, before the first step.

        Args:
            z: Embeddings of whole sets.
            halves: Embeds disjoint parts of the sets at several sizes, when called.
            informed: How many coordinates, the first, carry signal before training.
        """

    def __call__(self, z: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Map `(B, L)` and effective sizes `(B,)`, infinite where left out, to `(B, outputs)`."""


@dataclass(frozen=True)
class GeneratorTraits:
    """What a generator states about itself; the defaults hold for one that states nothing.

    Attributes:
        raw_atoms: Whether it is defined for atoms as they are read only, such as counts or
            classes. The default transform of a model is then none.
        fixed_size: The only number of atoms that it can draw; None if it draws any number.
        unit: The unit of its loss, where the loss is not of one dimension of an atom.
        masked: Whether its loss is defined for sets with missing values.
    """

    raw_atoms: bool = False
    fixed_size: int | None = None
    unit: str = ""
    masked: bool = False


@runtime_checkable
class Generator(Protocol):
    """A map from a vector to a distribution: it can score a set and draw from it.

    Built as `(event_shape, latent, **options)`. An attribute `traits` (`GeneratorTraits`) and a
    method `prepare` (`PreparedGenerator`) are optional.
    """

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set under the distribution of its z, `(B,)`, lower is better."""

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms from the distribution of each z, `(B, n, *event)`."""


@runtime_checkable
class DescribedGenerator(Protocol):
    """A generator that states its traits."""

    @property
    def traits(self) -> GeneratorTraits:
        """What holds for this generator."""


@runtime_checkable
class NamedGenerator(Protocol):
    """A class of generators whose traits follow from the options of its constructor.

    The default transform of a model depends on them before the generator is built.
    """

    @staticmethod
    def traits_of(**options: Any) -> GeneratorTraits:
        """Return the traits of a generator that is built with these options."""


def generator_traits(generator: object, **options: Any) -> GeneratorTraits:
    """Return the traits that a generator states, or the defaults.

    Args:
        generator: A generator, or the class or function that a name of `GENERATORS` stands for.
        options: Options of the constructor, where a class is given.
    """
    if isinstance(generator, DescribedGenerator) and not isinstance(generator, type):
        return generator.traits
    if isinstance(generator, NamedGenerator):
        return generator.traits_of(**options)
    return GeneratorTraits()


@runtime_checkable
class Density(Protocol):
    """A generator with a tractable density."""

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        """Return the log density of every atom under the distribution of its set, `(N,)`."""


@runtime_checkable
class TransportGenerator(Protocol):
    """A generator whose atoms are an invertible function of their noise, for every z."""

    def transport(self, x: Tensor, z_from: Tensor, z_to: Tensor, steps: int) -> Tensor:
        """Map atoms `(B, n, *event)` to noise at one embedding, and to atoms at another.

        `steps` are those of a solver, where one is needed. A TypeError names options without an
        inverse.
        """


@runtime_checkable
class Divergence(Protocol):
    """A discrepancy between the b-th sets of two batches."""

    def __call__(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Compare set by set, `(B,)`; sizes and weights may differ."""


@runtime_checkable
class RandomDivergence(Protocol):
    """A divergence that is estimated with random numbers: a dataclass with a field `seed`.

    A generator that minimises it replaces the seed at every step by `dataclasses.replace`.
    """

    @property
    def seed(self) -> int:
        """Seed of the random numbers."""

    def __call__(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Compare set by set, `(B,)`."""


@dataclass(frozen=True)
class Step:
    """What training hands to a model's loss.

    Attributes:
        context: The part of each set that is encoded.
        target: A disjoint part of the same sets, which the generator is scored on.
        index: Which sets of the collection they are, `(B,)`.
        number: The number of the step; validation counts batches.
        rng: Source of every draw of this step, on the model's device.
    """

    context: SetBatch
    target: SetBatch
    index: Tensor
    number: int
    rng: torch.Generator


@runtime_checkable
class Objective(Protocol):
    """An additional loss: metric supervision, a head, a covariate looked up by `step.index`."""

    def __call__(self, model: torch.nn.Module, step: Step, z: Tensor) -> Tensor:
        """Score each set, `(B,)`."""
