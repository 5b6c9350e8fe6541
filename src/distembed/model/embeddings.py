"""What embedding returns, and what a model remembers of its training sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Embeddings", "Fingerprints", "noise_of"]


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
        cov: Covariance of each embedding, `(S, L, L)` float32: how far z would move if the atoms
            were drawn again. NaN where a set cannot tell, as of one atom; None where not asked for
            (`distembed.inference.covariance`).
        df: Degrees of freedom of Student's t for intervals, `(S,)`: infinite for influences.
        p_unusual: P-value that a set is of the population that the model was trained on, `(S,)`
            (`distembed.inference.population`); it means nothing for sets of the training. None
            where covariances are, or where the training had too few sets to say.
        trained: Whether the model was trained on the set, `(S,)`, and errors, distances and tests
            do not hold for it. None where not known, as where covariances were not asked for.
    """

    z: NDArray[np.float32]
    ids: NDArray[np.str_]
    sizes: NDArray[np.int64]
    effective_sizes: NDArray[np.float64]
    meta: Mapping[str, np.ndarray] = field(default_factory=dict)
    cov: NDArray[np.float32] | None = None
    df: NDArray[np.float64] | None = None
    p_unusual: NDArray[np.float64] | None = None
    trained: NDArray[np.bool_] | None = None

    def __repr__(self) -> str:
        known = ", with covariances" if self.cov is not None else ""
        meta = f", metadata {', '.join(self.meta)}" if self.meta else ""
        return f"Embeddings({len(self)} sets, L = {self.z.shape[1]}{known}{meta})"

    def __len__(self) -> int:
        return len(self.z)

    def select(self, chosen: ArrayLike) -> Embeddings:
        """Keep some rows, by a mask or by numbers."""
        rows = np.asarray(chosen)
        kept = {
            name: value[rows]
            for name, value in vars(self).items()
            if name != "meta" and value is not None
        }
        return Embeddings(**kept, meta={name: column[rows] for name, column in self.meta.items()})

    def follows(self, ids: ArrayLike) -> bool:
        """Return whether rows may be matched with sets of these names by position.

        Not where the names are the same in another order. Other names may be what they like: of
        halves of the same sets, or of none.
        """
        mine, others = np.asarray(self.ids).astype(str), np.asarray(ids).astype(str)
        return mine.tolist() == others.tolist() or sorted(mine) != sorted(others)

    @property
    def standard_errors(self) -> NDArray[np.float32]:
        """Standard error of each coordinate, `(S, L)`; NaN where a set cannot tell.

        Raises:
            ValueError: If there are no covariances.
        """
        errors: NDArray[np.float32] = np.sqrt(np.diagonal(self.covariances, axis1=1, axis2=2))
        return errors

    @property
    def covariances(self) -> NDArray[np.float32]:
        """The covariances, where they are needed.

        Raises:
            ValueError: If there are none.
        """
        if self.cov is None:
            raise ValueError(
                "These embeddings have no covariances, so nothing is known of their errors. Embed "
                "the sets with covariance=True (distembed embed --covariances, for a table)."
            )
        return self.cov


@dataclass(frozen=True)
class Fingerprints:
    """Salted content hashes of the sets that a model was trained on."""

    salt: str
    hashes: frozenset[str]


def noise_of(table: Embeddings | ArrayLike) -> NDArray[np.float64]:
    """Return what sampling adds to squared distances of each embedding: tr V, `(S,)`.

    Zero where it is not known: of vectors, and of sets of a single atom.
    """
    if not isinstance(table, Embeddings) or table.cov is None:
        return np.zeros(len(np.asarray(table.z if isinstance(table, Embeddings) else table)))
    noise: NDArray[np.float64] = np.trace(table.cov, axis1=1, axis2=2).astype(np.float64)
    return np.nan_to_num(noise)
