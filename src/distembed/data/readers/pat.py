"""Read .pat files: patterns of methylation, one line a distinct molecule at a CpG.

A line has four columns, divided by tabs: chromosome, number of the first CpG (from 1), pattern and
count. A pattern has one symbol a CpG: `C` methylated, `T` unmethylated, `.` not covered. A pattern
of count n is n atoms, because sampling errors depend on the number of molecules.

| wgbstools (Loyfer et al., Nature Communications, 2024)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from distembed.data.alphabets import ALPHABETS
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.base import Request
from distembed.data.readers.files import FILE, files_of, labels_of
from distembed.data.readers.packed import lines_of

__all__ = ["PatReader", "pat_lines"]


@dataclass(frozen=True)
class PatReader:
    """Reader of .pat files, each of which is a set unless columns are named."""

    suffixes: ClassVar[tuple[str, ...]] = (".pat", ".pat.gz")
    selection: ClassVar[str | None] = None

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return False: only files are patterns of methylation."""
        return False

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read molecules, with the columns `chrom`, `cpg` and those of their file.

        Raises:
            FileNotFoundError, ValueError: If a file cannot be read, or a line has another form.
        """
        from distembed.data.tokens import Tokens

        chrom, cpg, patterns, count, file = [], [], [], [], []
        named = files_of(source)
        for number, one in enumerate(named):
            for fields in pat_lines(one.path):
                chrom.append(fields[0])
                cpg.append(int(fields[1]))
                patterns.append(fields[2])
                count.append(int(fields[3]))
                file.append(number)
        columns = {"chrom": np.array(chrom), "cpg": np.array(cpg)}
        for name in named[0].labels:
            columns[name] = np.array([one.labels[name] for one in named])[file]
        labels = request.labels or labels_of(source) or [FILE]
        refuse_unknown([*labels, *request.keep], columns, "column")
        chosen = columns if request.meta is None else [*labels, *request.keep]
        kept = {n: columns[n] for n in chosen}
        molecules = np.repeat(np.arange(len(count)), count)
        if request.sequences.space is None:
            request.sequences.space = Tokens("methylation")
        x = (request.encode or request.sequences)(patterns)
        return Observations(x[molecules], {n: v[molecules] for n, v in kept.items()}), labels


def pat_lines(path: Path) -> Iterator[list[str]]:
    """Yield the four fields of each line of a .pat file, as text.

    Raises:
        ValueError: If a line has another form, or there is none.
    """
    any_line = False
    symbols = set(ALPHABETS["methylation"].symbols)
    with lines_of(path) as lines:
        for number, line in lines:
            fields = line.split("\t")
            if not line or line.startswith("#"):
                continue
            valid = (
                len(fields) >= 4
                and fields[1].isdecimal()
                and fields[3].isdecimal()
                and int(fields[3]) > 0
                and set(fields[2]) <= symbols
                and fields[2]
            )
            if not valid:
                raise ValueError(
                    f"Line {number} of {path.name} is {line[:60]!r}; a line of a .pat file has "
                    "chromosome, number of the CpG, pattern of C, T and '.', and count, divided "
                    "by tabs."
                )
            any_line = True
            yield fields
    if not any_line:
        raise ValueError(f"{path.name} has no line; there is no molecule to read.")
