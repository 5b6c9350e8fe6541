"""Tables on disk: CSV, Parquet and .h5ad, and the columns of embeddings in them.

A table of embeddings has the columns `id`, `n_atoms`, `n_effective` (the effective size),
`trained` (whether the model was trained on the set), `outside` (the share of the set outside the
range of all training atoms), the metadata, and the coordinates `z0`, ....
If there are covariances, it also has the standard errors `se0`, `se1`, ..., the degrees of freedom
`df` if they are from a jackknife, `p_unusual`, and on request the upper triangle of each
covariance, `cov0_0`, `cov0_1`, .... A metadata column of one of these names is written as
`meta.NAME`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.data.observations import refuse_unknown
from distembed.files import replacing
from distembed.registry import need

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings

__all__ = [
    "holds_embeddings",
    "read_embeddings",
    "write_embeddings",
    "write_samples",
    "write_table",
]

_FORMULA = "=+-@\t\r"
"""First characters of a cell that a spreadsheet takes for a formula."""


def write_table(
    path: Path, columns: Mapping[str, np.ndarray], safe: bool = False, at_once: int = 2**20
) -> None:
    """Write columns of equal length atomically as .csv, .tsv or .parquet.

    Args:
        path: The file, whose suffix is the format.
        columns: The columns.
        safe: Whether text that a spreadsheet would take for a formula gets an apostrophe in front,
            in .csv and .tsv files. Ids that are read back from such a file keep it.
        at_once: Cells that are held as text: a matrix as text is many times its size.
    """
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            arrow, parquet = need("pyarrow", "parquet"), need("pyarrow.parquet", "parquet")
            parquet.write_table(arrow.table(dict(columns)), temporary)
            return
        with temporary.open("w", newline="", encoding="utf-8") as file:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
            header = np.array(list(columns), dtype=str)
            writer.writerow(_guarded(header) if safe else header)
            arrays = [_guarded(c) if safe else c for c in columns.values()]
            rows = max(1, at_once // len(arrays))
            for start in range(0, len(arrays[0]), rows):
                # astype(str) writes the shortest text that reads back as the same float32
                part = (c[start : start + rows].astype(str) for c in arrays)
                writer.writerows(zip(*part, strict=True))


def _guarded(column: np.ndarray) -> np.ndarray:
    """Put an apostrophe before text that a spreadsheet would take for a formula."""
    if column.dtype.kind != "U":
        return column
    formula = np.isin(column.astype("U1"), list(_FORMULA))
    return np.where(formula, np.char.add("'", column), column)


def write_embeddings(
    path: Path, table: Embeddings, covariances: bool = False, safe: bool = False
) -> None:
    """Write embeddings as a table, or as AnnData (`distembed.model.annotated`)."""
    from distembed.model.annotated import set_columns, to_anndata

    if path.suffix == ".h5ad":
        cohort = to_anndata(table, covariances)
        with replacing(path) as temporary:
            cohort.write_h5ad(temporary)
        return
    latent = table.z.shape[1]
    names = (f"z{i}" for i in range(latent))
    columns = {"id": table.ids} | set_columns(table) | dict(zip(names, table.z.T, strict=True))
    if table.cov is not None:
        errors = (f"se{i}" for i in range(latent))
        columns |= dict(zip(errors, table.standard_errors.T, strict=True))
    if covariances:
        upper = np.triu_indices(latent)
        entries = (f"cov{i}_{j}" for i, j in zip(*upper, strict=True))
        columns |= dict(zip(entries, table.covariances[:, *upper].T, strict=True))
    write_table(path, columns, safe)


def write_samples(
    path: Path, labels: Mapping[str, np.ndarray], x: np.ndarray, features: Sequence[str] | None
) -> None:
    """Write drawn atoms, one row an atom, or as the arrays of an .npz file.

    Args:
        path: The file; .npz keeps `x` of shape (B, n, *event) as it is.
        labels: Columns that name the origin of the atoms of each b, each `(B,)`.
        x: The atoms, `(B, n, *event)`, or strings `(B, n)`.
        features: Names of the features; `x0`, `x1`, ... if None. Of strings, that of the column.

    Raises:
        ValueError: If atoms are neither vectors nor strings and the file is a table.
    """
    if path.suffix == ".npz":
        with replacing(path) as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = {
                **labels,
                "x": x,
                "features": np.array(features or (), dtype=str),
            }
            np.savez_compressed(file, **arrays)
        return
    x = x[..., None] if x.dtype.kind == "U" else x
    if x.ndim != 3:
        raise ValueError(
            f"An atom has shape {x.shape[2:]} and cannot be a row of a table; write an .npz file."
        )
    names = features or [f"x{i}" for i in range(x.shape[2])]
    if shared := labels.keys() & set(names):
        raise ValueError(
            f"A feature and a label have the same name {shared.pop()!r}; write an .npz file."
        )
    rows = {name: np.repeat(label, x.shape[1]) for name, label in labels.items()}
    write_table(path, rows | dict(zip(names, x.reshape(-1, x.shape[2]).T, strict=True)))


def holds_embeddings(path: Path) -> bool:
    """Return whether a file is a table of embeddings, from the names of its columns.

    Raises:
        ImportError, ValueError: If it is a table that cannot be read.
    """
    from distembed.data.readers.columns import TABLES, column_names
    from distembed.data.readers.dialect import suffix
    from distembed.data.readers.hdf5 import column_names_of_obs

    if suffix(path) == ".h5ad":
        return {"n_atoms", "n_effective"} <= set(column_names_of_obs(path))
    names = column_names(path) if suffix(path) in TABLES else []
    return {"id", "n_atoms", "n_effective", "z0"} <= set(names)


def read_embeddings(path: Path) -> Embeddings:
    """Read a table of `write_embeddings` in any of its formats; ids are text as it is written.

    Raises:
        ValueError: If coordinates are not numbers, `trained` is not true or false, or two rows
            have one id.
    """
    from distembed.data.labels import as_text
    from distembed.data.readers.columns import open_table
    from distembed.model.embeddings import Embeddings

    table = open_table(_stored(path) if path.suffix.lower() == ".h5ad" else path)
    names = sorted((n for n in table.names if re.fullmatch(r"z\d+", n)), key=lambda n: int(n[1:]))
    latent, upper = len(names), np.triu_indices(len(names))
    entries = [f"cov{i}_{j}" for i, j in zip(*upper, strict=True)]
    optional = [n for n in ("df", "p_unusual", "outside") if n in table.names]
    entries = entries if "cov0_0" in table.names else []
    own = [*names, "n_atoms", "n_effective", *optional, *entries]
    refuse_unknown(["id", *own], table.names, "column")
    numbers = dict(zip(own, table.load(own, "numbers"), strict=True))
    z = np.stack([numbers[name] for name in names], axis=1).astype(np.float32)
    cov = None
    if entries:
        cov = np.empty((len(z), latent, latent), dtype=np.float32)
        for name, i, j in zip(entries, *upper, strict=True):
            cov[:, i, j] = cov[:, j, i] = numbers[name]
    marked = "trained" in table.names
    ids, *flags = table.load(["id", "trained"] if marked else ["id"], "exact")
    rest = {*own, "id", "trained", *(f"se{name[1:]}" for name in names)}
    meta = [name for name in table.names if name not in rest]
    return Embeddings(
        cov=cov,
        df=numbers.get("df"),
        p_unusual=numbers.get("p_unusual"),
        outside=numbers.get("outside"),
        trained=_flags(path, flags[0]) if flags else None,
        z=z,
        ids=_unique(path, as_text(ids)),
        sizes=numbers["n_atoms"].astype(np.int64),
        effective_sizes=numbers["n_effective"].astype(np.float64),
        meta=dict(zip(meta, table.load(meta, "values"), strict=True)),
    )


def _stored(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of a table that `write_embeddings` wrote as AnnData."""
    from distembed.data.labels import as_column
    from distembed.data.readers.hdf5 import open_h5ad

    cells = open_h5ad(path, backed=False)
    columns = {str(name): as_column(cells.obs[name]) for name in cells.obs.columns}
    latent = cells.n_vars
    columns |= {f"z{i}": np.asarray(cells.X)[:, i] for i in range(latent)}
    if "covariance" in cells.obsm:
        entries = zip(*np.triu_indices(latent), strict=True)
        values = np.asarray(cells.obsm["covariance"]).T
        columns |= {f"cov{i}_{j}": v for (i, j), v in zip(entries, values, strict=True)}
    return {"id": np.asarray(cells.obs_names).astype(str)} | columns


def _unique(path: Path, ids: np.ndarray) -> np.ndarray:
    """Return ids after checking that no two rows have the same one."""
    names, first, counts = np.unique(ids, return_index=True, return_counts=True)
    if (counts > 1).any():
        twice = names[np.argmax(counts > 1)]
        raise ValueError(
            f"{path} has {counts.max()} rows with the id {str(twice)!r}; a set has one embedding. "
            "Drop all but one, or give the sets other ids."
        )
    if "" in names:
        raise ValueError(f"{path} has no id in row {first[0]}; every embedding is of a set.")
    return ids


def _flags(path: Path, column: np.ndarray) -> np.ndarray:
    """Convert a column of true and false, in any capitalisation, to booleans."""
    words = np.char.lower(column.astype(str))
    if others := set(words.tolist()) - {"true", "false"}:
        raise ValueError(
            f"Column 'trained' of {path} contains {min(others)!r}, and True (the model was "
            "trained on the set) or False are expected. Rename a metadata column of this name to "
            "'meta.trained'."
        )
    flags: np.ndarray = words == "true"
    return flags
