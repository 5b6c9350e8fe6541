"""Read FASTA files: one sequence an entry, labelled by its header or by a table.

The id of an entry is its header up to the first blank. The columns of the atoms are `id`, `file`,
those that headers hold as [name=value] or by a pattern, and those of a table with one row a
sequence.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from distembed.data.alphabets import UnknownSymbolError
from distembed.data.labels import as_text
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.annotation import annotated, labelled
from distembed.data.readers.base import Request
from distembed.data.readers.files import files_of, labels_of
from distembed.data.readers.packed import lines_of
from distembed.data.readers.pattern import Pattern
from distembed.files import replacing

__all__ = ["Entries", "FastaReader", "read_fasta", "write_fasta"]

logger = logging.getLogger(__name__)

_STATED = re.compile(r"\[([^\[\]=]+)=([^\]]*)\]")
_NAMES = (".fasta", ".fa", ".faa", ".fna", ".ffn", ".fas")


@dataclass(frozen=True)
class Entries:
    """The entries of a FASTA file.

    Attributes:
        headers: Their headers, without `>`.
        sequences: Their sequences.
    """

    headers: list[str]
    sequences: list[str]

    @property
    def ids(self) -> list[str]:
        """Headers up to the first blank."""
        return [header.split(maxsplit=1)[0] if header else "" for header in self.headers]


@dataclass(frozen=True)
class FastaReader:
    """Reader of FASTA files.

    Attributes:
        header: FASTA: pattern of a header, such as "{id}|{country}|{year}", whose fields are
            columns.
        annotation: FASTA and 10x: a table with one row a sequence or a cell, joined on its id or
            barcode.
        key: FASTA and 10x: column of the annotation with the ids; where left out, the one that
            has most.
    """

    header: str | None = None
    annotation: str | Mapping[str, Any] | None = None
    key: str | None = None

    suffixes: ClassVar[tuple[str, ...]] = tuple(n + z for z in ("", ".gz", ".xz") for n in _NAMES)
    selection: ClassVar[str | None] = None

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return False: only files are FASTA."""
        return False

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read the sequences and their columns.

        Sequences without a value in a column of labels are left out, and their number is logged.

        Raises:
            FileNotFoundError, ImportError, ValueError: If a file cannot be read, an entry has no
                sequence or another header than the pattern, a symbol is not of the alphabet, or
                sequences have no row in the annotation.
        """
        files = files_of(source)
        entries = [read_fasta(file.path) for file in files]
        number = np.repeat(np.arange(len(files)), [len(part.headers) for part in entries])
        name = files[0].path.name if len(files) == 1 else str(source)
        columns = {"id": np.array([i for part in entries for i in part.ids])}
        _name_repeated(name, columns["id"])
        for label in files[0].labels:
            columns[label] = np.array([file.labels[label] for file in files])[number]
        columns |= self._fields(name, [header for part in entries for header in part.headers])
        exact: dict[str, np.ndarray] = {}
        if self.annotation is not None:
            columns, exact = annotated(name, columns, self.annotation, self.key, request)
        labels = request.labels or labels_of(source) or request.require_labels(source, columns)
        self._refuse_unknown(name, request.keep, columns)
        chosen = columns if request.meta is None else (*labels, *request.keep)
        kept = {n: columns[n] for n in chosen}
        try:
            sequences = [s for part in entries for s in part.sequences]
            x = (request.encode or request.sequences)(sequences)
        except UnknownSymbolError as error:
            raise ValueError(f"{name}, {str(columns['id'][error.row])!r}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        observations = Observations(x, kept, None, {n: v for n, v in exact.items() if n in kept})
        return labelled(name, observations, labels), labels

    def _fields(self, name: str, headers: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the fields of headers as columns.

        Where all headers hold the same names as [name=value], these are the fields, as in files
        of drawn sequences; a pattern is for other headers.
        """
        stated = [dict(_STATED.findall(header)) for header in headers]
        if stated[0] and all(row.keys() == stated[0].keys() for row in stated):
            return {field: np.array([row[field] for row in stated]) for field in stated[0]}
        if self.header is None:
            return {}
        pattern = Pattern(self.header)
        rows = []
        for header in headers:
            row = pattern.match(header)
            if row is None:
                raise ValueError(
                    f"{name} has the header {header!r}, which has not the form "
                    f"{self.header!r}. A field {{name}} is one character or more, and * is any "
                    "text."
                )
            rows.append(row)
        return {field: np.array([row[field] for row in rows]) for field in pattern.fields}

    def _refuse_unknown(self, name: str, names: Sequence[str], columns: Any) -> None:
        try:
            refuse_unknown(names, columns, "column")
        except ValueError as error:
            if self.annotation is not None:
                raise
            raise ValueError(
                f"{error} The columns of {name} are those of its headers; others come from "
                "a table with one row a sequence, annotation='metadata.tsv', or from a pattern "
                "of the headers, header='{id}|{country}'."
            ) from error


def _name_repeated(name: str, ids: np.ndarray) -> None:
    """Log ids that several entries have."""
    values, counts = np.unique(ids, return_counts=True)
    repeated = values[counts > 1]
    if len(repeated):
        logger.warning(
            "%s: %s of several entries, such as %r; each entry is an atom of its own",
            name, "1 id is that" if len(repeated) == 1 else f"{len(repeated)} ids are those",
            str(repeated[0]),
        )  # fmt: skip


def write_fasta(
    path: Path, labels: Mapping[str, np.ndarray], sequences: Sequence[Sequence[str]]
) -> int:
    """Write sequences of several sets, with their labels in the headers as [name=value].

    Args:
        path: The file.
        labels: Columns that name the set of each row of sequences, each `(B,)`.
        sequences: The sequences, `(B, n)`; empty ones are left out.

    Returns:
        The number of empty sequences.

    Raises:
        ValueError: If a label cannot stand in a header.
    """
    texts = {name: as_text(values).tolist() for name, values in labels.items()}
    for name, values in texts.items():
        if bad := [v for v in values if "]" in v or len(v.splitlines()) > 1]:
            raise ValueError(
                f"The label {bad[0]!r} of {name!r} holds a bracket or the end of a line, which a "
                "header of FASTA cannot hold as [name=value]. Write a table."
            )
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for b, drawn in enumerate(sequences):
            own = {name: values[b] for name, values in texts.items()}
            name = "_".join("|".join(own.values()).split())
            stated = " ".join(f"[{key}={value}]" for key, value in own.items())
            for number, sequence in enumerate(drawn):
                if sequence:
                    file.write(f">{name}.{number} {stated}\n{sequence}\n")
    return sum(not sequence for drawn in sequences for sequence in drawn)


def read_fasta(path: Path) -> Entries:
    """Read the headers and the sequences of a FASTA file, perhaps compressed by gzip or xz.

    Raises:
        ValueError: If it is damaged or no FASTA, holds no entry, or an entry has no sequence.
    """
    headers: list[str] = []
    parts: list[list[str]] = []
    with lines_of(path) as lines:
        for number, line in lines:
            if line.startswith(">"):
                headers.append(line[1:].strip())
                parts.append([])
            elif line and not parts:
                raise ValueError(
                    f"Line {number} of {path.name} is {line[:30]!r}; a FASTA file begins with the "
                    "header of an entry, which starts with '>'."
                )
            elif line:
                parts[-1].append(line)
    if not headers:
        raise ValueError(f"{path.name} holds no sequence: it has no line that starts with '>'.")
    for position, (header, part) in enumerate(zip(headers, parts, strict=True), 1):
        if not header:
            raise ValueError(f"Entry {position} of {path.name} has no id after '>'; name it.")
        if not part:
            raise ValueError(
                f"{path.name} has no sequence under {header!r}, entry {position}: an empty "
                "sequence is not a sample. Drop that entry; or is the file cut off?"
            )
    return Entries(headers, ["".join(part) for part in parts])
