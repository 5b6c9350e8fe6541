"""The atlas of methylation of Loyfer et al. (Nature, 2023), GSE186458, as it is deposited.

A file a sample, `GSM5652176_Adipocytes-Z000000T7.hg38.pat.gz`, holds molecules with the number of
their first CpG, which depends on the genome build. Two tables may lie beside them: `markers.tsv`,
blocks that tell cell types apart, with the columns `startCpG`, `endCpG` (the first CpG after the
block) and `target`, as UXM has them; and `samples.csv` with the columns `sample` and `donor`.
Only molecules that overlap a block are kept, and their place is the target of the block. Without
blocks all molecules are kept, and places are not told apart; without donors each sample is one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distembed.apps.methylation.molecules import Molecules, placed
from distembed.apps.source import expected_columns
from distembed.data.readers.pat import pat_lines
from distembed.registry import need

__all__ = ["NAMES", "Blocks", "read_atlas"]

logger = logging.getLogger(__name__)

NAMES = "GSM5652176_Adipocytes-Z000000T7.hg38.pat.gz"
_NAME = re.compile(
    r"(?:GSM\d+_)?(?P<tissue>.+)-(?P<sample>[^-.]+)(?P<build>\.hg\d+)?\.pat\.gz", re.IGNORECASE
)
_BUILD = re.compile(r"\.(hg\d+)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Blocks:
    """Stretches of CpGs, in their order and without overlap.

    Attributes:
        start: Number of the first CpG of each block, `(K,)`.
        end: Number of the first CpG after it, `(K,)`.
        target: Number of the target of each block, `(K,)`.
        names: Names of the targets.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    target: NDArray[np.int64]
    names: tuple[str, ...]

    def place(self, first: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the target of the first block that each molecule overlaps, -1 if there is none.

        Args:
            first: Number of the first CpG of each molecule, `(R,)`.
            length: Number of its CpGs, `(R,)`.

        Example:
            >>> blocks = Blocks(np.array([5, 9]), np.array([7, 12]), np.array([1, 0]), ("a", "b"))
            >>> blocks.place(np.array([3, 4, 7, 8]), np.array([2, 2, 2, 9])).tolist()
            [-1, 1, -1, 0]
        """
        k = np.searchsorted(self.end, first, side="right")
        inside = k < len(self.end)
        k = np.minimum(k, len(self.end) - 1)
        return np.where(inside & (self.start[k] < first + length), self.target[k], -1)


def read_atlas(folder: Path, most: int, seed: int) -> Molecules:
    """Read the files of a folder, in memory that does not grow with their size.

    Args:
        folder: The folder.
        most: Most molecules of a sample that are kept; a uniform draw of those that overlap a
            block.
        seed: Seed of the draw.

    Raises:
        ValueError: If a name has another form, the files are of several genome builds, or a table
            lacks a column.
    """
    files = sorted(folder.glob("*.pat.gz"))
    matches = [_NAME.fullmatch(file.name) for file in files]
    for file, match in zip(files, matches, strict=True):
        if match is None:
            raise ValueError(
                f"{file} has not the form TISSUE-SAMPLE.BUILD.pat.gz, such as {NAMES}, from "
                "which the tissue, the sample and the genome build are read. Rename the file."
            )
    named = [match.groupdict() for match in matches if match is not None]
    tables = sorted(folder.glob("markers*.tsv"))
    _refuse_builds([(f.name, m["build"]) for f, m in zip(files, named, strict=True)], tables)
    blocks = _blocks(tables[0]) if tables else None
    if blocks is None:
        logger.warning("%s has no markers.tsv: the places of molecules are not told apart", folder)
    text, sample = [], []
    for number, file in enumerate(files):
        own = _drawn(file, blocks, most, np.random.default_rng([seed, number]))
        text.append(own)
        sample.append(np.full(len(own), number))
    names = np.array([m["sample"] for m in named])
    tissue = np.array([m["tissue"] for m in named])
    return Molecules(
        np.concatenate(text),
        np.concatenate(sample),
        names,
        _donors(folder, names),
        tissue,
        np.full(len(names), "WGBS"),
        blocks.names if blocks else (),
    )


def _refuse_builds(builds: list[tuple[str, str | None]], tables: list[Path]) -> None:
    """Raise a ValueError if CpGs are numbered in several genome builds."""
    stated = [(name, (build or "no build").lstrip(".").lower()) for name, build in builds]
    stated += [(t.name, m[1].lower()) for t in tables if (m := _BUILD.search(t.name))]
    for name, build in stated:
        if build != stated[0][1]:
            raise ValueError(
                f"{stated[0][0]} is of {stated[0][1]} and {name} of {build}; CpGs are numbered "
                "within one genome build. Keep the files of one build in a folder."
            )
    if len(tables) > 1:
        raise ValueError(
            f"There are several tables of blocks, {', '.join(t.name for t in tables)}; keep one."
        )


def _blocks(path: Path) -> Blocks:
    table = need("pandas", "parquet").read_csv(path, sep="\t")
    described = "startCpG, endCpG and target are those of the markers of UXM."
    expected_columns(path, table, ["startCpG", "endCpG", "target"], described)
    table = table.sort_values("startCpG", kind="stable")
    start, end = table["startCpG"].to_numpy(np.int64), table["endCpG"].to_numpy(np.int64)
    if (overlap := start[1:] < end[:-1]).any():
        k = int(np.argmax(overlap))
        raise ValueError(
            f"{path.name} has the blocks {start[k]} to {end[k]} and {start[k + 1]} to "
            f"{end[k + 1]}, which overlap; a molecule has one place. Drop one of them."
        )
    names, target = np.unique(table["target"].to_numpy(str), return_inverse=True)
    return Blocks(start, end, target, tuple(names.tolist()))


def _drawn(
    file: Path, blocks: Blocks | None, most: int, rng: np.random.Generator
) -> NDArray[np.str_]:
    """Draw molecules of a file without replacement, those of the smallest random keys."""
    text, key = np.empty(0, "<U1"), np.empty(0)
    for first, calls, count in _chunks(file):
        place, places = np.zeros(len(first), np.int64), 1
        if blocks is not None:
            place = blocks.place(first, np.char.str_len(calls))
            places = len(blocks.names)
        rows = np.repeat(np.arange(len(first)), np.where(place < 0, 0, count))
        text = np.concatenate([text, placed(calls[rows], place[rows], places)])
        key = np.concatenate([key, rng.random(len(rows))])
        if len(key) > most:
            kept = np.argpartition(key, most)[:most]
            text, key = text[kept], key[kept]
    if len(text) < 2:
        raise ValueError(
            f"{file.name} has {len(text)} molecules that overlap a block of the markers; a sample "
            "needs two at least. Are the markers of the same genome build?"
        )
    return text


def _chunks(
    file: Path, lines: int = 2**17
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.int64]]]:
    """Yield first CpGs, calls and counts of parts of a file."""
    rows = pat_lines(file)
    while part := list(islice(rows, lines)):
        _, first, calls, count = (np.array(c) for c in zip(*(r[:4] for r in part), strict=True))
        yield first.astype(np.int64), calls, count.astype(np.int64)


def _donors(folder: Path, names: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return the donor of each sample; the sample itself where there is no table."""
    path = folder / "samples.csv"
    if not path.is_file():
        logger.warning("%s has no samples.csv: every sample counts as a donor", folder)
        return names
    table = need("pandas", "parquet").read_csv(path, dtype=str)
    expected_columns(path, table, ["sample", "donor"], "A row a sample of the .pat.gz files.")
    donor = table.set_index("sample")["donor"].reindex(names)
    if donor.isna().any():
        name = names[int(np.argmax(donor.isna()))]
        raise ValueError(f"samples.csv has no donor of the sample {name!r}. Add its row.")
    return np.asarray(donor, str)
