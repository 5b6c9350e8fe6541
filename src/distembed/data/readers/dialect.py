"""How a text table is written: its compression, encoding, delimiter and decimal sign.

| property | rule |
|---|---|
| compression | `.gz` is unpacked as it is read |
| encoding | UTF-8, or UTF-16 with its byte order mark; other bytes are refused by line |
| delimiter | that of the suffix (`.csv` a comma, `.tsv` a tab) if it divides the header; \
otherwise the only one of comma, semicolon and tab that divides all of the first lines alike |
| decimal sign | a point; a comma where the delimiter is another and some number can only be \
read so (`0,5`, not `1,234`): one of the column, or of the file if it has no number with a point |
"""

from __future__ import annotations

import csv
import gzip
import logging
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from distembed.data.readers.bounds import refuse_inflated

__all__ = ["SUFFIXES", "Dialect", "comma_number", "decimal_commas", "dialect_of", "suffix"]

logger = logging.getLogger(__name__)

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": ""}
SUFFIXES = tuple(s + gz for gz in ("", ".gz") for s in _DELIMITERS)
"""Suffixes of text tables."""
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}
_COMMA = re.compile(r"\s*[+-]?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]+)?\s*")
_ONLY_DECIMAL = re.compile(r"\s*[+-]?(?:0,[0-9]+|[0-9]+,(?:[0-9]{1,2}|[0-9]{4,})(?:[eE].*)?)\s*")
_POINT = re.compile(r"\s*[+-]?[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?\s*")


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    Attributes:
        path: The file.
        delimiter: Character between fields.
        encoding: Name of the encoding.
        commas: Whether numbers with commas have decimals, in every column.
        both: Whether some numbers have decimal commas, and some have points.
    """

    path: Path
    delimiter: str
    encoding: str
    commas: bool = False
    both: bool = False

    @property
    def packed(self) -> bool:
        """Whether the file is compressed by gzip."""
        return self.path.suffix.lower() == ".gz"

    @contextmanager
    def open(self) -> Iterator[IO[str]]:
        """Open the file as text, with its line ends as they are.

        Raises:
            ValueError: If it is not text in this encoding, or damaged.
        """
        options: Any = {"newline": "", "encoding": self.encoding}
        path = self.path
        try:
            with gzip.open(path, "rt", **options) if self.packed else path.open(**options) as file:
                yield file
        except UnicodeDecodeError as error:
            raise ValueError(_foreign(path, self.packed)) from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path.name} is damaged or is not gzip: {error}") from error
        except csv.Error as error:
            raise ValueError(f"{path.name} is damaged: {error}.") from error

    def rows(self, file: IO[str]) -> Any:
        """Return a reader of the fields of each line."""
        return csv.reader(file, delimiter=self.delimiter)


def suffix(path: str | Path) -> str:
    """Return the suffix of a file in small letters, with that of its compression.

    Example:
        >>> suffix("a/reads.v2.CSV.gz"), suffix("t.parquet")
        ('.csv.gz', '.parquet')
    """
    *_, name = Path(path).parts or ("",)
    # MNIST is published as train-images-idx3-ubyte, and unpacked as train-images.idx3-ubyte
    last = Path(re.sub(r"-(?=idx\d-ubyte)", ".", name.lower()))
    packed = last.suffix in (".gz", ".xz")
    return Path(last.stem).suffix + last.suffix if packed else last.suffix


def dialect_of(path: Path, head: int = 1000) -> Dialect:
    """Recognise how a text table is written, from its first lines.

    Raises:
        ValueError: If its encoding or its delimiter cannot be recognised.
    """
    packed = path.suffix.lower() == ".gz"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            start = file.read(4096)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path.name} is damaged or is not gzip: {error}") from error
    utf16 = start[:2] in (b"\xff\xfe", b"\xfe\xff")
    if b"\0" in start and not utf16:
        raise ValueError(
            f"{path.name} is no text in UTF-8: there are zero bytes at its start. It may be "
            "UTF-16 without a mark, or a binary file; save it as UTF-8."
        )
    dialect = Dialect(path, ",", "utf-16" if utf16 else "utf-8-sig")
    if dialect.packed:
        _check_packed(path)
    with dialect.open() as file:
        lines = [line for line, _ in zip(file, range(head), strict=False)]
    dialect = replace(dialect, delimiter=_delimiter(path, lines))
    if dialect.delimiter == ",":
        return dialect
    fields = [value for row in csv.reader(lines[1:], delimiter=dialect.delimiter) for value in row]
    commas, points = decimal_commas(fields), any(map(_POINT.fullmatch, fields))
    return replace(dialect, commas=commas and not points, both=commas and points)


def comma_number(text: str) -> bool:
    """Return whether a word is a number with one comma, of decimals or of thousands."""
    return _COMMA.fullmatch(text) is not None


def decimal_commas(fields: Iterable[str]) -> bool:
    """Return whether some number with a comma can only have decimals after it.

    Example:
        >>> decimal_commas(["1,234", "7"]), decimal_commas(["1,234", "0,5"])
        (False, True)
    """
    return any(comma_number(v) and _ONLY_DECIMAL.fullmatch(v) for v in fields)


def _delimiter(path: Path, lines: Sequence[str]) -> str:
    """Return the character between fields."""
    own = _DELIMITERS[suffix(path).removesuffix(".gz")]
    header = lines[0] if lines else ""
    if own and len(next(csv.reader([header], delimiter=own), [])) > 1:
        return own
    fitting = []
    for delimiter in _NAMES:
        widths = {len(row) for row in csv.reader(lines, delimiter=delimiter) if row}
        if len(widths) == 1 and widths != {1}:
            fitting.append(delimiter)
    if len(fitting) == 1:
        logger.info("%s: columns are divided by %s", path.name, _NAMES[fitting[0]])
        return fitting[0]
    if fitting or not own:
        names = " and by ".join(_NAMES[d] for d in fitting)
        what = (
            f"can be divided by {names}" if fitting else "is divided by no comma, semicolon or tab"
        )
        raise ValueError(
            f"The columns of {path.name} cannot be recognised: its first line, {header[:40]!r}, "
            f"{what}. Write it as .csv, with commas, or as .tsv, with tabs."
        )
    return own


def _check_packed(path: Path, piece: int = 2**20) -> None:
    """Check that a compressed file is whole, and does not grow without measure."""
    size = 0
    try:
        with gzip.open(path) as file:
            while part := file.read(piece):
                size += len(part)
                refuse_inflated(path, size, "its content", "Unpack it first, if that is right.")
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path.name} is damaged or is not gzip: {error}") from error


def _foreign(path: Path, packed: bool) -> str:
    """Write a message for the first line that is not UTF-8."""
    with gzip.open(path) if packed else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                around = line[max(0, error.start - 10) : error.start + 10]
                return (
                    f"Line {number} of {path.name} is no UTF-8: byte {line[error.start]:#04x}, "
                    f"which is {around.decode('latin-1').strip()!r} in Latin-1. Save the file as "
                    "UTF-8, such as by iconv -f LATIN1 -t UTF-8."
                )
    return f"{path.name} is damaged: it is no text in the encoding that its first bytes state."
