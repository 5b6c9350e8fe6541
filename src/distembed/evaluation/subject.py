"""The model that is evaluated: what it must have, and what it may have.

One protocol, `EvaluatedModel`, is needed. The others are optional parts, which `Subject.of` checks
once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.data.features import match_columns
from distembed.protocols import Collection
from distembed.sets.fingerprint import fingerprints

__all__ = [
    "CalibratedModel",
    "EmbeddedSets",
    "EvaluatedModel",
    "GroundModel",
    "SamplingModel",
    "Subject",
    "TrainedModel",
    "TrainingHashes",
    "columns_of",
    "refuse_training_sets",
    "training_sets",
]


class EmbeddedSets(Protocol):
    """Embeddings of some sets."""

    @property
    def z(self) -> np.ndarray:
        """One embedding a set, `(S, L)`."""


@runtime_checkable
class EvaluatedModel(Protocol):
    """A model that `distembed.evaluate` can judge: it embeds sets, and so has a geometry.

    A kernel mean or a user's own model will do. Each protocol below is an optional part.
    """

    def embed(self, sets: SetBatch, /) -> EmbeddedSets:
        """Embed each set of a batch, whose atoms are in the units of the data."""


@runtime_checkable
class SamplingModel(Protocol):
    """Optional part: samples are compared with held-out atoms."""

    def sample(self, z: np.ndarray, n: int, rng: int, /) -> np.ndarray:
        """Draw n atoms of each embedding `(S, L)`, `(S, n, *event)`, in the units of the data.

        A `GroundModel` also takes `effective_sizes`, the numbers of atoms behind the embeddings
        `(S,)`, and `ground="model"`, to draw in its ground space.
        """


@runtime_checkable
class GroundModel(Protocol):
    """Optional part: distances are taken in a ground space of the model's own."""

    @property
    def atom_transform(self) -> Callable[[Tensor], Tensor]:
        """The map of atoms from the units of the data to the ground space."""


@runtime_checkable
class TrainingHashes(Protocol):
    """Salted content hashes of the sets of the training."""

    @property
    def salt(self) -> str:
        """Prefix of the content that is hashed."""

    @property
    def hashes(self) -> frozenset[str]:
        """The hashes, as of `distembed.sets.fingerprint.fingerprints`."""


@runtime_checkable
class TrainedModel(Protocol):
    """Optional part: sets of the training are refused, and the untrained model is a baseline."""

    @property
    def features(self) -> Sequence[str] | None:
        """Names of the features, by which the columns of the sets are matched."""

    @property
    def fingerprints(self) -> TrainingHashes | None:
        """Hashes of the sets of the training; None if they are not stored."""

    def untrained(self) -> EvaluatedModel:
        """Return the model as it was before the first step of the training."""


@runtime_checkable
class CalibratedModel(Protocol):
    """Optional part: distances of its own, and error bars, which are checked."""

    def embed(self, sets: SetBatch, /, covariance: bool = True) -> Any:
        """Embed each set, with sampling covariances (`distembed.model.embeddings.Embeddings`)."""

    def distances(self, table: Any, /, *, calibrated: bool) -> np.ndarray:
        """Return the distances of all pairs of rows, `(S, S)`, without units if not calibrated."""

    def distance_intervals(self, table: Any, pairs: np.ndarray, level: float) -> Any:
        """Return intervals for the W2 of pairs `(P, 2)` of rows: `low`, `high` and `warning`."""


@dataclass(frozen=True)
class Subject:
    """A model, and the optional parts that it has; None if absent.

    Attributes:
        model: The model, which embeds.
        sampling: The model, if it samples.
        ground: The model, if it has a ground space.
        trained: The model, if it stores its training sets and its untrained state.
        calibrated: The model, if it has distances of its own and error bars.
    """

    model: EvaluatedModel
    sampling: SamplingModel | None
    ground: GroundModel | None
    trained: TrainedModel | None
    calibrated: CalibratedModel | None

    @classmethod
    def of(cls, model: object) -> Subject:
        """Check a model against the protocols, once.

        Raises:
            TypeError: If it does not embed.
        """
        if not isinstance(model, EvaluatedModel):
            raise TypeError(
                f"A {type(model).__name__} has no method embed(sets) whose result has embeddings "
                ".z; see distembed.evaluation.subject.EvaluatedModel for what evaluate needs."
            )
        return cls(
            model,
            model if isinstance(model, SamplingModel) else None,
            model if isinstance(model, GroundModel) else None,
            model if isinstance(model, TrainedModel) else None,
            model if isinstance(model, CalibratedModel) else None,
        )

    def embed(self, sets: SetBatch, covariance: bool = False) -> Any:
        """Embed sets; sampling covariances take longer than the embedding itself."""
        if self.calibrated is None:
            return self.model.embed(sets)
        return self.calibrated.embed(sets, covariance=covariance)

    def distances(self, table: Any, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the distances of pairs `(P, 2)` of rows of a table, `(P,)`.

        They are those of the model where it has any, and else Euclidean distances of z.
        """
        first, second = pairs.T
        if self.calibrated is not None:
            matrix = self.calibrated.distances(table, calibrated=False)
            own: NDArray[np.float64] = matrix[first, second]
            return own
        z = np.asarray(table.z, dtype=np.float64)
        plain: NDArray[np.float64] = np.linalg.norm(z[first] - z[second], axis=1)
        return plain

    def sample(self, z: NDArray[Any], n: int, seed: int, sizes: NDArray[Any]) -> NDArray[Any]:
        """Draw n atoms of each embedding in the ground space, `(S, n, *event)`.

        Args:
            z: Embeddings, `(S, L)`.
            n: Atoms of each.
            seed: Seed, which serves models of every device.
            sizes: Effective numbers of atoms behind the embeddings, `(S,)`.
        """
        sampling: Any = self.sampling
        # in the ground space at once: a transform may lose what its inverse cannot restore
        options = {} if self.ground is None else {"effective_sizes": sizes, "ground": "model"}
        drawn: NDArray[Any] = sampling.sample(z.astype(np.float32), n, seed, **options)
        return drawn

    @torch.no_grad()
    def to_ground(self, batch: SetBatch) -> SetBatch:
        """Map atoms to the ground space, and flatten them to `(N, D)`."""
        x = batch.x
        if self.ground is not None:
            transform = self.ground.atom_transform
            state = transform.buffers() if isinstance(transform, nn.Module) else ()
            x = transform(x.to(next((b.device for b in state), x.device))).cpu()
        return batch.replace(x=x.reshape(len(x), -1))


def refuse_training_sets(model: object, test: Collection) -> None:
    """Refuse a collection with sets that the model was trained on.

    Raises:
        ValueError: If there are any; the message names them.
    """
    ids = training_sets(model, test)
    if ids:
        raise ValueError(
            f"{len(ids)} of the {len(test)} sets were used to train this model: "
            f"{', '.join(ids[:5])}{', ...' if len(ids) > 5 else ''}. Numbers on them would "
            "flatter it. Use held-out sets: --sets held-out on the command line, the second part "
            "of sets.split() in Python."
        )


def training_sets(model: object, test: Collection) -> list[str]:
    """Return the ids of sets that the model was trained on, in any order of the columns."""
    hashes = model.fingerprints if isinstance(model, TrainedModel) else None
    if hashes is None or not hashes.hashes:
        return []
    names = fingerprints(test, hashes.salt, columns_of(model, test))
    return [str(test.ids[i]) for i, name in enumerate(names) if name in hashes.hashes]


def columns_of(model: object, test: Collection) -> list[int] | None:
    """Return the columns of the sets in the order of the model's features; None if they agree."""
    features = model.features if isinstance(model, TrainedModel) else None
    return match_columns(features, test.features)
