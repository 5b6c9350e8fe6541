"""What each stage promises to the next: five protocols and one record.

    Collection --batch--> SetBatch --Encoder--> z --Generator--> SetBatch,  Divergence judges.

They are structural: a user's own class needs no base class of ours. `distembed.testing` checks
what a signature cannot say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    "Density",
    "Divergence",
    "Encoder",
    "Generator",
    "Objective",
    "PreparedEncoder",
    "PreparedGenerator",
    "Step",
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
    def has_ground(self) -> bool:
        """Whether there is a distance between atoms, and so W2 between sets."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What networks must be told, such as `vocab`, by the names of constructor arguments."""

    def default_transform(self, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """Return the transform that `auto` stands for, as a list of members."""

    def check(self, x: np.ndarray) -> None:
        """Raise a ValueError where atoms `(N, *event)` are not of this kind."""

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

    def chunks(self, index: int, rows: int) -> Iterator[SetBatch]:
        """Read one set in pieces of at most `rows` atoms; weights stay fractions of the set."""


@runtime_checkable
class Encoder(Protocol):
    """A map from the empirical distribution of a set to a vector; it can see nothing else.

    Built as `(event_shape, latent, **options)`.
    """

    latent: int

    def __call__(self, batch: SetBatch) -> Tensor:
        """Embed each set, `(B, L)`."""


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
class Generator(Protocol):
    """A map from a vector to a distribution: it can score a set and draw from it.

    Built as `(event_shape, latent, **options)`.
    """

    def loss(self, batch: SetBatch, z: Tensor, rng: torch.Generator) -> Tensor:
        """Score each set under the distribution of its z, `(B,)`, lower is better."""

    def sample(self, z: Tensor, n: int, rng: torch.Generator) -> Tensor:
        """Draw n atoms from the distribution of each z, `(B, n, *event)`."""


@runtime_checkable
class Density(Protocol):
    """A generator whose density is known."""

    def log_prob(self, batch: SetBatch, z: Tensor) -> Tensor:
        """Return the log density of every atom under the distribution of its set, `(N,)`."""


@runtime_checkable
class Divergence(Protocol):
    """A discrepancy between the b-th sets of two batches."""

    def __call__(self, a: SetBatch, b: SetBatch) -> Tensor:
        """Compare set by set, `(B,)`; sizes and weights may differ."""


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
