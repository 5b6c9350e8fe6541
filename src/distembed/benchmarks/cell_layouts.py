"""Write the cells of an `.h5ad` file in other layouts, part by part."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from distembed.registry import need

__all__ = ["LAYOUTS", "write_layout"]

LAYOUTS = ("tenx", "exchange", "mudata", "zarr")
"""10x `.h5`, a folder with `matrix.mtx`, `.h5mu`, and AnnData in Zarr."""


def write_layout(source: Path, layout: str, values: int = 2**22) -> tuple[Path, dict[str, Any]]:
    """Write cells in another layout, beside their file.

    Args:
        source: An `.h5ad` file as `write_cells` writes it.
        layout: One of `LAYOUTS`.
        values: Values that are held in memory at once.

    Returns:
        The new file or folder, and the options of `distembed.read` by which it is read.
    """
    io, h5py = need("anndata.io", "anndata"), need("h5py", "anndata")
    with h5py.File(source) as file:
        obs, var, x = io.read_elem(file["obs"]), io.read_elem(file["var"]), file["X"]
        names = np.array(var.index, "S")
        barcodes = np.array([f"{i:016d}-1" for i in range(len(obs))])
        table = source.with_name("annotation.csv")
        obs.assign(barcode=barcodes).to_csv(table, index=False)
        of_table = {"annotation": str(table)}
        if layout == "tenx":
            path = source.with_suffix(".h5")
            with h5py.File(path, "w") as new:
                _copy(x, new.create_group("matrix"), values)
                new["matrix/shape"] = [len(names), len(obs)]
                new["matrix/barcodes"] = barcodes.astype("S")
                for key in ("id", "name", "feature_type"):
                    same = names if key != "feature_type" else np.array([b"Gene Expression"])
                    new[f"matrix/features/{key}"] = np.resize(same, len(names))
            return path, of_table
        if layout == "exchange":
            path = source.with_suffix("")
            _exchange(x, path, names, barcodes, values)
            return path, of_table
        if layout == "mudata":
            path = source.with_suffix(".h5mu")
            with h5py.File(path, "w") as new:
                io.write_elem(new, "obs", obs)
                group = new.create_group("mod/rna")
                io.write_elem(group, "obs", obs[[]])
                io.write_elem(group, "var", var)
                group.create_group("X").attrs.update(dict(x.attrs))
                _copy(x, group["X"], values)
            return path, {}
        path = source.with_suffix(".zarr")
        root = need("zarr", "anndata").open_group(path, mode="w")
        root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a default that will change
            io.write_elem(root, "obs", obs)
            io.write_elem(root, "var", var)
        group = root.create_group("X")
        group.attrs.update({k: np.asarray(v).tolist() for k, v in dict(x.attrs).items()})
        _copy(x, group, values)
        return path, {}


def _copy(x: Any, group: Any, values: int) -> None:
    """Copy the arrays of a sparse matrix to a group of HDF5 or Zarr."""
    make = getattr(group, "create_array", group.create_dataset)
    for name in ("data", "indices", "indptr"):
        size = x[name].shape[0]
        new = make(name, shape=(size,), dtype=x[name].dtype, chunks=(min(size, 2**16),))
        for low in range(0, size, values):
            new[low : low + values] = x[name][low : low + values]


def _exchange(x: Any, folder: Path, names: np.ndarray, barcodes: np.ndarray, values: int) -> None:
    folder.mkdir()
    (folder / "barcodes.tsv").write_text("\n".join(barcodes) + "\n", encoding="utf-8")
    listed = "".join(f"{n}\t{n}\tGene Expression\n" for n in names.astype(str))
    (folder / "features.tsv").write_text(listed, encoding="utf-8")
    indptr, total = x["indptr"][:], x["data"].shape[0]
    with (folder / "matrix.mtx").open("wb") as file:
        file.write(b"%%MatrixMarket matrix coordinate integer general\n%\n")
        file.write(f"{len(names)} {len(barcodes)} {total}\n".encode())
        for low in range(0, total, values):
            here = np.arange(low, min(low + values, total))
            cell = np.searchsorted(indptr, here, side="right")
            lines = np.stack([x["indices"][here[0] : here[-1] + 1] + 1, cell,
                              x["data"][here[0] : here[-1] + 1]], 1)  # fmt: skip
            np.savetxt(file, lines, "%d")
