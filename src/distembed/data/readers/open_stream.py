"""Choose how a source is read in parts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from distembed.data.file_rows import FileRows, NotByRows
from distembed.data.mapped import memory_of_machine
from distembed.data.observations import Observations, map_location
from distembed.data.readers.base import Request, choose_reader, suffix_of
from distembed.data.readers.cells import CellReader, read_cells
from distembed.data.readers.columns import TABLES, open_table
from distembed.data.readers.files import FILE, files_of, is_pattern, labels_of
from distembed.data.readers.many_streams import ManyStreams
from distembed.data.readers.multimodal import MuDataReader
from distembed.data.readers.store import StoreReader
from distembed.data.readers.stored_matrix import files_at
from distembed.data.readers.streams import MemoryStream, Stream, TableStream
from distembed.data.readers.table import TableReader
from distembed.data.readers.tenx import TenXReader
from distembed.data.store import is_store

__all__ = ["open_stream"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


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
            streams.append(_of_cells(file, reader, request))
        else:
            raise ValueError(f"{file} is a store already; read it, or name the source of it.")
    if len(streams) == 1:
        return streams[0]
    return ManyStreams(streams, files, by_file)


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
        if TenXReader.accepts(path, None):
            return None
        if path.is_dir() and not is_store(path) and suffix_of(path) != ".zarr":
            # without such files the refusal of the folder names the pattern of what it holds
            return sorted(f for f in path.iterdir() if _readable(f)) or None
        if is_pattern(source):
            return [file.path for file in files_of(source, _is_source)]
        return [path]
    paths = isinstance(source, list | tuple) and len(source) > 0
    if paths and all(isinstance(f, str | Path) and _readable(Path(f)) for f in source):
        return [Path(f) for f in source]
    return None


def _is_source(path: str | Path) -> bool:
    return Path(path).is_file() or suffix_of(path) == ".zarr"


def _readable(path: Path) -> bool:
    return _is_source(path) and suffix_of(path) in (*TABLES, ".h5ad", ".zarr")


def _of_cells(path: Path, reader: CellReader, request: Request) -> Stream:
    """Open cells whose atoms stay in the file."""
    if reader.sequence is not None:
        return _in_memory(path, request, {"sequence": reader.sequence})
    keep = None if request.meta is None else request.keep

    def read(in_file: bool) -> Observations:
        options: dict[str, Any] = {"obsm": reader.obsm, "genes": reader.genes, "keep": keep}
        return read_cells(path, layer=reader.layer, in_file=in_file, **options)

    cells = _in_file_or_memory(read)
    files = cells.x.files if isinstance(cells.x, FileRows) else files_at(path)
    return MemoryStream(cells, request.labels, request.meta, request.weights, files, True)


def _in_memory(source: Any, request: Request, options: Mapping[str, Any]) -> MemoryStream:
    """Open a source whose annotation is held in memory, and its atoms where they have to be."""
    reader = choose_reader(source, request.by, options)
    observations, by = _in_file_or_memory(
        lambda in_file: reader.read(source, replace(request, in_file=in_file))
    )
    location, files = map_location(observations.x), list[Path]()
    if isinstance(observations.x, FileRows):
        # the tables that are read beside it, too
        tables = [getattr(reader, name, None) for name in ("annotation", "boxes")]
        files = [*observations.x.files, *(Path(t) for t in tables if isinstance(t, str | Path))]
    elif location is not None:
        files = [Path(location[0])]
    of_cells = isinstance(reader, CellReader | MuDataReader)
    return MemoryStream(observations, by, request.meta, request.weights, files, of_cells)


def _in_file_or_memory(read: Callable[[bool], T], share: float = 0.5) -> T:
    """Read with atoms in their file; in memory, with a warning, if the file does not allow that.

    Raises:
        NotByRows: If it does not, and they take more than that share of the memory.
    """
    try:
        return read(True)
    except NotByRows as error:
        if error.size > share * memory_of_machine():
            raise
        logger.warning("%s It is read whole now.", error)
        return read(False)
