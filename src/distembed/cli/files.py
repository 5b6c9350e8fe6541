"""Files that a verb writes: refused before long work, and never half-written.

The rule: a file that exists is left alone unless `--force` is given. What `fit`, `evaluate`,
`report` and `demo` keep under its standard name in their own folder is renewed.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from distembed.registry import need

__all__ = ["claim", "claim_folder", "replacing", "write_text"]

_EXTRAS = {".parquet": ("pyarrow", "parquet"), ".h5ad": ("anndata", "anndata")}


def claim(path: Path, suffixes: Sequence[str], force: bool = False) -> Path:
    """Check, before long work, that `path` can be written in the format that its suffix asks for.

    Raises:
        ValueError: If the suffix is not one of `suffixes`.
        ImportError: If the format needs an extra that is not installed.
        OSError: If the file exists (without `force`), or its folder is missing or not writable.
    """
    if path.suffix not in suffixes:
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
    _check_writable(path.parent)
    return path


def claim_folder(path: Path, ours: str, force: bool = False) -> Path:
    """Check, before long work, that a folder can be made or filled at `path`.

    Args:
        path: The folder; nothing is made yet.
        ours: A file whose presence shows that we made the folder.
        force: Whether a folder with other files in it may be written to.

    Raises:
        OSError: If the folder holds files that are not ours (without `force`), or cannot be
            written.
    """
    if path.is_dir() and not (path / ours).exists() and any(path.iterdir()) and not force:
        raise FileExistsError(
            errno.EEXIST, f"has files in it, but no {ours} of ours; name another", str(path)
        )
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    _check_writable(nearest)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, and move it there if the block succeeds."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _check_writable(folder: Path) -> None:
    if not folder.exists():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(folder))
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder", str(folder))
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise PermissionError(
            errno.EACCES, f"cannot be written to ({error.strerror})", str(folder)
        ) from error
