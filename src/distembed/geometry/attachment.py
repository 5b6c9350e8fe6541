"""What is fitted after training: its context, the training embeddings, and its protocol.

An attachment (a calibration of distances, a population model, a prediction head) is a function of
the embeddings of the training sets alone. They are stored with the model, so an attachment can be
fitted when it is first used, without the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

__all__ = ["Attachment", "MeasuredPairs", "TrainingTable"]


@dataclass(frozen=True)
class MeasuredPairs:
    """W2 measured on pairs of training sets, beside their latent distances.

    The squared W2 of two samples exceeds that of their distributions by an amount that is
    estimated from smaller samples, between bounds (`distembed.model.calibrate`). Columns have
    shape `(P,)` but for the first.

    Attributes:
        rows: Rows of the two sets in the training table, `(P, 2)`.
        latent_squared: Squared latent distances, less what sampling adds; single values may be
            negative.
        latent_gap: Half the difference between those of the two halves of the atoms, whose square
            has the sampling variance of `latent_squared` as its expectation.
        w2_squared: Squared W2, less the estimated excess; single values may be negative.
        w2_gap: As `latent_gap`, of the squared W2 and on the same halves.
        low: `w2_squared` with the largest estimate of the excess.
        high: `w2_squared` without any excess.
        reason: Why there are no pairs; empty if there are.
    """

    rows: NDArray[np.int64]
    latent_squared: NDArray[np.float64]
    latent_gap: NDArray[np.float64]
    w2_squared: NDArray[np.float64]
    w2_gap: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    reason: str = ""

    @classmethod
    def none(cls, reason: str) -> MeasuredPairs:
        """Return no pairs, for a reason."""
        empty = np.empty(0)
        rows = np.empty((0, 2), dtype=np.int64)
        return cls(rows, empty, empty, empty, empty, empty, empty, reason)

    @classmethod
    def exact(cls, latent: ArrayLike, w2_squared: ArrayLike) -> MeasuredPairs:
        """Return pairs of different sets, of latent distances and squared W2 without errors."""
        d, y = (np.asarray(v, dtype=np.float64) for v in (latent, w2_squared))
        zero, rows = np.zeros_like(d), np.arange(2 * len(d)).reshape(-1, 2)
        return cls(rows, d**2, zero, y, zero, y, y)

    def select(self, index: ArrayLike) -> MeasuredPairs:
        """Return some of the pairs, by a mask or by numbers."""
        columns = (getattr(self, f.name) for f in fields(self) if f.name != "reason")
        return MeasuredPairs(*(column[np.asarray(index)] for column in columns))

    def __len__(self) -> int:
        return len(self.w2_squared)


@dataclass(frozen=True)
class TrainingTable:
    """Embeddings of the sets that a model was trained on: the context of attachments.

    Attributes:
        z: Embeddings, `(S, L)` float32.
        effective_sizes: Effective numbers of atoms, `(S,)`.
        held_out: Whether a set was held out for early stopping, `(S,)`.
        hashes: Salted content hash of each set, `(S,)`: what identifies a set without its name,
            in any order.
        noise: Mean sampling covariance of an embedding times the number of atoms, `(L, L)`; NaN if
            no set has one.
        pairs: W2 of pairs of the sets.
        seed: Seed of the training, from which attachments derive theirs.
    """

    z: NDArray[np.float32]
    effective_sizes: NDArray[np.float64]
    held_out: NDArray[np.bool_]
    hashes: tuple[str, ...]
    noise: NDArray[np.float64]
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
