"""The reader protocol, the request that a reader answers, and the choice of a reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from distembed.data.observations import Observations
from distembed.data.readers import READERS
from distembed.data.readers.dialect import suffix
from distembed.data.readers.files import is_pattern
from distembed.data.sequence_encoder import SequenceEncoder
from distembed.registry import build, lookup, member_options

__all__ = ["Reader", "Request", "choose_reader", "suffix_of", "type_of"]

Encode = Callable[[Sequence[str]], np.ndarray]

_BY_PATTERN = ("table", "fasta", "pat", "fcs", "tenx", "pictures")
"""Readers of several files that one pattern names."""


@dataclass(frozen=True)
class Request:
    """What is read besides the atoms.

    Attributes:
        by: Column, or columns, of labels of sets; for one array, the label of each row.
        meta: Columns of metadata; all others where None.
        weights: Column of sampling weights.
        encode: Function from strings to tokens `(R, T)`; None where atoms are not stated to be
            tokens.
        sequences: The same for readers whose atoms are sequences in any case: it recognises the
            alphabet where none is stated.
        in_file: Whether atoms may stay in their file until they are asked for
            (`distembed.data.file_rows`), where the reader can.
    """

    by: Any = None
    meta: Sequence[str] | None = None
    weights: str | None = None
    encode: Encode | None = None
    sequences: SequenceEncoder = field(default_factory=SequenceEncoder)
    in_file: bool = False

    @property
    def labels(self) -> list[str]:
        """Names of the columns of labels."""
        if self.by is None or isinstance(self.by, np.ndarray):
            return []
        return [self.by] if isinstance(self.by, str) else list(self.by)

    @property
    def keep(self) -> list[str]:
        """Names of all columns that are requested."""
        return [*self.labels, *(self.meta or ()), *([self.weights] if self.weights else [])]

    def require_labels(self, source: Any, columns: Iterable[str]) -> list[str]:
        """Return the names of the columns of labels.

        Raises:
            ValueError: If there are none; the message lists the columns of the source.
        """
        if self.labels:
            return self.labels
        names = list(columns)
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        listed = f"; the columns are: {', '.join(map(repr, names[:8]))}{more}" if names else ""
        raise ValueError(
            f"{type_of(source)} needs `by`: the column that names the set of each row. Give "
            "--by COLUMN on the command line, data.by=COLUMN to `distembed fit`, or by=COLUMN in "
            f"Python{listed}."
        )


class Reader(Protocol):
    """A reader of one kind of source, a dataclass whose fields are its options.

    Every option has a default; None stands for an option that is not given.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """Suffixes of the files it reads."""

    @property
    def selection(self) -> str | None:
        """Name of the option that selects features by name, or None if there is none."""

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return whether it reads a source that is no file of its suffixes."""

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Return observations, and the names of the columns that label the sets."""


def choose_reader(source: Any, by: Any = None, values: Mapping[str, Any] | None = None) -> Reader:
    """Build the reader of a source.

    Args:
        source: A path or an object.
        by: Labels of the sets, by which a dict of columns differs from a dict of sets.
        values: Options of the reader; those that are None are left out.

    Raises:
        TypeError: If no reader accepts the source.
        ValueError: If no reader has the suffix of a file, or the reader has no such option.

    Example:
        >>> choose_reader("cells.csv", values={"columns": "PC*"})
        TableReader(columns='PC*', sequence=None)
    """
    readers: dict[str, Any] = {name: lookup(READERS, name, "reader") for name in READERS}
    own = suffix_of(source)
    folder = own is not None and Path(source).is_dir()
    several = folder or is_pattern(source)
    accepting = [
        name
        for name, reader in readers.items()
        if own in reader.suffixes
        or own is None
        and reader.accepts(source, by)
        or several
        and reader.accepts(Path(source), by)
    ]
    if not accepting and own is not None:
        suffixes = ", ".join(s for reader in readers.values() for s in reader.suffixes)
        if folder:
            raise ValueError(_of_folder(Path(source), readers))
        raise ValueError(f"{source} has no known format; expected {suffixes}.")
    if not accepting:
        raise TypeError(
            f"Sets cannot be read from an object of type {type(source).__name__}; give a path, "
            "AnnData, a data frame, or arrays."
        )
    name, values = accepting[0], {k: v for k, v in (values or {}).items() if v is not None}
    accepted = member_options(READERS, name, "reader")
    for option in values.keys() - accepted.keys():
        owners = [n for n in READERS if option in member_options(READERS, n, "reader")]
        other = f"it is an option of the reader {owners[0]!r}" if owners else "no reader has it"
        raise ValueError(
            f"{option!r} is no option for {type_of(source)}: {other}. The reader {name!r} takes: "
            f"{', '.join(accepted) or 'no options'}."
        )
    chosen: Reader = build(READERS, {"name": name, **values}, "reader")
    return chosen


def _pattern_within(folder: Path, readers: Mapping[str, Any]) -> Path | None:
    """Return a pattern of folders one to three levels below that a reader takes, as of 10x."""
    for levels in ("*/", "*/*/", "*/*/*/"):
        for inner in sorted(folder.glob(levels)):
            pattern = Path(folder, "*", *inner.relative_to(folder).parts[1:])
            if any(r.accepts(inner, None) and r.accepts(pattern, None) for r in readers.values()):
                return pattern
    return None


def _of_folder(folder: Path, readers: Mapping[str, Any]) -> str:
    """Write how the files of a folder are read: by a pattern, or as a store."""
    count = Counter(suffix(path) for path in folder.iterdir() if path.is_file())
    owner = {ending: name for name, reader in readers.items() for ending in reader.suffixes}
    endings = [ending for ending, _ in count.most_common() if ending in owner]
    if not endings:
        if inner := _pattern_within(folder, readers):
            return (
                f"{folder} is a folder of folders, each of which is read as one set or more. Name "
                f"them by a pattern, in quotes: '{inner}'."
            )
        return (
            f"{folder} is a folder without a store or a file of a known format. Name a file, or "
            f"a pattern of files such as '{folder}/*/*.csv'."
        )
    pattern = f"{folder}/*{endings[0]}"
    build_one = f"distembed data build '{pattern}' -o store"
    lead = f"{folder} is a folder, and holds no store."
    if owner[endings[0]] not in _BY_PATTERN:
        return f"{lead} Name one of its files, or build a store of all: {build_one} --by COLUMN."
    return (
        f"{lead} Name its files by a pattern, in quotes: '{pattern}', each a set with the name of "
        f"the file, or '{folder}/{{patient}}_{{day}}{endings[0]}' where names have such parts. "
        f"If they are larger than memory, build a store: {build_one}."
    )


def suffix_of(source: Any) -> str | None:
    """Return the suffix of a path as `suffix` writes it, or None for an object."""
    return suffix(source) if isinstance(source, str | Path) else None


def type_of(source: Any) -> str:
    """Write a source as a subject of messages: a path, or the type of an object."""
    return str(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"
