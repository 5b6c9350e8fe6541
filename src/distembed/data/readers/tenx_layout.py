"""Read one count matrix of cells in the layouts of 10x Genomics, without other packages.

| Layout | Content |
|---|---|
| `.h5` | group `matrix`: `data`, `indices`, `indptr`, `shape` (features, barcodes), `barcodes`, \
and `features` with `id`, `name` and `feature_type` |
| `.h5` of Cell Ranger 2 | the same in a group of the name of the genome, with `genes` and \
`gene_names` |
| folder | `matrix.mtx` (features x barcodes), `barcodes.tsv` and `features.tsv` (id, name, type) \
or `genes.tsv` (id, name), each perhaps `.gz`, with a prefix that is that of the matrix |

The matrix is stored by barcodes, so that the columns of the layout are the rows of a CSR matrix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.file_rows import choose
from distembed.data.readers.annotation import repeated
from distembed.data.readers.atoms import as_atoms
from distembed.data.readers.exchange import ExchangeRows, read_exchange
from distembed.data.readers.hdf5 import check_hdf5
from distembed.data.readers.packed import lines_of
from distembed.data.readers.stored_matrix import DAMAGED, SparseRows
from distembed.registry import need

__all__ = ["MATRICES", "CountMatrix", "matrix_in", "read_counts"]

MATRICES = ("matrix.mtx.gz", "matrix.mtx")
"""Names of the matrix in a folder."""
_TYPE = "Gene Expression"


@dataclass(frozen=True)
class CountMatrix:
    """The counts of one file.

    Attributes:
        name: Name of the file, for messages.
        x: Counts, CSR `(R, D)`, a row a barcode; or such rows that stay in the file.
        barcodes: Barcode of each row, `(R,)`; no two are equal.
        ids: Stable id of each feature, such as that of Ensembl.
        names: Name of each feature, such as the symbol of a gene.
        types: Type of each feature, such as "Gene Expression" or "Antibody Capture".
    """

    name: str
    x: Any
    barcodes: np.ndarray
    ids: tuple[str, ...]
    names: tuple[str, ...]
    types: tuple[str, ...]

    def __post_init__(self) -> None:
        rows, columns = self.x.shape
        if (len(self.barcodes), len(self.ids)) != (rows, columns):
            raise ValueError(
                f"The matrix of {self.name} has {columns} features and {rows} barcodes, and their "
                f"lists have {len(self.ids)} and {len(self.barcodes)}. The layout has a row a "
                "feature; take the files of one matrix, and transpose a matrix of cells by genes."
            )
        if twice := repeated(self.barcodes.tolist()):
            raise ValueError(
                f"{self.name} has the barcode {twice!r} twice, so that it is not clear which cell "
                "is meant. Write the file again from its source."
            )

    def named_apart(self) -> CountMatrix:
        """Return the same counts where a feature whose name others have is named by its id."""
        count = Counter(self.names)
        pairs = zip(self.names, self.ids, strict=True)
        names = tuple(name if name and count[name] == 1 else own for name, own in pairs)
        return replace(self, names=names)

    def columns(self, positions: Sequence[int] | np.ndarray) -> CountMatrix:
        """Return the same cells with some features, by their positions."""
        chosen = np.asarray(positions, np.int64)
        parts = ([part[j] for j in chosen] for part in (self.ids, self.names, self.types))
        x = choose(self.x, columns=chosen)
        return CountMatrix(self.name, x, self.barcodes, *map(tuple, parts))


def read_counts(path: Path, in_file: bool = False) -> CountMatrix:
    """Read the counts of an `.h5` file, a folder, or the matrix in it.

    Args:
        path: The file or the folder.
        in_file: Whether the counts stay in the file until they are asked for.

    Raises:
        FileNotFoundError: If the file, or one that belongs to it, is not there.
        ImportError: If h5py is not installed, which comes with anndata.
        ValueError: If it has another layout, or is damaged.
    """
    if path.is_dir():
        inside = matrix_in(path)
        if inside is None:
            raise FileNotFoundError(f"The folder {path} has no matrix.mtx or matrix.mtx.gz.")
        path = inside
    return (_hdf5 if path.suffix.lower() == ".h5" else _exchange)(path, in_file)


def matrix_in(folder: str | Path) -> Path | None:
    """Return the matrix of a folder of this layout; None of others."""
    paths = [Path(folder) / name for name in MATRICES]
    return next((path for path in paths if path.is_file()), None)


def _hdf5(path: Path, in_file: bool) -> CountMatrix:
    groups = sorted(check_hdf5(path))
    with need("h5py", "anndata").File(path) as file:
        if "matrix" not in groups:
            groups = [name for name in groups if "gene_names" in _keys(file[name])]
            if not groups:
                raise ValueError(
                    f"{path.name} is HDF5 and has not the layout of 10x, whose counts are in a "
                    f"group 'matrix'. It holds: {', '.join(sorted(file)) or 'nothing'}. AnnData "
                    "is named .h5ad, and MuData .h5mu."
                )
            if len(groups) > 1:
                raise ValueError(
                    f"{path.name} has the genomes {', '.join(groups)}, each with a matrix of its "
                    "own. Write the one that you need to a file of its own."
                )
        old = "matrix" not in groups
        group = file[groups[0] if old else "matrix"]
        try:
            ids = _texts(group["genes"] if old else group["features"]["id"])
            names = _texts(group["gene_names"] if old else group["features"]["name"])
            kinds = [_TYPE] * len(ids) if old else _texts(group["features"]["feature_type"])
            barcodes = np.array(_texts(group["barcodes"]), str)
            rows, columns = (int(n) for n in group["shape"][()][::-1])
            x: Any
            if in_file:
                x = SparseRows(path, str(group.name), (rows, columns), "the matrix")
            else:
                parts = [group[name][()] for name in ("data", "indices", "indptr")]
                x = _csr(parts, (rows, columns))
        except DAMAGED as error:
            raise ValueError(
                f"{path.name} is damaged, or has not the layout of 10x: {error}. Copy it again."
            ) from error
    if not len(ids) == len(names) == len(kinds):
        raise ValueError(
            f"{path.name} is damaged: it has {len(ids)} ids, {len(names)} names and {len(kinds)} "
            "types of features. Copy it again."
        )
    return CountMatrix(path.name, x, barcodes, tuple(ids), tuple(names), tuple(kinds))


def _csr(parts: Sequence[np.ndarray], shape: tuple[int, int]) -> Any:
    """Return a CSR matrix after a check of its indices."""
    from scipy.sparse import csr_matrix

    data, indices, indptr = parts
    if min(shape) < 0 or len(indptr) != shape[0] + 1:
        raise ValueError(f"the shape is {shape[::-1]}, and there are {len(indptr)} pointers")
    return as_atoms("the matrix", csr_matrix((data, indices, indptr), shape=shape)).x


def _keys(item: Any) -> set[str]:
    return set(item) if hasattr(item, "keys") else set()


def _texts(item: Any) -> list[str]:
    """Return a dataset of text of fixed or variable length."""
    texts: list[str] = item.asstr()[()].tolist()
    return texts


def _exchange(path: Path, in_file: bool) -> CountMatrix:
    """Read a matrix in the format of Matrix Market, and the lists beside it."""
    end = next((name for name in MATRICES if path.name.lower().endswith(name)), None)
    if end is None:
        raise ValueError(
            f"{path.name} is Matrix Market, and its name does not end in matrix.mtx or "
            "matrix.mtx.gz, so that the lists of its features and barcodes cannot be told. "
            "Rename it, and the lists beside it."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    prefix = path.name[: -len(end)]
    cells = _beside(path, prefix, ["barcodes.tsv"])
    barcodes = [row[0] for row in _rows(cells)]
    listed = _beside(path, prefix, ["features.tsv", "genes.tsv"])
    rows = _rows(listed)
    if len({len(row) for row in rows}) > 1:
        raise ValueError(
            f"{listed.name} is damaged: its lines have {min(map(len, rows))} to "
            f"{max(map(len, rows))} fields. Copy it again."
        )
    ids = tuple(row[0] for row in rows)
    names = tuple(row[1] if len(row) > 1 else row[0] for row in rows)
    kinds = tuple(row[2] if len(row) > 2 else _TYPE for row in rows)
    x = ExchangeRows(path, [path, cells, listed]) if in_file else read_exchange(path)
    return CountMatrix(path.name, x, np.array(barcodes, str), ids, names, kinds)


def _beside(path: Path, prefix: str, names: Sequence[str]) -> Path:
    """Return the list of that name beside a matrix, perhaps compressed."""
    for name in names:
        for packed in (".gz", ""):
            if (file := path.with_name(f"{prefix}{name}{packed}")).is_file():
                return file
    raise FileNotFoundError(
        f"{path.name} needs {' or '.join(prefix + n for n in names)}, perhaps .gz, beside it in "
        f"{path.parent}. Put it there."
    )


def _rows(path: Path) -> list[list[str]]:
    with lines_of(path) as lines:
        return [line.split("\t") for _, line in lines if line]
