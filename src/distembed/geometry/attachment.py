"""What is fitted after training: its context, the training embeddings, and its protocol.

An attachment (a calibration of distances, a population model, a prediction head) is a function of
the embeddings of the training sets alone. They are stored with the model, so an attachment can be
fitted when it is first used, without the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Attachment", "MeasuredPairs", "TrainingTable"]


@dataclass(frozen=True)
class MeasuredPairs:
    """W2 measured on pairs of training sets, beside their latent distances.

    The squared W2 of two samples exceeds that of their distributions by an amount that is known
    between bounds only (`distembed.model.calibrate`).

    Attributes:
        latent: Latent distances, `(P,)`.
        w2_squared: Squared W2, less the estimated excess, `(P,)`; single values may be negative.
        low: Lower bounds of the squared W2, `(P,)`.
        high: Upper bounds, `(P,)`.
        reason: Why there are no pairs; empty if there are.
    """

    latent: NDArray[np.float64]
    w2_squared: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    reason: str = ""

    @classmethod
    def none(cls, reason: str) -> MeasuredPairs:
        """Return no pairs, for a reason."""
        empty = np.empty(0)
        return cls(empty, empty, empty, empty, reason)

    def __len__(self) -> int:
        return len(self.latent)


@dataclass(frozen=True)
class TrainingTable:
    """Embeddings of the sets that a model was trained on: the context of attachments.

    Attributes:
        z: Embeddings, `(S, L)` float32.
        effective_sizes: Effective numbers of atoms, `(S,)`.
        held_out: Whether a set was held out for early stopping, `(S,)`.
        hashes: Salted content hash of each set, `(S,)`: what identifies a set without its name,
            in any order.
        pairs: W2 of pairs of the sets.
        seed: Seed of the training, from which attachments derive theirs.
    """

    z: NDArray[np.float32]
    effective_sizes: NDArray[np.float64]
    held_out: NDArray[np.bool_]
    hashes: tuple[str, ...]
    pairs: MeasuredPairs
    seed: int

    def __len__(self) -> int:
        return len(self.z)


@runtime_checkable
class Attachment(Protocol):
    """A member of `distembed.model.ATTACHMENTS`: fitted on first use, and saved with the model."""

    @classmethod
    def fit(cls, context: TrainingTable) -> Self:
        """Fit to the training embeddings.

        Raises:
            ValueError: If they do not suffice; the message states why, as a sentence.
        """

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return a JSON config and tensors from which `from_state` rebuilds it exactly."""

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Rebuild it."""
