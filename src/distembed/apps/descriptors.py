"""Descriptions of perturbations by vectors of their genes, such as those of GenePT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distembed.apps.source import expected_columns

__all__ = ["gene_descriptors", "read_vectors"]

Array = NDArray[np.float64]


def read_vectors(path: Path, described: str) -> dict[str, Array]:
    """Read a vector of each gene from an .npz file with `names` and `vectors`.

    Args:
        path: The file.
        described: What it holds and where it comes from, for the error.

    Raises:
        ValueError: If an array is missing, or there is not one row a name.
    """
    with np.load(path, allow_pickle=False) as file:
        expected_columns(path.name, file.files, ("names", "vectors"), described)
        names, vectors = file["names"].astype(str), file["vectors"].astype(np.float64)
    if vectors.ndim != 2 or len(names) != len(vectors):
        raise ValueError(
            f"{path.name} has {len(names)} names and vectors of shape {vectors.shape}; expected "
            "is one row a name."
        )
    return dict(zip(names.tolist(), vectors, strict=True))


def gene_descriptors(
    vectors: dict[str, Array], names: NDArray[np.str_], train: NDArray[np.bool_], most: int = 16
) -> Array:
    """Return principal components of gene vectors and all products of two, `(S, K)`.

    Args:
        vectors: A vector of each gene by name. Others, such as controls, have the mean.
        names: Gene of each set, `(S,)`.
        train: Whether the gene of a set is one of the training, `(S,)`, by which axes are fitted.
        most: Most components.
    """
    there = np.isin(names, list(vectors))
    own = np.array([vectors[name] for name in np.unique(names[train & there]).tolist()])
    centre = own.mean(0)
    _, size, axes = np.linalg.svd(own - centre, full_matrices=False)
    # n genes span n - 1 axes; rounding is all there is on another one
    axes = axes[:most][size[:most] > 1e-6 * size.max()]
    rows = np.array([vectors[n] if n in vectors else centre for n in names.tolist()])
    scores = (rows - centre) @ axes.T
    scores /= scores[train & there].std(0).clip(1e-12)
    first, second = np.triu_indices(scores.shape[1])
    described: Array = np.concatenate([scores, scores[:, first] * scores[:, second]], axis=1)
    return described
