"""Read the cells of an `.h5ad` file in parts; of a sparse matrix only the rows of a part."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.labels import as_column, as_text, check_labels, plain_column
from distembed.data.observations import refuse_unknown
from distembed.data.readers.atoms import as_atoms
from distembed.data.readers.base import Request
from distembed.data.readers.cells import CellReader, chosen_genes, refuse_both
from distembed.data.readers.hdf5 import check_h5ad
from distembed.data.readers.streams import Part, meta_names
from distembed.registry import need

__all__ = ["CellStream"]


class CellStream:
    """One `.h5ad` file. Its `obs` is held in memory, its atoms are not.

    Args:
        path: The file.
        reader: Options that choose the atoms.
        request: Columns of labels, metadata and weights.

    Raises:
        FileNotFoundError, ImportError, ValueError: As of `read_cells`; and if a sparse matrix is
            stored by columns.
    """

    def __init__(self, path: Path, reader: CellReader, request: Request) -> None:
        refuse_both(reader.layer, reader.obsm, reader.genes)
        check_h5ad(path)
        self.files, self.by, self._weights = [path], request.labels, request.weights
        self.required = request.meta is not None
        self._reader = reader
        with self._open() as file:
            obs, self._var = (self._element(file, name) for name in ("obs", "var"))
            refuse_unknown(request.keep, obs.columns, "column of obs")
            names = obs.columns if request.meta is None else request.keep
            self._columns = {name: as_column(obs[name]) for name in names}
            self.width = int(np.prod(self._matrix(file).shape[1:]))
        self._meta = meta_names(self.by, self._columns, {self._weights})

    @cached_property
    def features(self) -> tuple[str, ...] | None:
        """Names of the features."""
        if self._reader.obsm is not None:
            return tuple(f"{self._reader.obsm}{j}" for j in range(self.width))
        names = np.asarray(self._var.index).astype(str)
        return tuple((names if self._genes is None else names[self._genes]).tolist())

    def parts(self, rows: int, atoms: bool) -> Iterator[Part]:
        """Read all cells, at most `rows` at a time.

        Raises:
            ValueError: If the matrix is damaged, or a cell has no label.
        """
        texts = [as_text(self._columns[name]) for name in self.by]
        for name, text in zip(self.by, texts, strict=True):
            check_labels(name, self._columns[name], text)
        with self._open() as file:
            matrix = self._matrix(file)
            total = int(matrix.shape[0])
            for low in range(0, total, rows):
                part = slice(low, min(low + rows, total))
                yield Part(
                    part.stop - low,
                    [text[part] for text in texts],
                    {name: self._columns[name][part] for name in self._meta},
                    None if self._weights is None else self._columns[self._weights][part],
                    self._atoms(matrix, part) if atoms else None,
                )

    def settled(self, name: str, values: np.ndarray) -> np.ndarray:
        """Convert exact values of a column of obs to those of metadata."""
        return plain_column(values)

    def _atoms(self, matrix: Any, part: slice) -> Any:
        try:
            x = matrix[part]
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise ValueError(f"{self.files[0].name} is damaged: {error}") from error
        x = as_atoms(self._name, x).x
        return x if self._genes is None else x[:, self._genes]

    @property
    def _name(self) -> str:
        if self._reader.obsm is not None:
            return f"obsm[{self._reader.obsm!r}]"
        return "X" if self._reader.layer is None else f"The layer {self._reader.layer!r}"

    @cached_property
    def _genes(self) -> np.ndarray | None:
        """Positions of the chosen genes; None for all."""
        if self._reader.genes is None:
            return None
        names = np.asarray(self._var.index).astype(str)
        return chosen_genes(self._reader.genes, self._var, names)

    def _open(self) -> Any:
        return need("h5py", "anndata").File(self.files[0], "r")

    def _element(self, file: Any, name: str) -> Any:
        try:
            return need("anndata.io", "anndata").read_elem(file[name])
        except Exception as error:  # each of the readers in anndata has errors of its own
            raise ValueError(f"{self.files[0].name} cannot be read as AnnData: {error}") from error

    def _matrix(self, file: Any) -> Any:
        """Return the array of atoms in an open file, of which slices are read."""
        reader = self._reader
        group, key = ("layers", reader.layer) if reader.obsm is None else ("obsm", reader.obsm)
        if key is not None:
            kind = "layer" if reader.obsm is None else "embedding in obsm"
            refuse_unknown([key], list(file.get(group, ())), kind)
        if key is None and "X" not in file:
            raise ValueError("X is empty in this AnnData; name a layer, or an embedding as obsm.")
        item = file["X"] if key is None else file[group][key]
        encoding = item.attrs.get("encoding-type", "array")
        if encoding == "csr_matrix":
            return need("anndata.io", "anndata").sparse_dataset(item)
        if encoding in ("csc_matrix", "dataframe"):
            fix = (
                "adata.X = adata.X.tocsr()"
                if encoding == "csc_matrix"
                else f"adata.obsm[{key!r}] = adata.obsm[{key!r}].to_numpy()"
            )
            raise ValueError(
                f"{self._name} of {self.files[0].name} is stored as {encoding}, of which rows "
                f"cannot be read alone. Convert it and write the file again: {fix}."
            )
        if not hasattr(item, "dtype") or item.ndim < 2:
            raise ValueError(
                f"{self._name} of {self.files[0].name} is stored as {encoding}; atoms are an "
                "array or a CSR matrix."
            )
        return item
