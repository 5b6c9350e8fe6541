"""Cells of barcoded clones, as LARRY was deposited or as AnnData, and their division by clones.

A set is the cells of one clone on one day. Genes are chosen by the cells of training clones.

| Lineage tracing on transcriptional landscapes links state to fate (Weinreb et al., 2020)
"""

from __future__ import annotations

import gzip
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from distembed.apps.application import Settings
from distembed.apps.source import expected_columns, expected_file
from distembed.data.observations import Observations
from distembed.data.readers.hdf5 import open_h5ad
from distembed.data.spaces import Vectors
from distembed.evaluation.cohort import Cohort
from distembed.registry import need
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label

__all__ = ["FILES", "SHARE", "LineageSettings", "data", "fate", "read_cells"]

logger = logging.getLogger(__name__)

PARTS = ("normed_counts.mtx.gz", "gene_names.txt.gz", "clone_matrix.mtx.gz", "metadata.txt.gz")
AS_H5AD = "larry_invitro_781.h5ad"
FILES = (PARTS, tuple(f"stateFate_inVitro_{part}" for part in PARTS), (AS_H5AD,))
"""Files of each layout."""
SHARE = "share_"
"""What the names of metadata begin with that are shares of cell types."""
_DESCRIBED = (
    "the in vitro experiment of Weinreb et al. (2020, GSE140802), cells x genes, cells x clones "
    "and one row a cell with its `Time point` and `Cell type annotation`; or the AnnData of "
    "lineage_larry, with day, state and clone in obs."
)


@dataclass(frozen=True, kw_only=True)
class LineageSettings(Settings):
    """Sizes of the application.

    Attributes:
        genes: Genes of the largest variance over training cells that are read.
        detected: Fewest training cells that express a gene.
        components: Principal components of the model.
        late: The last day, whose cells are the fate.
        permutations: Permutations of a null distribution.
    """

    genes: int = 1000
    detected: int = 10
    components: int = 32
    late: float = 6.0
    permutations: int = 100


def data(folder: Path, settings: LineageSettings) -> tuple[Sets, Sets]:
    """Read sets of cells of one clone on one day; whole clones are held out.

    Raises:
        ValueError: If a file or a column is missing, or no clone has cells both early and late.
    """
    cells = read_cells(folder)
    clone, day = cells.columns["clone"], cells.columns["day"]
    late = np.unique(clone[day == settings.late])
    both = np.intersect1d(np.unique(clone[day < settings.late]), late)
    if len(both) < 8:
        raise ValueError(
            f"{folder} has {len(both)} clones with cells both before day {settings.late:g} and "
            f"on it; at least 8 are needed to hold some out. Its days are "
            f"{', '.join(f'{d:g}' for d in np.unique(day))}."
        )
    order = np.random.default_rng(settings.seed).permutation(both)[: settings.sets]
    held_out = order[: max(2, round(settings.test * len(order)))]
    sets = by_label(
        cells, ["clone", "day"], meta=["day"], min_size=1, max_size=settings.atoms,
        rng=settings.seed, atoms=Vectors(),
    )  # fmt: skip
    sets = sets.with_meta(_shares(sets, cells.columns["state"]))
    test = np.isin(sets.meta["clone"], held_out)
    # a clone of one phase is no test of anything, but trains the model
    rows = np.asarray(sets.select(~test).rows[:])
    genes = _variable_genes(cells.x[rows], settings)
    names = cells.features or ()
    table = Observations(cells.x[:, genes].tocsr(), features=tuple(names[j] for j in genes))
    sets = replace(sets, observations=table)
    return sets.select(~test), sets.select(test)


def fate(folder: Path, settings: LineageSettings) -> Cohort:
    """Label the early cells of a clone by whether most of its late cells are monocytes.

    Clones are those with two early cells or more, and with late cells of a type that is not the
    undifferentiated one.

    Raises:
        ValueError: If a file or a column is missing.
    """
    cells = read_cells(folder)
    clone, day = cells.columns["clone"], cells.columns["day"]
    state = cells.columns["state"]
    late = (day == settings.late) & ~np.char.startswith(np.char.lower(state), "undiff")
    names = np.unique(clone[late])
    share = {name: (state[late & (clone == name)] == "Monocyte").mean() for name in names}
    early = np.flatnonzero((day < settings.late) & np.isin(clone, names))
    genes = _variable_genes(cells.x[early], settings)
    all_names = cells.features or ()
    table = Observations(
        cells.x[early][:, genes].tocsr(), {"clone": clone[early]},
        tuple(all_names[j] for j in genes),
    )  # fmt: skip
    table.x.data = np.log1p(table.x.data)
    sets = by_label(table, "clone", min_size=2, max_size=settings.atoms, atoms=Vectors())
    most = np.array([share[name] > 0.5 for name in sets.ids])
    return Cohort(sets, np.where(most, "monocyte", "other"))


def read_cells(folder: Path) -> Observations:
    """Read cells with the columns `clone`, `day` and `state`; cells without a clone are left out.

    Raises:
        ValueError: If a file or a column is missing.
    """
    first = expected_file(folder, FILES, _DESCRIBED)
    if first == AS_H5AD:
        return _read_h5ad(folder / first)
    prefix = first.removesuffix(PARTS[0])
    return _read_parts([folder / (prefix + part) for part in PARTS])


def _read_h5ad(path: Path) -> Observations:
    cells = open_h5ad(path, backed=False)
    expected_columns(path.name, cells.obs.columns, ("clone", "day", "state"), _DESCRIBED)
    columns = {name: cells.obs[name].astype(str).to_numpy(str) for name in ("clone", "state")}
    columns["day"] = cells.obs["day"].astype(float).to_numpy()
    return Observations(sparse.csr_matrix(cells.X), columns, tuple(map(str, cells.var_names)))


def _read_parts(paths: list[Path]) -> Observations:
    """Read the four files of the deposit."""
    pandas, io = need("pandas", "parquet"), need("scipy.io", "parquet")
    counts, genes_file, clones_file, metadata_file = paths
    x = io.mmread(gzip.open(counts)).tocsr().astype(np.float32)
    membership = io.mmread(gzip.open(clones_file)).tocsr()
    with gzip.open(genes_file, "rt", encoding="utf-8") as file:
        genes = _unique([line.strip() for line in file if line.strip()])
    table = pandas.read_csv(metadata_file, sep="\t")
    needed = ("Time point", "Cell type annotation")
    expected_columns(metadata_file.name, table.columns, needed, _DESCRIBED)
    rows = {
        counts.name: x.shape[0], clones_file.name: membership.shape[0],
        metadata_file.name: len(table),
    }  # fmt: skip
    if len(set(rows.values())) > 1 or len(genes) != x.shape[1]:
        stated = ", ".join(f"{name} {n} rows" for name, n in rows.items())
        raise ValueError(
            f"The files do not belong together: {stated}; {genes_file.name} names {len(genes)} "
            f"genes and {counts.name} has {x.shape[1]} columns. Each row is one cell: {_DESCRIBED}"
        )
    barcodes = np.diff(membership.indptr)
    one = barcodes == 1
    if (~one).any():
        logger.warning(
            "left out %d of %d cells: %d of no clone, %d of several",
            int((~one).sum()), len(one), int((barcodes == 0).sum()), int((barcodes > 1).sum()),
        )  # fmt: skip
    number = membership.indices[membership.indptr[:-1][one]]
    columns: dict[str, NDArray[Any]] = {
        "clone": np.array([f"clone{j}" for j in number]),
        "day": table["Time point"].to_numpy(np.float64)[one],
        "state": table["Cell type annotation"].astype(str).to_numpy(str)[one],
    }
    return Observations(x[one], columns, genes)


def _unique(names: list[str]) -> tuple[str, ...]:
    """Return names with the number of its place after a name that stands before it."""
    first: dict[str, int] = {}
    for place, name in enumerate(names):
        first.setdefault(name, place)
    return tuple(n if first[n] == i else f"{n}.{i}" for i, n in enumerate(names))


def _shares(sets: Sets, state: NDArray[np.str_]) -> dict[str, NDArray[np.float64]]:
    """Return the share of each cell type in each set, the most frequent type first."""
    own = state[np.asarray(sets.rows[:])]
    types, count = np.unique(own, return_counts=True)
    order = types[np.argsort(-count, kind="stable")]
    first = sets.offsets[:-1]
    return {
        f"{SHARE}{name}": np.add.reduceat((own == name).astype(np.float64), first) / sets.sizes
        for name in order.tolist()
    }


def _variable_genes(x: Any, settings: LineageSettings) -> NDArray[np.int64]:
    """Return the genes of the largest variance of log(1 + x), in their order.

    Raises:
        ValueError: If no gene is expressed in enough cells.
    """
    x = x.copy()
    x.data = np.log1p(x.data)
    mean = np.asarray(x.mean(0)).ravel()
    variance = np.asarray(x.multiply(x).mean(0)).ravel() - mean**2
    enough = x.getnnz(0) >= settings.detected
    if not enough.any():
        raise ValueError(
            f"None of {x.shape[1]} genes is expressed in detected = {settings.detected} of "
            f"{x.shape[0]} training cells. Are rows cells, and columns genes?"
        )
    order = np.argsort(np.where(enough, -variance, np.inf), kind="stable")
    return np.sort(order[: min(settings.genes, int(enough.sum()))])
