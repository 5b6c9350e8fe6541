"""Viral proteins with date and place: the headers of GISAID, or a FASTA file with a table.

| layout | files                                  | a set                              |
|--------|----------------------------------------|------------------------------------|
| GISAID | `spikeprot0430.fasta`, no table        | month, laboratory, country         |
| table  | one FASTA file and `metadata.tsv.gz`   | year, country                      |

The table has `accession` and `country`, and `year` or `num_date` (a decimal year); it may have
`region`, and a clade as `clade` or `genotype_nextclade`. GISAID is read by
`distembed.apps.viral_proteins.gisaid`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distembed.apps.source import expected_columns
from distembed.apps.viral_proteins.gisaid import read_gisaid
from distembed.data.readers.fasta import FastaReader, read_fasta
from distembed.registry import need

__all__ = ["Proteins", "read_proteins"]

logger = logging.getLogger(__name__)

_EXPECTED = (
    "one FASTA file of GISAID, such as spikeprot0430.fasta, whose headers are Spike|isolate|date|"
    "id|passage|type|host|originating lab|submitting lab|submitter|country; or one FASTA file "
    "whose headers are accessions, beside metadata.tsv.gz with accession, country and year. "
    "docs/applications.md describes them."
)


@dataclass(frozen=True)
class Proteins:
    """Proteins and where they come from.

    Attributes:
        sequence: The proteins, `(R,)`.
        group: Name of the set of each, `(R,)`.
        date: Decimal year, `(R,)`.
        country: Country, `(R,)`.
        region: Region, or the country where there is none, `(R,)`.
        clade: Clade, empty where it is not known, `(R,)`.
        periods: How many times a set fits into a year: 1 for years, 12 for months.
    """

    sequence: NDArray[np.str_]
    group: NDArray[np.str_]
    date: NDArray[np.float64]
    country: NDArray[np.str_]
    region: NDArray[np.str_]
    clade: NDArray[np.str_]
    periods: int

    @property
    def aligned(self) -> bool:
        """Whether all proteins have one length."""
        return len(np.unique(np.char.str_len(self.sequence))) == 1


def read_proteins(folder: Path, most: int) -> Proteins:
    """Read proteins in either layout.

    Args:
        folder: The folder.
        most: Most proteins of a set of GISAID, the first of the file.

    Raises:
        ValueError: If the folder has not one FASTA file, or headers or columns are not as
            expected.
    """
    files = sorted(f for f in folder.iterdir() if f.name.endswith(FastaReader.suffixes))
    if len(files) != 1:
        raise ValueError(
            f"{folder} has {len(files)} FASTA files{_listed(files)}. Expected is {_EXPECTED}"
        )
    table = folder / "metadata.tsv.gz"
    if not table.is_file():
        entries = read_gisaid(files[0], most, _EXPECTED)
        country = np.array([e.country for e in entries])
        return Proteins(
            np.array([e.sequence for e in entries]),
            np.array([e.group for e in entries]),
            np.array([e.date for e in entries]),
            country,
            country,
            np.full(len(entries), ""),
            12,
        )
    return _annotated(files[0], table)


def _annotated(file: Path, table: Path) -> Proteins:
    """Join the entries of a FASTA file with a row each; those without country or year go."""
    entries = read_fasta(file)
    rows = need("pandas", "parquet").read_csv(table, sep="\t", dtype=str, keep_default_na=False)
    expected_columns(table, rows, ["accession", "country", "year"], f"Expected is {_EXPECTED}")
    rows = rows.drop_duplicates("accession").set_index("accession").reindex(entries.ids)
    if (absent := rows["country"].isna()).any():
        name = entries.ids[int(np.argmax(absent))]
        raise ValueError(f"{table.name} has no row of {name!r}, an entry of {file.name}. Add it.")
    columns = {name: rows[name].to_numpy(str) for name in rows}
    year = _number(columns["year"])
    kept = (columns["country"] != "") & (year > 0)
    if not kept.all():
        logger.warning("left out %d proteins without country or year", int((~kept).sum()))
    date = year + 0.5
    if "num_date" in columns:
        exact = _number(columns["num_date"])
        date = np.where(np.isfinite(exact), exact, date)
    none = np.full(len(kept), "")
    clade = columns.get("clade", columns.get("genotype_nextclade", none))
    region = columns.get("region", columns["country"])
    group = np.char.add(np.char.add(columns["country"], "|"), year.astype(np.int64).astype(str))
    sequence = np.array(entries.sequences)
    return Proteins(
        sequence[kept], group[kept], date[kept], columns["country"][kept], region[kept],
        clade[kept], 1,
    )  # fmt: skip


def _number(text: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return numbers, NaN where a text is empty."""
    return np.array([float(v) if v else np.nan for v in text])


def _listed(files: list[Path]) -> str:
    return f" ({', '.join(f.name for f in files[:4])})" if files else ""
