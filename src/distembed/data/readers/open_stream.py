"""Choose how a source is read in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distembed.data.observations import map_location
from distembed.data.readers.base import Request, choose_reader, suffix_of
from distembed.data.readers.cell_stream import CellStream
from distembed.data.readers.cells import CellReader
from distembed.data.readers.columns import TABLES, open_table
from distembed.data.readers.files import FILE, files_of, is_pattern, labels_of
from distembed.data.readers.many_streams import ManyStreams
from distembed.data.readers.store import StoreReader
from distembed.data.readers.streams import MemoryStream, Stream, TableStream
from distembed.data.readers.table import TableReader
from distembed.data.readers.tenx import TenXReader
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
    if isinstance(source, str | Path) and not isinstance(
        choose_reader(files[0], request.by, given), TableReader | CellReader | StoreReader
    ):
        return _in_memory(source, request, given)  # files of sequences are small, or made so
    if fields := [name for name in labels_of(source) if name != FILE]:
        raise ValueError(
            f"The fields {', '.join(fields)} of {source} are no columns of a store, whose tables "
            "are read in parts. Write * in place of them, and name columns of the files in `by`."
        )
    by_file = not request.labels and len(files) > 1
    if not by_file:
        names = open_table(files[0]).names if suffix_of(files[0]) in TABLES else ()
        request.require_labels(files[0], names)
    streams: list[Stream] = []
    for file in files:
        reader = choose_reader(file, request.by, given)
        if isinstance(reader, TableReader):
            streams.append(TableStream(file, _columns(file, reader, request), request))
        elif isinstance(reader, CellReader):
            streams.append(CellStream(file, reader, request))
        else:
            raise ValueError(f"{file} is a store already; read it, or name the source of it.")
    return streams[0] if len(streams) == 1 else ManyStreams(streams, by_file)


def _columns(file: Path, reader: TableReader, request: Request) -> str | Sequence[str] | None:
    """Return the columns that a reader of tables chooses."""
    if reader.sequence is None:
        return reader.columns
    if request.encode is None:
        raise ValueError(
            f"{file} is read in parts, so that the alphabet of its sequences has to be stated: "
            "atoms={'name': 'tokens', 'alphabet': 'dna'}, or another one."
        )
    return reader.sequence


def _files(source: Any) -> list[Path] | None:
    """Return the files that a source names; None for what is read whole."""
    if isinstance(source, str | Path):
        path = Path(source)
        if TenXReader.accepts(path, None) or suffix_of(path) == ".zarr":
            return None
        if path.is_dir() and not is_store(path):
            files = sorted(f for f in path.iterdir() if _readable(f))
            if not files:
                raise ValueError(
                    f"The folder {path} holds no file that can be read; expected "
                    f"{', '.join(TABLES)} or .h5ad."
                )
            return files
        if is_pattern(source):
            return [file.path for file in files_of(source)]
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
