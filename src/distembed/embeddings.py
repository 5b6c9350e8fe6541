"""What embedding returns, and what a model remembers of its training sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Embeddings", "Fingerprints"]


@dataclass(frozen=True)
class Embeddings:
    """One row a set.

    Attributes:
        z: Embeddings, `(S, L)` float32.
        ids: Names of the sets, `(S,)`.
        sizes: Atoms of the sets, `(S,)`.
        effective_sizes: Kish's effective number of atoms, `(S,)`; below the size where weights
            differ.
        meta: Columns of metadata, each `(S,)`.
    """

    z: NDArray[np.float32]
    ids: NDArray[np.str_]
    sizes: NDArray[np.int64]
    effective_sizes: NDArray[np.float64]
    meta: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.z)

    def select(self, chosen: ArrayLike) -> Embeddings:
        """Keep some rows, by a mask or by numbers."""
        rows = np.asarray(chosen)
        meta = {name: column[rows] for name, column in self.meta.items()}
        return Embeddings(
            self.z[rows], self.ids[rows], self.sizes[rows], self.effective_sizes[rows], meta
        )


@dataclass(frozen=True)
class Fingerprints:
    """Salted content hashes of the sets that a model was trained on."""

    salt: str
    hashes: frozenset[str]
