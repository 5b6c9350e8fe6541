"""A store: a folder that holds sets as ranges of one array, opened without being read.

| File | Content |
|---|---|
| `x.npy` | atoms `(N, *event)`, set after set |
| `w.npy` | weights `(N,)` float64 that sum to one in every set; absent where they are equal |
| `sets.npz` | `ids (S,)`, `offsets (S + 1,)`, columns of metadata `meta0`, `meta1`, ... `(S,)` |
| `projection.npz` | the projection by which atoms were made, where there is one |
| `store.json` | kind of atoms, names, sizes and hashes of the files above, and of the source |

`store.json` is written last, into a folder that is then renamed: a build that is killed leaves
nothing that opens. Opening compares sizes; `check_store` compares hashes.

A plain array was chosen by measurement: of 500 x 50 numbers, one range takes 8 us from a memory
map, 27 times as long from Parquet, 45 times from uncompressed Zarr with one chunk a set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from distembed.files import parse_json, write_atomically

__all__ = [
    "FORMAT",
    "VERSION",
    "Store",
    "check_store",
    "file_records",
    "is_store",
    "load_arrays",
    "open_store",
    "write_header",
]

HEADER = "store.json"
FORMAT = "distembed store"
VERSION = 1
FILES = ("x.npy", "w.npy", "sets.npz", "projection.npz")
_REBUILD = "Build the store again from its source: distembed data build ... --force."


@dataclass(frozen=True)
class Store:
    """An open store.

    Attributes:
        path: The folder.
        header: Content of `store.json`.
        x: Atoms, a memory map `(N, *event)`.
        w: Weights, a memory map `(N,)`; None if they are equal.
        ids: Name of each set, `(S,)`.
        offsets: Where each set starts and ends, `(S + 1,)`.
        meta: Columns of metadata, each `(S,)`.
    """

    path: Path
    header: Mapping[str, Any]
    x: np.memmap[Any, Any]
    w: np.memmap[Any, Any] | None
    ids: np.ndarray
    offsets: np.ndarray
    meta: Mapping[str, np.ndarray]

    @property
    def by(self) -> list[str]:
        """Names of the columns by which the sets were made."""
        return list(self.header["by"])

    @property
    def features(self) -> tuple[str, ...] | None:
        """Names of the features, where atoms are vectors with names."""
        names = self.header["features"]
        return None if names is None else tuple(names)


def is_store(source: Any) -> bool:
    """Return whether a source is the path of a folder that holds a store."""
    return isinstance(source, str | Path) and (Path(source) / HEADER).is_file()


def open_store(path: str | Path) -> Store:
    """Open a store; atoms and weights are read when they are asked for.

    Raises:
        FileNotFoundError: If there is no store.
        ValueError: If it is of another version, or damaged.
    """
    path = Path(path)
    header = _header(path)
    for name, record in header["files"].items():
        size = (path / name).stat().st_size if (path / name).is_file() else None
        if size != record["bytes"]:
            have = "is missing" if size is None else f"has {size} bytes"
            raise ValueError(
                f"The store {path} is damaged: {name} {have}, and {record['bytes']} were written. "
                f"Copy it again, or: {_REBUILD}"
            )
    try:
        x = np.load(path / "x.npy", mmap_mode="r", allow_pickle=False)
        weighted = "w.npy" in header["files"]
        w = np.load(path / "w.npy", mmap_mode="r", allow_pickle=False) if weighted else None
        arrays = load_arrays(path / "sets.npz")
        meta = {name: arrays[f"meta{i}"] for i, name in enumerate(header["meta"])}
        store = Store(path, header, x, w, arrays["ids"], arrays["offsets"], meta)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"The store {path} is damaged: {error}. {_REBUILD}") from error
    _check_layout(store)
    return store


def check_store(path: str | Path, source: bool = True) -> None:
    """Compare the content of a store, and of the files that it was built from, with their hashes.

    Args:
        path: The store.
        source: Whether to compare the source too; files that are no longer there are an error.

    Raises:
        FileNotFoundError: If there is no store, or a file of the source is missing.
        ValueError: If the store is damaged, or its source has changed since it was built.
    """
    store = open_store(path)
    for name, record in store.header["files"].items():
        if _digest(store.path / name) != record["sha256"]:
            raise ValueError(
                f"The store {path} is damaged: the content of {name} is not what was written. "
                f"Copy it again, or: {_REBUILD}"
            )
    for record in store.header["source"] if source else ():
        file = Path(record["path"])
        if not file.is_file():
            raise FileNotFoundError(
                f"The source {file} of the store {path} is not there; to check the store alone, "
                "leave the source out: distembed data check --no-source."
            )
        if file.stat().st_size != record["bytes"] or _digest(file) != record["sha256"]:
            raise ValueError(
                f"{file.name} has changed since the store {path} was built of it. {_REBUILD}"
            )


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an `.npz` file that takes no more memory than it has bytes.

    Raises:
        ValueError: If it is damaged, holds objects, or is compressed, as no store is.
    """
    try:
        with ZipFile(path) as file:
            packed = [entry.filename for entry in file.infolist() if entry.compress_type]
        if packed:
            raise ValueError(f"{path.name}: {packed[0]} is compressed, and none was written so")
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except BadZipFile as error:
        raise ValueError(f"{path.name}: {error}") from error


def file_records(paths: Iterable[Path], relative: bool = False) -> list[dict[str, Any]]:
    """Return path, size and hash of files, or their names where `relative`."""
    return [
        {
            "path": path.name if relative else str(path.resolve()),
            "bytes": path.stat().st_size,
            "sha256": _digest(path),
        }
        for path in paths
    ]


def write_header(folder: Path, header: Mapping[str, Any]) -> None:
    """Write `store.json`, with the records of the other files of a folder."""
    files = file_records([folder / n for n in FILES if (folder / n).exists()], relative=True)
    content = {
        "format": FORMAT,
        "version": VERSION,
        **header,
        "files": {record.pop("path"): record for record in files},
    }
    write_atomically(folder / HEADER, json.dumps(content, indent=1) + "\n")


def _header(path: Path) -> dict[str, Any]:
    file = path / HEADER
    if not path.exists():
        raise FileNotFoundError(f"There is no store {path} (from {Path.cwd()}).")
    if not file.is_file():
        raise FileNotFoundError(
            f"{path} is no store: it has no {HEADER}. Build one: distembed data build SOURCE -o "
            f"{path} --by COLUMN."
        )
    try:
        header = parse_json(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"The store {path} is damaged: {HEADER}: {error}. {_REBUILD}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"{path} is no store: its {HEADER} does not name the format {FORMAT!r}.")
    if header.get("version") != VERSION:
        raise ValueError(
            f"The store {path} has version {header.get('version')!r}, and this package reads "
            f"version {VERSION}. {_REBUILD}"
        )
    records = header.get("files")
    fields = {"atoms": dict, "by": list, "meta": list, "files": dict, "source": list}
    if any(not isinstance(header.get(name), kind) for name, kind in fields.items()) or (
        not isinstance(records, dict) or not set(records) <= set(FILES) or "x.npy" not in records
    ):
        raise ValueError(f"The store {path} is damaged: {HEADER} lacks a field. {_REBUILD}")
    return header


def _check_layout(store: Store) -> None:
    """Refuse arrays that do not belong together."""
    n, s = len(store.x), len(store.ids)
    fits = (
        isinstance(store.x, np.memmap)
        and store.x.dtype.kind in "biuf"
        and store.offsets.dtype == np.int64
        and store.offsets.shape == (s + 1,)
        and (store.offsets[0], store.offsets[-1]) == (0, n)
        and (store.w is None or store.w.shape == (n,) and store.w.dtype == np.float64)
        and all(column.shape == (s,) for column in store.meta.values())
    )
    if not fits:
        raise ValueError(
            f"The store {store.path} is damaged: its arrays, of {n} atoms and {s} sets, do not "
            f"belong together. {_REBUILD}"
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
