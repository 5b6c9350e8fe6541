"""Several files named by one pattern, such as `cells/*.csv` or `{mouse}_{tissue}.pat.gz`.

Each file is labelled by the column `file`, its name without the suffix, and by the fields of the
pattern (`distembed.data.readers.pattern`). Sets are then the files, or those of equal fields,
unless columns are named.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distembed.data.readers.dialect import suffix
from distembed.data.readers.pattern import Pattern

__all__ = ["FILE", "NamedFile", "files_of", "is_pattern", "labels_of"]

FILE = "file"
"""Name of the column of names of files."""
_FIELD = re.compile(r"\{\w+\}")


@dataclass(frozen=True)
class NamedFile:
    """A file and its labels.

    Attributes:
        path: Where it is.
        labels: Its name without the suffix, as `file`, and the fields of the pattern.
    """

    path: Path
    labels: Mapping[str, str]


def is_pattern(source: Any) -> bool:
    """Return whether a source is a pattern of paths, and not the path of a file.

    Example:
        >>> is_pattern("cells/*.csv"), is_pattern("{mouse}.pat.gz"), is_pattern("cells.csv")
        (True, True, False)
    """
    if not isinstance(source, str | Path) or os.path.lexists(source):
        return False
    return any(c in str(source) for c in "*?") or bool(_FIELD.search(str(source)))


def labels_of(source: Any) -> list[str]:
    """Return the columns by which the files of a pattern are divided into sets by default.

    Example:
        >>> labels_of("cells/*.csv"), labels_of("{mouse}_{tissue}.pat.gz")
        (['file'], ['mouse', 'tissue'])
    """
    if not is_pattern(source):
        return []
    return Pattern(str(source)).fields or [FILE]


def files_of(
    source: str | Path, accepts: Callable[[str | Path], object] = os.path.isfile
) -> list[NamedFile]:
    """Return the file of a path, or those of a pattern in the order of their names.

    Args:
        source: The path or the pattern.
        accepts: Whether a path that fits is one of them, such as a folder of one form.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a name has another form than the fields of the pattern.
    """
    if not is_pattern(source):
        path = Path(source)
        if not accepts(path):
            raise FileNotFoundError(f"There is no file {path}.")
        return [NamedFile(path, {FILE: _stem(path)})]
    text = Path(source).as_posix()
    wild = _FIELD.sub("*", text.replace("[", "[[]"))  # brackets are no pattern here
    names = sorted(filter(accepts, glob.glob(wild, recursive=True)))
    if not names:
        raise FileNotFoundError(
            f"No file has a name of the form {source}, searched from {Path.cwd()}. In a pattern * "
            "is any text, and {name} is a field."
        )
    paths = [Path(name) for name in names]
    stems = [_stem(path) for path in paths]
    if len(set(stems)) < len(stems):  # folders tell files of one name apart
        top = Path(os.path.commonpath([path.parent for path in paths]))
        stems = [(path.relative_to(top).parent / _stem(path)).as_posix() for path in paths]
    if not Pattern(text).fields:
        return [NamedFile(p, {FILE: stem}) for p, stem in zip(paths, stems, strict=True)]
    pattern, named = Pattern(text, within="/"), []
    for path, stem in zip(paths, stems, strict=True):
        fields = pattern.match(path.as_posix())
        if fields is None:
            raise ValueError(f"{path} has not the form {source}; name files of one form.")
        named.append(NamedFile(path, {FILE: stem, **fields}))
    return named


def _stem(path: Path) -> str:
    if path.is_dir():
        return path.resolve().name
    return path.name[: len(path.name) - len(suffix(path))]
