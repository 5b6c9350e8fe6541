"""Generated `.h5ad` files of any size, written in parts: cells of sets with programs of genes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distembed.registry import need

__all__ = ["write_cells"]


def write_cells(
    path: Path, cells: int, genes: int, sets: int, seed: int, rank: int = 10, rows: int = 4096
) -> int:
    """Write counts of cells in random order as CSR; return the number of stored values.

    The gene g of a cell of set s is expressed with probability 1 / (1 + exp(-b_g - u_g a_s)), with
    normal b, u and a around -2.9, which makes about a tenth of the values; an expressed one is one
    plus a Poisson variable of mean 1.

    Args:
        path: The file.
        cells: Number of cells.
        genes: Number of genes.
        sets: Number of sets.
        seed: Of all draws.
        rank: Number of programs.
        rows: Cells that are drawn at once.
    """
    h5py, io = need("h5py", "anndata"), need("anndata.io", "anndata")
    pd = need("pandas", "anndata")
    rng = np.random.default_rng(seed)
    loading = rng.normal(size=(genes, rank)) * 0.8 / np.sqrt(rank)
    logit = rng.normal(-2.9, 1, genes) + rng.normal(size=(sets, rank)) @ loading.T
    share = (1 / (1 + np.exp(-logit))).astype(np.float32)
    owner = rng.integers(0, sets, cells)
    owner[:sets] = np.arange(sets)[:cells]
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        names = [f"gene{g}" for g in range(genes)]
        obs = pd.DataFrame({"sample": pd.Categorical.from_codes(owner, _names(sets))})
        obs.index = obs.index.astype(str)
        io.write_elem(file, "obs", obs)
        io.write_elem(file, "var", pd.DataFrame(index=names))
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        group.attrs["shape"] = np.array([cells, genes])
        parts = {
            name: group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(2**16,))
            for name, dtype in (("data", "f4"), ("indices", "i4"))
        }
        ends = [np.zeros(1, np.int64)]
        for low in range(0, cells, rows):
            here = share[owner[low : low + rows]]
            row, column = np.nonzero(rng.random(here.shape, np.float32) < here)
            size = parts["data"].shape[0]
            values = {"data": 1 + rng.poisson(1, len(row)), "indices": column}
            for name, dataset in parts.items():
                dataset.resize((size + len(row),))
                dataset[size:] = values[name]
            ends.append(size + np.cumsum(np.bincount(row, minlength=len(here))))
        group.create_dataset("indptr", data=np.concatenate(ends))
        return int(ends[-1][-1])


def _names(sets: int) -> list[str]:
    return [f"sample{s}" for s in range(sets)]
