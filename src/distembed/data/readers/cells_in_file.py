"""Read the annotation of the cells of a file, and leave their atoms in it.

The layout is that of AnnData, in `.h5ad`, in a folder of Zarr, or in a modality of `.h5mu`. Rows
of atoms are read when they are asked for, so that the matrix has to be stored by cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.file_rows import FileRows, NotByRows, choose
from distembed.data.labels import as_column, plain_column
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.genes import chosen_genes, refuse_both
from distembed.data.readers.stored_matrix import DenseRows, SparseRows, opened
from distembed.data.readers.zarr_cells import stated_bytes
from distembed.registry import need

__all__ = ["cells_in_file"]


def cells_in_file(
    path: Path,
    *,
    layer: str | None = None,
    obsm: str | None = None,
    genes: str | Sequence[str] | np.ndarray | None = None,
    keep: Sequence[str] | None = None,
    group: str = "",
) -> tuple[Observations, np.ndarray]:
    """Read the annotation of cells, with their atoms as rows in the file.

    Args:
        path: An `.h5ad` or `.h5mu` file, or a `.zarr` folder, that was checked.
        layer: As of `read_cells`, and so are `obsm`, `genes` and `keep`.
        obsm: Embedding to read instead of `X`.
        genes: Genes to read.
        keep: Columns of `obs` to keep; all where left out.
        group: Name of the group of the cells in it, such as "mod/rna/".

    Returns:
        The cells, and the name of each, `(R,)`.

    Raises:
        ImportError: If anndata is not installed.
        NotByRows: If the matrix is not stored by cells.
        ValueError: As `read_cells`.
    """
    refuse_both(layer, obsm, genes)
    with opened(path) as file:
        obs, var = (_element(path, file, group + name) for name in ("obs", "var"))
        place = _place(path, file, group, layer, obsm)
        encoding = file[place].attrs.get("encoding-type", "array")
        _refuse_other(path, file[place], encoding, _subject(layer, obsm), obsm)
        shape = file[place].attrs.get("shape") if encoding == "csr_matrix" else None
    kept = list(obs.columns) if keep is None else list(keep)
    refuse_unknown(kept, obs.columns, "column of obs")
    exact = {name: as_column(obs[name]) for name in kept}
    columns = {name: plain_column(values) for name, values in exact.items()}
    x: FileRows
    try:
        if shape is None:
            x = DenseRows(path, place, _subject(layer, obsm))
        else:
            rows, width = (int(n) for n in shape)
            x = SparseRows(path, place, (rows, width), _subject(layer, obsm))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    names = np.asarray(var.index).astype(str)
    if obsm is not None:
        names = np.array([f"{obsm}{j}" for j in range(x.shape[1])])
    elif genes is not None:
        chosen = chosen_genes(genes, var, names)
        x, names = choose(x, columns=chosen), names[chosen]
    cells = np.asarray(obs.index).astype(str)
    return Observations(x, columns, tuple(names.tolist()), exact), cells


def _element(path: Path, file: Any, name: str) -> Any:
    try:
        return need("anndata.io", "anndata").read_elem(file[name])
    except Exception as error:  # each of the readers in anndata has errors of its own
        raise ValueError(f"{path.name} cannot be read as AnnData: {error}") from error


def _subject(layer: str | None, obsm: str | None) -> str:
    """Return the matrix as the subject of a message."""
    if obsm is not None:
        return f"obsm[{obsm!r}]"
    return "X" if layer is None else f"The layer {layer!r}"


def _place(path: Path, file: Any, group: str, layer: str | None, obsm: str | None) -> str:
    """Return the name of the matrix in an open file."""
    folder, key = ("layers", layer) if obsm is None else ("obsm", obsm)
    if key is not None:
        there = list(file[group + folder]) if group + folder in file else []
        refuse_unknown([key], there, "layer" if obsm is None else "embedding in obsm")
        return f"{group}{folder}/{key}"
    if f"{group}X" not in file:
        raise ValueError(
            f"X is empty in this AnnData, {path.name}; name a layer, or an embedding as obsm."
        )
    return f"{group}X"


def _refuse_other(path: Path, item: Any, encoding: str, subject: str, obsm: str | None) -> None:
    """Refuse a matrix of which rows cannot be read alone.

    Raises:
        NotByRows, ValueError: If it is one.
    """
    if encoding == "csr_matrix":
        return
    if encoding in ("csc_matrix", "dataframe"):
        fix = (
            "adata.X = adata.X.tocsr()"
            if encoding == "csc_matrix"
            else f"adata.obsm[{obsm!r}] = adata.obsm[{obsm!r}].to_numpy()"
        )
        raise NotByRows(
            f"{subject} of {path.name} is stored as {encoding}, of which rows cannot be read "
            f"alone. To read it in parts, convert it and write the file again: {fix}.",
            sum(size for _, size in stated_bytes(item)),
        )
    if not hasattr(item, "dtype") or item.ndim < 2:
        raise ValueError(
            f"{subject} of {path.name} is stored as {encoding}; atoms are an array or a CSR "
            "matrix."
        )
