"""Embeddings as AnnData, with one observation a set, so that the tools of scverse plot a cohort.

| place | content |
|---|---|
| `X` | z, with the variables z0, z1, ... |
| `obs` | numbers of atoms, what is known of each set, and the metadata; the ids are its index |
| `obsm["X_z"]` | z, for `sc.pl.embedding(cohort, basis="z")` |
| `obsm["X_pca"]` | principal components of z, for `basis="pca"` |
| `layers["standard_error"]` | standard errors of z, where there are covariances |
| `obsm["covariance"]` | upper triangles of the covariances, on request |
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from distembed.model.embeddings import Embeddings
from distembed.registry import need

__all__ = ["set_columns", "to_anndata"]

_OURS = re.compile(r"id|n_atoms|n_effective|trained|p_unusual|outside|df|z\d+|se\d+|cov\d+_\d+")


def set_columns(table: Embeddings) -> dict[str, np.ndarray]:
    """Return what is known of each set but its embedding, as columns `(S,)`.

    A column of metadata with a name of ours, such as `df`, is called `meta.df`.
    """
    rows: dict[str, np.ndarray] = {
        "n_atoms": table.sizes,
        "n_effective": _rounded(table.effective_sizes, table.sizes),
    }
    for name in ("trained", "p_unusual", "outside"):
        column = getattr(table, name)
        if column is not None:
            rows[name] = column
    if table.df is not None and np.isfinite(table.df).any():
        rows["df"] = table.df
    meta = {f"meta.{k}" if _OURS.fullmatch(k) else k: v for k, v in table.meta.items()}
    return rows | meta


def to_anndata(table: Embeddings, covariances: bool = False) -> Any:
    """Return embeddings as AnnData.

    Args:
        table: The embeddings.
        covariances: Whether to include the covariances, L (L + 1) / 2 numbers a set.

    Raises:
        ImportError: If the extra `anndata` is not installed.
        ValueError: If covariances are asked for and there are none.
    """
    anndata, pandas = need("anndata", "anndata"), need("pandas", "anndata")
    # AnnData stores no dates
    columns = {
        name: column.astype(str) if column.dtype.kind in "mM" else column
        for name, column in set_columns(table).items()
    }
    cohort = anndata.AnnData(
        table.z,
        obs=pandas.DataFrame(columns, index=table.ids.astype(str)),
        var=pandas.DataFrame(index=[f"z{i}" for i in range(table.z.shape[1])]),
    )
    cohort.obsm["X_z"] = table.z
    cohort.obsm["X_pca"] = _principal_components(table.z)
    if table.cov is not None:
        cohort.layers["standard_error"] = table.standard_errors
    if covariances:
        upper = np.triu_indices(table.z.shape[1])
        cohort.obsm["covariance"] = table.covariances[:, *upper]
    return cohort


def _principal_components(z: np.ndarray) -> np.ndarray:
    """Return the scores of points `(S, L)`, `(S, min(S, L))`; the largest loading is positive."""
    centred = z.astype(np.float64) - z.mean(0, dtype=np.float64)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(axes).argmax(1)
    scores: np.ndarray = centred @ (axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]).T
    return scores.astype(np.float32)


def _rounded(effective: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Round effective sizes to the 6 digits of float32 weights, and to m for equal weights."""
    rounded = np.array([float(f"{value:.6g}") for value in effective])
    whole = np.isclose(effective, sizes, rtol=5e-6, atol=0)
    effective_sizes: np.ndarray = np.where(whole, sizes, rounded)
    return effective_sizes
