"""Build a store: any source, sorted by set, without holding it in memory.

A first pass counts the atoms of every set, so that the place of each set is known; a second one,
where atoms are projected, fits the projection; the last one writes every atom to its place. Memory
is one part of the source, a record a set, and, for `.h5ad`, the annotation of the cells.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from distembed.data.readers.base import Request
from distembed.data.readers.columns import column_names, read_columns
from distembed.data.readers.measured import MeasuredStream
from distembed.data.readers.open_stream import open_stream
from distembed.data.sequence_encoder import SequenceEncoder
from distembed.data.spaces import Vectors, as_space, with_missing
from distembed.data.store import is_store
from distembed.protocols import AtomSpace
from distembed.sets.collection import Sets
from distembed.sets.passes import Passes
from distembed.sets.projection import Projection, Recipe, read_projection
from distembed.sets.stored import read_store

__all__ = ["build_store"]


def build_store(
    source: Any,
    path: str | Path,
    by: str | Sequence[str] | np.ndarray | None = None,
    columns: str | Sequence[str] | None = None,
    *,
    atoms: str | Mapping[str, Any] | AtomSpace | None = None,
    meta: str | Sequence[str] | None = None,
    metadata: Any = None,
    weights: str | None = None,
    min_size: int = 2,
    pca: int | None = None,
    target_sum: float | None = None,
    log1p: bool = False,
    like: str | Path | None = None,
    force: bool = False,
    memory: int = 2**26,
    missing: Literal["refuse", "mask"] = "refuse",
    **options: Any,
) -> Sets:
    """Write a source to a store, sorted by set, and open it.

    The sets are those of `distembed.read` with the same arguments.

    Args:
        source: As of `distembed.read`. Text, Parquet and `.h5ad` files are read in parts; so are
            several, which are a list, a folder, or a pattern such as "cells/*.parquet".
        path: Folder of the store.
        by: Column, or columns, of labels. Where it is left out for several files, each is a set
            with the name of its file.
        columns: Feature columns of a table, by name or pattern; needed for files of tables.
        atoms: The kind of atoms; recognised where left out.
        meta: Columns of metadata; all that are constant within sets where left out.
        metadata: A second table, one row a set, joined on `by`; for arrays on a column "set".
        weights: Column of sampling weights.
        min_size: Fewest atoms of a set.
        pca: Principal components to store in place of the features (`distembed.sets.projection`).
        target_sum: Total to which each cell is scaled before.
        log1p: Whether logarithms are taken before.
        like: Another store, whose projection is used in place of a new one; genes are matched by
            name.
        force: Whether a store that is there is replaced, once the new one is complete.
        memory: Bytes of a part, as float64.
        missing: `refuse` to refuse NaN; `mask`, of vectors and counts, to store it as a value
            that was not measured. Atoms without any value are dropped, and their number is logged.
        options: Options of the reader: `layer`, `obsm` and `genes` of AnnData.

    Raises:
        FileExistsError: If `path` is there (without `force`), or is no store.
        OSError: If the disk is full.
        ValueError: As `distembed.read`; and if the source changes while it is read.

    Example:
        >>> import tempfile
        >>> table = {"who": ["b", "a", "b", "a"], "PC1": [0.1, 1.1, 0.2, 1.2]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sets = build_store(table, f"{folder}/store", by="who", columns="PC1")
        ...     sets.ids.tolist(), sets.batch([1]).x.flatten().tolist()
        (['b', 'a'], [1.100000023841858, 1.2000000476837158])
    """
    target = _claimed(Path(path), force)
    space = None if atoms is None else as_space(atoms)
    encoder = SequenceEncoder(space)
    encode = encoder if space is not None and not space.dtype.is_floating_point else None
    joined = [] if metadata is None else column_names(metadata)
    names = [meta] if isinstance(meta, str) else meta
    own = names if names is None else [n for n in names if n not in joined]
    request = Request(by, own, weights, encode, encoder)
    stream = open_stream(source, request, {"columns": columns, **options})
    space = encoder.space  # what is not read in parts was recognised
    projection = _projection(pca, target_sum, log1p, like)
    masked = with_missing(space or Vectors(), missing).masked
    if masked and projection is not None:
        raise ValueError(
            "missing = 'mask' and a projection: principal components read complete atoms. Leave "
            "pca and like out, or drop atoms that are not complete."
        )
    stream = MeasuredStream(stream) if masked else stream
    second = None if metadata is None else read_columns(metadata, stream.by)
    if second is not None and names is not None:
        second = {n: v for n, v in second.items() if n in names or n in stream.by}
    beside = [Path(metadata)] if isinstance(metadata, str | Path) else []
    passes = Passes(stream, space, projection, weights, min_size, memory, masked, second, beside)
    before = _stamps(passes.files)
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a build that was killed
    partial.mkdir(parents=True)
    try:
        passes.write(partial)
        if _stamps(passes.files) != before:
            raise ValueError(
                f"The source {passes.files[0]}{' or another' if len(passes.files) > 1 else ''} "
                "changed while it was read. Build the store again when nothing writes to it."
            )
        _replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read_store(target)[0]


def _claimed(path: Path, force: bool) -> Path:
    """Return the path of a folder that may be made, or replaced.

    Raises:
        FileExistsError: If it is there.
    """
    if path.exists() and not is_store(path):
        raise FileExistsError(
            errno.EEXIST, "is there and is no store; name another folder", str(path)
        )
    if path.exists() and not force:
        raise FileExistsError(
            errno.EEXIST,
            "is a store already: read it, or replace it, by distembed data build --force or by "
            "force=True in Python",
            str(path),
        )
    return path


def _projection(
    pca: int | None, target_sum: float | None, log1p: bool, like: str | Path | None
) -> Projection | Recipe | None:
    """Return what is to be done to features.

    Raises:
        ValueError: If options do not go together.
    """
    if like is not None:
        if pca is not None or target_sum is not None or log1p:
            raise ValueError(
                f"like = {like} states the projection, with its own pca, target_sum and log1p; "
                "leave these out."
            )
        return read_projection(like)
    if pca is not None:
        return Recipe(pca, target_sum, log1p)
    if target_sum is not None or log1p:
        raise ValueError(
            f"target_sum = {target_sum} and log1p = {log1p} belong to pca, the number of "
            "principal components, which is left out. A store holds features as they are; a "
            "model takes logarithms with transform=['log1p', 'standardise']."
        )
    return None


def _stamps(files: Sequence[Path]) -> list[tuple[int, int]]:
    return [(f.stat().st_size, f.stat().st_mtime_ns) for f in files]


def _replace(partial: Path, target: Path) -> None:
    """Rename a complete store to its place; one that was there is removed after that."""
    if not target.exists():
        partial.rename(target)
        return
    old = target.with_name(f"{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    target.rename(old)
    partial.rename(target)
    shutil.rmtree(old)
