"""Layouts of methylation data: the Loyfer atlas, counts of CpGs by read, and calls by read.

| layout | files                                              | a molecule                      |
|--------|----------------------------------------------------|---------------------------------|
| atlas  | `GSM5652176_Adipocytes-Z000000T7.hg38.pat.gz`, ... | calls from a numbered CpG on    |
| counts | `reads.parquet` with `n_meth`, and `samples.csv`   | numbers of calls, without order |
| calls  | `reads.parquet` with `cpg_pattern`                 | calls in their order            |

The atlas (GSE186458; Loyfer et al., Nature, 2023) is read in `distembed.apps.methylation.atlas`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.apps.methylation.atlas import NAMES, read_atlas
from distembed.apps.methylation.molecules import Molecules, placed
from distembed.apps.source import expected_columns, expected_file
from distembed.registry import need

__all__ = ["read_molecules"]

logger = logging.getLogger(__name__)

_TABLES = (
    "reads.parquet has a row a read: sample_id, locus, n_meth, n_unmeth and count, beside "
    "samples.csv with sample_id, donor, assay and label; or sample, cell_type, dmr and "
    f"cpg_pattern. The atlas has files {NAMES}. docs/applications.md describes them."
)


def read_molecules(folder: Path, most: int, seed: int) -> Molecules:
    """Read the molecules of a folder in either layout.

    Args:
        folder: The folder.
        most: Most molecules of a sample of the atlas, which are drawn uniformly.
        seed: Seed of that draw, and of the parts of samples that have no donors.

    Raises:
        ValueError: If the folder has none of the layouts, lacks a column, or mixes genome builds.
    """
    if any(folder.glob("*.pat.gz")):
        return read_atlas(folder, most, seed)
    expected_file(folder, [("reads.parquet",)], _TABLES)
    pandas = need("pandas", "parquet")
    reads = pandas.read_parquet(folder / "reads.parquet")
    if "cpg_pattern" in reads:
        return _of_calls(folder, reads, seed)
    return _of_counts(folder, reads)


def _of_counts(folder: Path, reads: Any) -> Molecules:
    """Read numbers of methylated and unmethylated CpGs; the order within a read is not known."""
    pandas = need("pandas", "parquet")
    needed = ["sample_id", "locus", "n_meth", "n_unmeth", "count"]
    expected_columns(folder / "reads.parquet", reads, needed, _TABLES)
    expected_file(folder, [("reads.parquet", "samples.csv")], _TABLES)
    samples = pandas.read_csv(folder / "samples.csv", dtype=str, keep_default_na=False)
    needed = ["sample_id", "donor", "assay", "label"]
    expected_columns(folder / "samples.csv", samples, needed, _TABLES)
    number = samples.reset_index().set_index("sample_id")["index"].reindex(reads["sample_id"])
    if number.isna().any():
        name = reads["sample_id"][int(np.argmax(number.isna()))]
        raise ValueError(
            f"reads.parquet has the sample {name!r}, and samples.csv has no row for it. Add the "
            "row, or drop the reads."
        )
    n = reads[["n_meth", "n_unmeth"]].to_numpy(np.int64)
    calls = np.char.add(np.char.multiply("C", n[:, 0]), np.char.multiply("T", n[:, 1]))
    places, place = np.unique(reads["locus"].to_numpy(str), return_inverse=True)
    rows = np.repeat(np.arange(len(reads)), reads["count"])
    text = placed(calls, place, len(places))
    labels = samples["label"].to_numpy(str)
    return Molecules(
        text[rows],
        number.to_numpy(np.int64)[rows],
        samples["sample_id"].to_numpy(str),
        samples["donor"].to_numpy(str),
        np.where(labels == "unlabelled", "", labels),
        samples["assay"].to_numpy(str),
        tuple(places.tolist()),
        ("Ovarian_Cancer", "BuffyCoat") if "Ovarian_Cancer" in labels else None,
    )


def _of_calls(folder: Path, reads: Any, seed: int, parts: int = 8) -> Molecules:
    """Read calls of reads of one sample a cell type, and divide each at random into parts."""
    needed = ["sample", "cell_type", "dmr", "cpg_pattern"]
    expected_columns(folder / "reads.parquet", reads, needed, _TABLES)
    types, code = np.unique(reads["cell_type"].to_numpy(str), return_inverse=True)
    logger.warning(
        "%s has one sample of each cell type: parts of its reads are held out, and not donors",
        folder,
    )
    part = np.empty(len(reads), np.int64)
    rng = np.random.default_rng(seed)
    for number in range(len(types)):
        own = np.flatnonzero(code == number)
        part[own] = rng.permutation(len(own)) % parts
    places, place = np.unique(reads["dmr"].to_numpy(str), return_inverse=True)
    label = np.repeat(types, parts)
    names: NDArray[Any] = np.char.add(
        np.char.add(label, " "), np.tile(np.arange(parts).astype(str), len(types))
    )
    return Molecules(
        placed(reads["cpg_pattern"].to_numpy(str), place, len(places)),
        code * parts + part,
        names,
        names,
        label,
        np.full(len(names), "reads"),
        tuple(places.tolist()),
        ("tumour", "normal") if {"tumour", "normal"} <= {*types} else None,
    )
