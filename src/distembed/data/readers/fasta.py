"""Read FASTA files: one sequence an entry, labelled by its header or by a table.

The id of an entry is its header up to the first blank. The columns of the atoms are `id`, the
fields of the header if it has a pattern, and the columns of a table with one row a sequence.
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.annotation import annotated, labelled
from distembed.data.readers.base import Request
from distembed.data.readers.bounds import refuse_inflated
from distembed.data.readers.pattern import Pattern
from distembed.data.tokens import UnknownSymbolError

__all__ = ["Entries", "FastaReader", "read_fasta"]

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
        annotation: FASTA: a table with one row a sequence, joined on the id of its header.
        key: FASTA: column of the annotation with the ids; where left out, the one that has most.
    """

    header: str | None = None
    annotation: str | None = None
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
        path = Path(source)
        entries = read_fasta(path)
        columns = {"id": np.array(entries.ids)} | self._fields(path, entries.headers)
        exact: dict[str, np.ndarray] = {}
        if self.annotation is not None:
            columns, exact = annotated(path.name, columns, self.annotation, self.key, request)
        labels = request.require_labels(source, columns)
        self._refuse_unknown(path, request.keep, columns)
        kept = columns if request.meta is None else {n: columns[n] for n in request.keep}
        try:
            x = (request.encode or request.sequences)(entries.sequences)
        except UnknownSymbolError as error:
            raise ValueError(f"{path.name}, {entries.ids[error.row]!r}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
        observations = Observations(x, kept, None, {n: v for n, v in exact.items() if n in kept})
        return labelled(path.name, observations, labels), labels

    def _fields(self, path: Path, headers: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the fields of headers as columns."""
        if self.header is None:
            return {}
        pattern = Pattern(self.header)
        rows = []
        for header in headers:
            row = pattern.match(header)
            if row is None:
                raise ValueError(
                    f"{path.name} has the header {header!r}, which has not the form "
                    f"{self.header!r}. A field {{name}} is one character or more, and * is any "
                    "text."
                )
            rows.append(row)
        return {name: np.array([row[name] for row in rows]) for name in pattern.fields}

    def _refuse_unknown(self, path: Path, names: Sequence[str], columns: Any) -> None:
        try:
            refuse_unknown(names, columns, "column")
        except ValueError as error:
            if self.annotation is not None:
                raise
            raise ValueError(
                f"{error} The columns of {path.name} are those of its headers; others come from "
                "a table with one row a sequence, annotation='metadata.tsv', or from a pattern "
                "of the headers, header='{id}|{country}'."
            ) from error


def read_fasta(path: Path) -> Entries:
    """Read the headers and the sequences of a FASTA file, perhaps compressed by gzip or xz.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or no FASTA, holds no entry, or an entry has no sequence.
    """
    headers: list[str] = []
    parts: list[list[str]] = []
    size = 0
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            size += len(line)
            if number % 2**16 == 0:
                refuse_inflated(path, size, "its content", "Unpack it first, if that is right.")
            text = line.strip()
            if text.startswith(">"):
                headers.append(text[1:].strip())
                parts.append([])
            elif text and not parts:
                raise ValueError(
                    f"Line {number} of {path.name} is {text[:30]!r}; a FASTA file begins with the "
                    "header of an entry, which starts with '>'."
                )
            elif text:
                parts[-1].append(text)
    if not headers:
        raise ValueError(f"{path.name} holds no sequence: it has no line that starts with '>'.")
    for position, (header, lines) in enumerate(zip(headers, parts, strict=True), 1):
        if not header:
            raise ValueError(f"Entry {position} of {path.name} has no id after '>'; name it.")
        if not lines:
            raise ValueError(
                f"{path.name} has no sequence under {header!r}, entry {position}: an empty "
                "sequence is not a sample. Drop that entry; or is the file cut off?"
            )
    return Entries(headers, ["".join(lines) for lines in parts])


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """Open a text file, perhaps compressed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or no text.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    opening: Any = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix.lower(), open)
    try:
        with opening(path, "rt", encoding="utf-8-sig") as file:
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise ValueError(
            f"{path.name} is damaged, cut off or not compressed as its name says: {error}. Copy "
            "it again."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is no text in UTF-8: {error}.") from error
