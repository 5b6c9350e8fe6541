"""Choose how a source is read in parts."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distembed.data.observations import map_location
from distembed.data.readers.base import Request, choose_reader, suffix_of
from distembed.data.readers.cell_stream import CellStream
from distembed.data.readers.cells import CellReader
from distembed.data.readers.columns import TABLES
from distembed.data.readers.many_streams import ManyStreams
from distembed.data.readers.streams import MemoryStream, Stream, TableStream
from distembed.data.readers.table import TableReader
from distembed.data.store import is_store

__all__ = ["open_stream"]


def open_stream(source: Any, request: Request, options: Mapping[str, Any]) -> Stream:
    """Open a source as a stream.

    Args:
        source: A file, a list of files, a folder, a pattern of files, or an object in memory.
        request: What is read besides the atoms.
        options: Options of the reader.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: If it cannot be read.
    """
    files = _files(source)
    if files is None:
        return _in_memory(source, request, options)
    given = {k: v for k, v in options.items() if v is not None}
    suffixes = {suffix_of(file) in TABLES for file in files}
    if len(suffixes) > 1:
        raise ValueError(
            f"The files {files[0]}, ... are tables and others; a store is built of one kind. Give "
            "a narrower pattern."
        )
    by_file = not request.labels and len(files) > 1
    if not by_file:
        request.require_labels(files[0], [])
    streams: list[Stream] = []
    for file in files:
        reader = choose_reader(file, request.by, given)
        if isinstance(reader, TableReader):
            streams.append(TableStream(file, reader.columns, request))
        elif isinstance(reader, CellReader):
            streams.append(CellStream(file, reader, request))
        else:
            raise ValueError(f"{file} is a store already; read it, or name the source of it.")
    return streams[0] if len(streams) == 1 else ManyStreams(streams, by_file)


def _files(source: Any) -> list[Path] | None:
    """Return the files that a source names; None for an object in memory."""
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir() and not is_store(path):
            files = sorted(f for f in path.iterdir() if _readable(f))
            if not files:
                raise ValueError(
                    f"The folder {path} holds no file that can be read; expected "
                    f"{', '.join(TABLES)} or .h5ad."
                )
            return files
        if any(c in str(source) for c in "*?[") and not path.exists():
            files = sorted(Path(f) for f in glob.glob(str(source), recursive=True))
            if not files:
                raise FileNotFoundError(f"No file matches {source}.")
            return files
        return [path]
    paths = isinstance(source, list | tuple) and len(source) > 0
    if paths and all(isinstance(f, str | Path) and _readable(Path(f)) for f in source):
        return [Path(f) for f in source]
    return None


def _readable(path: Path) -> bool:
    return path.is_file() and suffix_of(path) in (*TABLES, ".h5ad")


def _in_memory(source: Any, request: Request, options: Mapping[str, Any]) -> MemoryStream:
    observations, by = choose_reader(source, request.by, options).read(source, request)
    location = map_location(observations.x)
    files = [] if location is None else [Path(location[0])]
    return MemoryStream(observations, by, request.meta, request.weights, files)
