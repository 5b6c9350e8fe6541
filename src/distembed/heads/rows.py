"""`Rows`: embeddings as heads take them, with covariances where there are any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from distembed.heads.joined import JoinedEmbeddings
from distembed.model.embeddings import Embeddings

__all__ = ["Rows", "as_rows"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Embeddings of S sets.

    Attributes:
        z: `(S, L)`, and after them the columns of joined features, `(S, L + F)`.
        cov: Sampling covariances, `(S, L, L)`, NaN where missing; None if there are none.
        sizes: Effective numbers of atoms, `(S,)`.
        trained: Whether the encoder was trained on each set, `(S,)`.
        features: Number F of columns that are features and not embeddings.
    """

    z: Array
    cov: Array | None
    sizes: Array
    trained: NDArray[np.bool_]
    features: int = 0

    @property
    def latent(self) -> int:
        """Dimension L of the embedding, without features."""
        return int(self.z.shape[1]) - self.features

    def __len__(self) -> int:
        return len(self.z)

    def select(self, rows: NDArray[Any]) -> Rows:
        """Return some rows, by number or mask."""
        cov = None if self.cov is None else self.cov[rows]
        return Rows(self.z[rows], cov, self.sizes[rows], self.trained[rows], self.features)


def as_rows(table: Any, features: int | None = None, head: str = "the head") -> Rows:
    """Convert a table of embeddings, or an array `(S, L)` without errors.

    Args:
        table: The table or the array.
        features: L, if it is fixed already.
        head: Name of the head, for messages.

    Raises:
        TypeError: If it is neither, or sparse.
        ValueError: If the shape is another, there is no row, or a number is complex or not finite.

    Example:
        >>> as_rows([[1.0, 2.0]]).z.shape
        (1, 2)
    """
    own = isinstance(table, Embeddings)
    if issparse(table):
        raise TypeError(
            "Sparse data was passed, and embeddings are dense: sparse input is not supported. "
            "Pass X.toarray()."
        )
    try:
        given = np.asarray(table.z if own else table)
        # a conversion would drop the imaginary parts with a warning only
        z = given if given.dtype.kind == "c" else given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"A head takes embeddings: a table of model.embed(sets), or an array (S, L), not "
            f"{type(table).__name__} ({error}). To predict from sets, pass "
            "embedder=DistributionEmbedder()."
        ) from error
    if z.dtype.kind == "c":
        raise ValueError("Complex data not supported: the embeddings are complex numbers.")
    count = 0
    if isinstance(table, JoinedEmbeddings):
        count, z = table.features.shape[1], np.concatenate([z, table.features], axis=1)
    if z.ndim != 2:
        raise ValueError(
            f"The embeddings have shape {z.shape}; expected (S, L), one row a set. Reshape your "
            "data, or, to predict from sets, pass embedder=DistributionEmbedder()."
        )
    if not z.size:
        what = "sample(s)" if not len(z) else "feature(s)"
        raise ValueError(
            f"Found array with 0 {what} (shape={z.shape}) while a minimum of 1 is required: there "
            "are no embeddings."
        )
    if features is not None and z.shape[1] != features:
        raise ValueError(
            f"X has {z.shape[1]} features, but {head} is expecting {features} features as input. "
            "Embed these sets with the model whose embeddings it was fitted to."
        )
    if not np.isfinite(z).all():
        row = int(np.flatnonzero(~np.isfinite(z).all(1))[0])
        raise ValueError(
            f"Embedding {row} has NaN or infinity; a head takes finite numbers. Leave the row out."
        )
    if not own:
        return Rows(z, None, np.ones(len(z)), np.zeros(len(z), dtype=bool))
    cov = None if table.cov is None else np.asarray(table.cov, dtype=np.float64)
    trained = np.zeros(len(z), bool) if table.trained is None else np.asarray(table.trained)
    # as stored tables have them: sums of float32 weights are a whole number to six digits only,
    # and posteriors choose inflations among powers of two, which jump
    sizes = np.asarray(table.effective_sizes, dtype=np.float64).round(3)
    return Rows(z, cov, sizes, trained, count)
