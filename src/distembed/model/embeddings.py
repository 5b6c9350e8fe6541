"""Tables of embeddings, and fingerprints of training sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.sets.sharing import SharedNoise

__all__ = ["Embeddings", "Fingerprints", "noise_of"]


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of sets, one row a set.

    Attributes:
        z: Embeddings, `(S, L)` float32.
        ids: Names of the sets, `(S,)`.
        sizes: Numbers of atoms, `(S,)`.
        effective_sizes: Kish's effective numbers of atoms, `(S,)`; below the sizes if weights
            differ.
        meta: Columns of metadata, each `(S,)`.
        cov: Sampling covariance of each embedding, `(S, L, L)` float32. NaN if it cannot be
            estimated (a set of one atom); None if `covariance=False`
            (`distembed.inference.covariance`).
        df: Degrees of freedom of Student's t for intervals, `(S,)`: infinite for influences.
        p_unusual: P-value that a set is of the population of training sets, `(S,)`
            (`distembed.inference.population`); meaningless for the training sets themselves. None
            without covariances, or if there were too few training sets.
        trained: Whether the model was trained on the set, `(S,)`: errors, distances and tests do
            not hold for it. None if not known, as without covariances.
        outside: Share of each set outside the range of all training atoms, in the feature where it
            is largest, `(S,)`; None for atoms without features (`distembed.model.support`).
        shared: Shares of the variance of differences of two embeddings that atoms in both sets
            take away (`distembed.sets.sharing`); None where none are, or it is not known, as for
            a table that was read from a file.
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
    outside: NDArray[np.float64] | None = None
    shared: SharedNoise | None = None

    def __repr__(self) -> str:
        covariances = ", with covariances" if self.cov is not None else ""
        meta = f", metadata {', '.join(self.meta)}" if self.meta else ""
        return f"Embeddings({len(self)} sets, L = {self.z.shape[1]}{covariances}{meta})"

    def __len__(self) -> int:
        return len(self.z)

    def select(self, rows: ArrayLike | slice) -> Self:
        """Return a table of some rows, by a mask, by numbers or by a slice."""
        index = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        columns: dict[str, Any] = {
            name: value[index]
            for name, value in vars(self).items()
            if name not in ("meta", "shared") and value is not None
        }
        if self.shared is not None:
            columns["shared"] = self.shared.select(index)
        columns["meta"] = {name: column[index] for name, column in self.meta.items()}
        return replace(self, **columns)

    def follows(self, ids: ArrayLike) -> bool:
        """Return whether rows may be matched by position with sets of these names.

        False if the names are the same in another order. Other names are accepted: halves of
        sets, for example, have names of their own.
        """
        own, others = np.asarray(self.ids).astype(str), np.asarray(ids).astype(str)
        return own.tolist() == others.tolist() or sorted(own) != sorted(others)

    def to_anndata(self, covariances: bool = False) -> Any:
        """Return AnnData with one observation a set, for `sc.pl.embedding` and its like.

        z is `X` and `obsm["X_z"]`, its principal components are `obsm["X_pca"]`, and what is known
        of each set is in `obs` (`distembed.model.annotated`).

        Args:
            covariances: Whether to include the covariances.

        Raises:
            ImportError: If the extra `anndata` is not installed.
            ValueError: If covariances are asked for and there are none.
        """
        from distembed.model.annotated import to_anndata

        return to_anndata(self, covariances)

    @property
    def standard_errors(self) -> NDArray[np.float32]:
        """Standard error of each coordinate, `(S, L)`; NaN if it cannot be estimated.

        Raises:
            ValueError: If there are no covariances.
        """
        errors: NDArray[np.float32] = np.sqrt(np.diagonal(self.covariances, axis1=1, axis2=2))
        return errors

    @property
    def covariances(self) -> NDArray[np.float32]:
        """The covariances, for uses that need them.

        Raises:
            ValueError: If there are none.
        """
        if self.cov is None:
            raise ValueError(
                "These embeddings have no covariances, so their errors are unknown. Embed the "
                "sets with covariance=True in Python, or with distembed embed --covariances."
            )
        return self.cov


@dataclass(frozen=True)
class Fingerprints:
    """Salted content hashes of the sets that a model was trained on.

    Attributes:
        salt: The salt of the hashes.
        hashes: One hash a set.
    """

    salt: str
    hashes: frozenset[str]


def noise_of(table: Embeddings | ArrayLike) -> NDArray[np.float64]:
    """Return the expected excess of a squared distance due to sampling of a set, tr V, `(S,)`.

    Zero if it is unknown: for vectors, and for sets of a single atom.
    """
    if not isinstance(table, Embeddings) or table.cov is None:
        return np.zeros(len(np.asarray(table.z if isinstance(table, Embeddings) else table)))
    noise: NDArray[np.float64] = np.trace(table.cov, axis1=1, axis2=2).astype(np.float64)
    return np.nan_to_num(noise)
