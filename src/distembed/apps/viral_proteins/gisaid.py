"""Proteins of a FASTA file of GISAID, of which only the first of each set are kept.

A header has eleven fields divided by `|`, such as

    Spike|hCoV-19/Wuhan/WIV04/2019|2019-12-30|EPI_ISL_402124|Original|hCoV-19^^Wuhan|Human|
    Wuhan Jinyintan Hospital|Wuhan Institute of Virology|Shi|China

(in one line). A set is month, originating laboratory and country. Entries of another number of
fields, or without year and month, are left out, and their number is logged. Names of laboratories
may be no UTF-8.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distembed.data.readers.packed import lines_of

__all__ = ["Entry", "read_gisaid"]

logger = logging.getLogger(__name__)

_FIELDS = 11
_DATE = re.compile(r"(?P<year>\d{4})-(?P<month>0[1-9]|1[0-2])(-(?P<day>\d{2}))?")


@dataclass(frozen=True)
class Entry:
    """A protein, its set, its date as a decimal year, and its country."""

    sequence: str
    group: str
    date: float
    country: str


def read_gisaid(file: Path, most: int, described: str) -> list[Entry]:
    """Read the first proteins of each set, in memory that does not grow with the others.

    Args:
        file: The FASTA file.
        most: Most proteins of a set.
        described: What is expected, for the error.

    Raises:
        ValueError: If no header has the form of GISAID.
    """
    entries: list[Entry] = []
    taken: Counter[str] = Counter()
    fields_wrong = dates_wrong = 0
    first = ""
    for header, sequence in _entries(file):
        first = first or header
        fields = header.split("|")
        if len(fields) != _FIELDS:
            fields_wrong += 1
            continue
        date, laboratory, country = fields[2], fields[7], fields[10]
        match = _DATE.fullmatch(date)
        if match is None:
            dates_wrong += 1
            continue
        group = f"{date[:7]}|{laboratory}|{country}"
        if taken[group] >= most:
            continue
        taken[group] += 1
        day = int(match["day"] or 0) or 15  # a day that is not known is 00
        year = int(match["year"]) + (int(match["month"]) - 1 + (day - 1) / 31) / 12
        entries.append(Entry(sequence.rstrip("*").upper(), group, year, country))
    if not entries:
        raise ValueError(
            f"{file.name} has no header of GISAID with a month; its first is {first[:80]!r}. "
            f"Expected is {described}"
        )
    if fields_wrong or dates_wrong:
        logger.warning(
            "%s: left out %d proteins whose header has not %d fields, and %d without a month",
            file.name, fields_wrong, _FIELDS, dates_wrong,
        )  # fmt: skip
    return entries


def _entries(file: Path) -> Iterator[tuple[str, str]]:
    """Yield headers and sequences one after another."""
    header, parts = "", list[str]()
    with lines_of(file, errors="replace") as lines:
        for _, line in lines:
            if line.startswith(">"):
                if header:
                    yield header, "".join(parts)
                header, parts = line[1:], []
            elif header:
                parts.append(line)
    if header:
        yield header, "".join(parts)
