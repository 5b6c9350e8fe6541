"""Read single cells from AnnData: one observation a cell, a layer or an embedding as its atom.

A sparse matrix stays sparse; rows become dense a batch at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from distembed.data.labels import as_column, plain_column
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.atoms import as_atoms
from distembed.data.readers.base import Request
from distembed.data.readers.cells_in_file import cells_in_file
from distembed.data.readers.dialect import suffix
from distembed.data.readers.genes import chosen_genes, refuse_both
from distembed.data.readers.hdf5 import check_h5ad, open_h5ad
from distembed.data.readers.table import TableReader
from distembed.data.readers.zarr_cells import check_zarr, open_zarr

__all__ = ["CellReader", "read_cells"]


@dataclass(frozen=True)
class CellReader:
    """Reader of single cells in AnnData.

    Attributes:
        layer: AnnData and MuData: layer to read instead of `X`.
        obsm: AnnData and MuData: embedding to read instead of `X`, such as "X_pca".
        genes: AnnData and MuData: a boolean column of `var`, names of genes, or a boolean mask
            `(G,)`; 10x: names or ids of features.
        sequence: Column of sequences, whose alphabet is recognised unless `atoms` states it.
    """

    layer: str | None = None
    obsm: str | None = None
    genes: str | Sequence[str] | np.ndarray | None = None
    sequence: str | None = None

    suffixes: ClassVar[tuple[str, ...]] = (".h5ad", ".zarr")

    @property
    def selection(self) -> str | None:
        """Name of the option that selects features by name: an embedding is read whole."""
        return "genes" if self.obsm is None and self.sequence is None else None

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return whether the source is an AnnData object."""
        return hasattr(source, "obsm") and not hasattr(source, "mod")

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read the cells, and the columns of labels and those that are requested.

        Raises:
            FileNotFoundError, ImportError, ValueError: As `read_cells`, and if no column of labels
                is named or atoms are tokens.
        """
        if self.sequence is not None:
            named = [n for n in ("layer", "obsm", "genes") if getattr(self, n) is not None]
            if named:
                raise ValueError(
                    f"sequence={self.sequence!r} reads a column of obs, and {named[0]} chooses "
                    "numbers. Name one of them."
                )
            return TableReader(sequence=self.sequence).read(_open(source, True).obs, request)
        if request.encode is not None:
            raise ValueError(
                "Atoms of AnnData are numbers, and tokens are requested. Name the column of obs "
                "that holds the sequences: sequence=COLUMN."
            )
        observations = read_cells(
            source,
            layer=self.layer,
            obsm=self.obsm,
            genes=self.genes,
            keep=None if request.meta is None else request.keep,
            in_file=request.in_file,
        )
        columns = observations.columns if request.meta is None else ()
        return observations, request.require_labels(source, columns)


def read_cells(
    source: Any,
    *,
    layer: str | None = None,
    obsm: str | None = None,
    genes: str | Sequence[str] | np.ndarray | None = None,
    keep: Sequence[str] | None = None,
    in_file: bool = False,
) -> Observations:
    """Read cells and their annotation.

    Args:
        source: An AnnData object, or the path of an `.h5ad` file or a `.zarr` folder.
        layer: Layer to read instead of `X`.
        obsm: Embedding to read instead of `X`, such as "X_pca"; its features have the names of
            a data frame, or are named "X_pca0" and so on.
        genes: A boolean column of `var`, a boolean mask `(G,)`, or names of genes.
        keep: Columns of `obs` to keep; all where left out.
        in_file: Whether the atoms of a path stay in the file until they are asked for.

    Raises:
        FileNotFoundError: If there is no such file.
        NotByRows: If they are to stay in the file, and it does not store them by cells.
        ValueError: If a layer, an embedding, a gene or a column is unknown, or `obsm` is
            combined with a layer or genes.
        ImportError: If anndata is not installed.
    """
    refuse_both(layer, obsm, genes)
    if in_file and isinstance(source, str | Path):
        path = Path(source)
        (check_zarr if suffix(path) == ".zarr" else check_h5ad)(path)
        return cells_in_file(path, layer=layer, obsm=obsm, genes=genes, keep=keep)[0]
    adata = _open(source, backed=obsm is not None)
    kept = list(adata.obs.columns) if keep is None else list(keep)
    refuse_unknown(kept, adata.obs.columns, "column of obs")
    exact = {name: as_column(adata.obs[name]) for name in kept}
    columns = {name: plain_column(values) for name, values in exact.items()}
    if obsm is not None:
        refuse_unknown([obsm], adata.obsm.keys(), "embedding in obsm")
        atoms = as_atoms(f"obsm[{obsm!r}]", adata.obsm[obsm])
        if adata.isbacked and adata is not source:
            adata.file.close()
        names = atoms.features or tuple(f"{obsm}{j}" for j in range(atoms.x.shape[1]))
        return Observations(atoms.x, columns, names, exact)
    if layer is not None:
        refuse_unknown([layer], adata.layers.keys(), "layer")
    x = adata.X if layer is None else adata.layers[layer]
    if x is None:
        raise ValueError("X is empty in this AnnData; name a layer, or an embedding as obsm.")
    x = as_atoms("X" if layer is None else f"The layer {layer!r}", x).x
    genes_here = np.asarray(adata.var_names).astype(str)
    if genes is not None:
        chosen = chosen_genes(genes, adata.var, genes_here)
        x, genes_here = x[:, chosen], genes_here[chosen]
    return Observations(x, columns, tuple(genes_here.tolist()), exact)


def _open(source: Any, backed: bool) -> Any:
    if isinstance(source, str | Path):
        zarr = suffix(source) == ".zarr"
        return open_zarr(Path(source)) if zarr else open_h5ad(Path(source), backed)
    if not all(hasattr(source, name) for name in ("obs", "var_names", "obsm", "layers")):
        raise TypeError(f"A {type(source).__name__} is no AnnData; give one, or a path.")
    return source
