"""Promoters with measured expression, as deposited or as a table.

| layout    | files                                          | columns                       |
|-----------|------------------------------------------------|-------------------------------|
| GSE104878 | `*average_promoter_ELs_per_seq_*.txt.gz`       | sequence, expression, no head |
| table     | `native_random_glucose.parquet`                | `seq`, `el`                   |

Each deposited file is of one medium. Its sequences hold the constant ends of the plasmid, which
are cut off.

| Deciphering eukaryotic gene-regulatory logic with 100 million random promoters (de Boer et al.,
  2020)
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distembed.apps.source import expected_columns, expected_file
from distembed.data.readers.packed import lines_of
from distembed.registry import need

__all__ = ["Promoters", "read_promoters"]

logger = logging.getLogger(__name__)

_TABLE = "native_random_glucose.parquet"
_NAME = re.compile(r".*average_promoter_ELs_per_seq_(?P<medium>.+?)(_ALL)?(\.shuffled)?\.txt\.gz")
_DESCRIBED = (
    "GSE104878 has files such as GSE104878_20161024_average_promoter_ELs_per_seq_3p1E7_Gal_ALL."
    f"shuffled.txt.gz, a sequence and its expression a line; {_TABLE} has the columns seq and el. "
    "docs/applications.md describes them."
)


@dataclass(frozen=True)
class Promoters:
    """Promoters with their expression.

    Attributes:
        sequence: The variable regions, over A, C, G and T, `(R,)`.
        level: Expression, `(R,)`.
        medium: Medium of the measurement, `(R,)`.
    """

    sequence: NDArray[np.str_]
    level: NDArray[np.float64]
    medium: NDArray[np.str_]


def read_promoters(folder: Path, longest: int = 128) -> Promoters:
    """Read promoters in either layout.

    Promoters without expression, with other letters than A, C, G and T, or longer than stated are
    left out, and their number is logged.

    Args:
        folder: The folder.
        longest: Most letters of a variable region.

    Raises:
        ValueError: If the folder has neither layout, or a line or a column is not as expected.
    """
    files = sorted(f for f in folder.iterdir() if _NAME.fullmatch(f.name))
    if files:
        parts = [_deposited(file) for file in files]
        media = [str(m["medium"]) for f in files if (m := _NAME.fullmatch(f.name))]
        sequence = np.concatenate([part[0] for part in parts])
        level = np.concatenate([part[1] for part in parts])
        medium = np.repeat(media, [len(part[0]) for part in parts])
    else:
        expected_file(folder, [(_TABLE,)], _DESCRIBED)
        table = need("pandas", "parquet").read_parquet(folder / _TABLE)
        expected_columns(folder / _TABLE, table, ["seq", "el"], _DESCRIBED)
        sequence, level = table["seq"].to_numpy(str), table["el"].to_numpy(np.float64)
        medium = np.full(len(sequence), "glucose")
    return _valid(folder, Promoters(sequence, level, medium), longest)


def _deposited(file: Path) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Read a sequence and its expression a line, and cut the ends that all sequences share."""
    sequences, levels = [], []
    with lines_of(file) as lines:
        for number, line in lines:
            if not line:
                continue
            fields = line.split("\t")
            try:
                sequence, level = fields[0], float(fields[1])
            except (IndexError, ValueError) as error:
                raise ValueError(
                    f"Line {number} of {file.name} is {line[:60]!r}; a line has a sequence and "
                    f"its expression, divided by a tab. {_DESCRIBED}"
                ) from error
            sequences.append(sequence.upper())
            levels.append(level)
    if not sequences:
        raise ValueError(f"{file.name} has no line; there is no promoter to read.")
    first, last = _constant(sequences), _constant([s[::-1] for s in sequences])
    if len(first) + len(last) >= min(map(len, sequences)):
        raise ValueError(
            f"{file.name} has {len(sequences)} sequences with the constant ends {first!r} and "
            f"{last[::-1]!r}, which leave nothing of the shortest: the sequences are equal, or "
            "too few. Read more of the file."
        )
    whole = [s.startswith(first) and s[::-1].startswith(last) for s in sequences]
    if not all(whole):
        logger.warning(
            "%s: left out %d of %d sequences that lack the constant ends %r and %r",
            file.name, len(whole) - sum(whole), len(whole), first, last[::-1],
        )  # fmt: skip
    stop = -len(last) or None
    cut = [s[len(first) : stop] for s, own in zip(sequences, whole, strict=True) if own]
    return np.array(cut), np.array(levels)[whole]


def _constant(sequences: list[str], share: float = 0.95, least: int = 8) -> str:
    """Return how nearly all sequences begin; nothing where that is short, as by chance."""
    shortest = min(map(len, sequences))
    columns = np.array([list(s[:shortest]) for s in sequences])
    letters = []
    for t in range(shortest):
        values, counts = np.unique(columns[:, t], return_counts=True)
        if counts.max() < share * len(sequences):
            break
        letters.append(str(values[counts.argmax()]))
    return "".join(letters) if len(letters) >= least else ""


def _valid(folder: Path, promoters: Promoters, longest: int) -> Promoters:
    """Leave out promoters that have no level or other letters, and log how many."""
    pattern = re.compile(f"[ACGT]{{1,{longest}}}")
    letters = np.array([bool(pattern.fullmatch(s)) for s in promoters.sequence])
    measured = np.isfinite(promoters.level)
    kept = letters & measured
    if not kept.all():
        logger.warning(
            "%s: left out %d promoters with letters other than A, C, G, T or more than %d of them,"
            " and %d without expression",
            folder, int((~letters).sum()), longest, int((letters & ~measured).sum()),
        )  # fmt: skip
    return Promoters(promoters.sequence[kept], promoters.level[kept], promoters.medium[kept])
