"""Files that are written: refused before long work, and then either the old one or the whole new.

On the command line a file that exists is left alone unless `--force` is given. What `fit`,
`evaluate`, `report` and `demo` keep under its standard name in their own folder is renewed.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distembed.registry import need

__all__ = [
    "claim",
    "claim_folder",
    "drop_temporaries",
    "parse_json",
    "replacing",
    "write_atomically",
    "writing",
]

_EXTRAS = {".parquet": ("pyarrow", "parquet"), ".h5ad": ("anndata", "anndata")}


def claim(
    path: str | Path, suffixes: Sequence[str] = (), force: bool = False, make: bool = False
) -> Path:
    """Check, before long work, that `path` can be written in the format that its suffix asks for.

    Args:
        path: The file.
        suffixes: Those there are; any where left out.
        force: Whether the file may exist.
        make: Whether to make its folder.

    Raises:
        ValueError: If the suffix is not one of `suffixes`.
        ImportError: If the format needs an extra that is not installed.
        OSError: If the file exists (without `force`), or its folder is missing or not writable.
    """
    path = Path(path)
    if suffixes and path.suffix not in suffixes:
        raise ValueError(
            f"{path} has the suffix {path.suffix!r}; the suffix chooses the format, one of "
            f"{', '.join(suffixes)}."
        )
    if path.suffix in _EXTRAS:
        need(*_EXTRAS[path.suffix])
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder; name a file", str(path))
    if path.exists() and not force:
        raise FileExistsError(errno.EEXIST, "exists; --force overwrites it", str(path))
    _check_writable(_nearest(path.parent) if make else path.parent)
    if make:
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def claim_folder(path: Path, ours: str, force: bool | None = None) -> Path:
    """Check, before long work, that a folder can be made or filled at `path`.

    Args:
        path: The folder; nothing is made yet.
        ours: A file whose presence shows that we made the folder.
        force: Whether a folder with other files in it may be written to; None where it never may.

    Raises:
        OSError: If the folder holds files that are not ours (without `force`), or cannot be
            written.
    """
    if path.is_dir() and not (path / ours).exists() and any(path.iterdir()) and not force:
        way_out = "name another folder"
        if force is not None:
            way_out = f"--force writes to it, or {way_out}"
        raise FileExistsError(
            errno.EEXIST, f"has files in it, but no {ours} of ours; {way_out}", str(path)
        )
    _check_writable(_nearest(path))
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside `path`, and let its file take the place of `path` if the block succeeds.

    Nothing is left of it otherwise, and no reader ever sees half a file.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def drop_temporaries(path: Path) -> None:
    """Remove what a process that was killed in `replacing` has left beside a file."""
    pattern = f".{glob.escape(path.stem)}.{'[0-9a-f]' * 8}{glob.escape(path.suffix)}"
    for temporary in path.parent.glob(pattern):
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, advice: str) -> Iterator[None]:
    """Name the file and the usual fix in the error of a block that writes it.

    Raises:
        OSError: If the block does, such as for a full disk.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"cannot be written ({reason}). {advice}"
        raise OSError(error.errno, text, str(path)) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, whole or not at all, also where the machine loses power."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def parse_json(text: str | bytes) -> Any:
    """Parse JSON of unknown origin.

    Raises:
        ValueError: If it is no JSON, or is nested more deeply than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply to be read") from error


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next((f for f in (folder, *folder.parents) if f.exists()), folder)


def _check_writable(folder: Path) -> None:
    if not folder.exists():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder; make it", str(folder))
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder; name another path", str(folder))
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise PermissionError(
            errno.EACCES, f"cannot be written to ({error.strerror})", str(folder)
        ) from error
