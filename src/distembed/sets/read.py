"""`read`: sets from a file, a table, cells or arrays, in one call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from distembed.data.observations import Observations
from distembed.data.readers.base import Request, choose_reader, type_of
from distembed.data.readers.cells import CellReader, read_cells
from distembed.data.readers.columns import TABLES, column_names, read_columns
from distembed.data.readers.dialect import suffix
from distembed.data.readers.fcs import FcsReader
from distembed.data.readers.multimodal import MuDataReader
from distembed.data.readers.table import read_table
from distembed.data.readers.tenx import TenXReader
from distembed.data.recognise import channels_first, recognise
from distembed.data.sequence_encoder import SequenceEncoder
from distembed.data.spaces import as_space, with_missing
from distembed.data.store import is_store
from distembed.protocols import AtomSpace
from distembed.rng import Rng
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label
from distembed.sets.metadata import join_metadata, say_left_out
from distembed.sets.stored import read_store

__all__ = ["read", "read_atoms"]

logger = logging.getLogger(__name__)


def read(
    source: Any,
    by: str | Sequence[str] | np.ndarray | None = None,
    columns: str | Sequence[str] | None = None,
    *,
    atoms: str | Mapping[str, Any] | AtomSpace | None = None,
    meta: str | Sequence[str] | None = None,
    metadata: Any = None,
    weights: str | None = None,
    min_size: int = 2,
    max_size: int | None = None,
    rng: Rng = 0,
    missing: Literal["refuse", "mask"] = "refuse",
    **options: Any,
) -> Sets:
    """Read sets.

    Args:
        source: A `.csv`, `.tsv`, `.txt` (perhaps `.gz`), `.parquet`, `.h5ad`, `.zarr`, `.h5mu`,
            FASTA, `.pat` or `.fcs` file, an `.h5` file or a folder with `matrix.mtx.gz` of 10x,
            or a pattern of several, such as "cells/*.csv" or "{mouse}.pat.gz"; the folder of a
            store (`build_store`); an AnnData or MuData object; a data frame, or a dict of
            columns; a list, or a dict by name, of arrays `(m, *event)` or of lists of strings; or
            one array `(R, *event)` with its labels as `by`.
        by: Column, or columns, that name the set of each row.
        columns: Feature columns of a table, by name or pattern ("PC*"); where left out, all
            numeric ones that have a name and vary within a set. Of tokens, the column of strings.
        atoms: The kind of atoms, a member of `distembed.data.SPACES`, such as
            `{"name": "tokens", "alphabet": "ACGT"}`; recognised where left out
            (`distembed.data.recognise`).
        meta: Columns to keep as metadata; all that are constant within sets where left out.
        metadata: A second table, one row a set, joined on `by`; for arrays on a column "set".
        weights: Column of sampling weights.
        min_size: Fewest atoms of a set; smaller ones are dropped, and their number is logged.
        max_size: Most atoms of a set; larger ones are thinned.
        rng: Source of that draw.
        missing: `refuse` to refuse NaN; `mask`, of vectors and counts, to take it for a value
            that was not measured. Atoms without any value are dropped, and their number is
            logged.
        options: Options of the reader (`distembed.data.readers`): `layer`, `obsm` and `genes` of
            AnnData and MuData; `modality` of MuData and 10x; `sequence`, a column of sequences in
            a table or in AnnData; `header` of FASTA; `annotation` and `key` of FASTA and 10x.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: If the source cannot be read, an
            argument does not fit it, or the data cannot be divided into sets of the kind.

    Example:
        >>> table = {"who": ["a", "a", "b", "b"], "age": [50, 50, 61, 61], "PC1": [0.1, 0, 2, 3]}
        >>> sets = read(table, by="who", columns="PC*")
        >>> sets.ids.tolist(), sets.meta["age"].tolist(), sets.features
        (['a', 'b'], [50, 61], ('PC1',))
        >>> read([["ACG", "T"], ["CC", "G"]], atoms={"name": "tokens", "alphabet": "ACGT"})
        Sets(2 sets of 2 atoms of shape (3,), tokens)
    """
    joined = [] if metadata is None else column_names(metadata)
    names = [meta] if isinstance(meta, str) else meta
    own = names if names is None else [n for n in names if n not in joined]
    if is_store(source):
        named = None if isinstance(by, np.ndarray) else by
        given = {"by": by if named is None else None, "columns": columns, "weights": weights}
        _refuse_late(source, {**given, "max_size": max_size, **options})
        sets, keys = read_store(source, named, own, atoms, min_size)
        if with_missing(sets.atoms, missing) != sets.atoms:
            raise ValueError(
                f"missing = {missing!r}, and {source} is a store whose atoms are complete. Leave "
                "it out, or build the store with it."
            )
    else:
        observations, labels, space, of_cells = _observations(
            source, Request(by, own, weights), atoms, {"columns": columns, **options}
        )
        space = with_missing(space, missing)
        if space.masked:
            observations = _with_values(observations)
        sizes: Any = {"min_size": min_size, "max_size": max_size, "rng": rng}
        sets = by_label(observations, labels, meta=own, weights=weights, atoms=space, **sizes)
        if of_cells and own is None:
            apart = {*labels, *sets.meta, weights}
            say_left_out(type_of(source), [n for n in observations.columns if n not in apart])
        first = sets.rows[sets.offsets[:-1]]
        keys = {name: observations.labels(name)[first] for name in labels}
    if metadata is None:
        return sets
    second = read_columns(metadata, list(keys))
    if names is not None:
        second = {n: v for n, v in second.items() if n in names or n in keys}
    return join_metadata(sets, keys, second)


def read_atoms(
    source: Any,
    columns: str | Sequence[str] | None = None,
    *,
    keep: str | Sequence[str] | None = None,
    labels: str | Sequence[str] = (),
    **options: Any,
) -> Observations:
    """Read atoms and their annotation, to be divided into sets by a verb of `distembed.sets`.

    Args:
        source: A table, AnnData, MuData, or files of 10x or FCS, as of `read`.
        columns: Feature columns of a table or of FCS, by name or pattern; where left out, all
            numeric ones that are not in `keep`.
        keep: Columns of annotation, such as coordinates and sections; all that are no features
            where left out.
        labels: Columns of labels, such as a section or an observed label, whose values are text
            exactly as it stands in a file: "1.50" is not 1.5.
        options: Options of the readers of cells: `layer`, `obsm`, `genes`, `modality`, and the
            `annotation` and `key` of 10x.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: As `read`.

    Example:
        >>> table = {"x": [0.0, 1.0], "day": [1, 2], "PC1": [0.1, 0.2]}
        >>> atoms = read_atoms(table, "PC*")
        >>> atoms.features, sorted(atoms.columns)
        (('PC1',), ['day', 'x'])
    """
    kept = [keep] if isinstance(keep, str) else keep
    named = [labels] if isinstance(labels, str) else list(labels)
    if kept is not None:
        kept = list(dict.fromkeys([*kept, *named]))
    if hasattr(source, "obsm") or str(source).endswith((".h5ad", ".h5mu", ".zarr")):
        if columns is not None:
            raise ValueError(
                "AnnData and MuData have genes in place of columns; name them as `genes`."
            )
        if hasattr(source, "mod") or str(source).endswith(".h5mu"):
            return MuDataReader(**options).cells(source, kept)
        return read_cells(source, keep=kept, **options)
    if isinstance(source, str | Path) and suffix(source) not in TABLES:
        reader = choose_reader(source, named, {"columns": columns, **options})
        if isinstance(reader, TenXReader | FcsReader):
            return reader.read(source, Request(by=named, meta=kept))[0]
    if options:
        raise ValueError(
            f"{next(iter(options))!r} is an option of the readers of cells, and the source is a "
            "table. Leave it out."
        )
    return read_table(source, columns, named if kept is None else kept, kept is None, by=named)


def _refuse_late(source: Any, options: Mapping[str, Any]) -> None:
    """Refuse what is decided when a store is built."""
    late = [name for name, value in options.items() if value is not None]
    if late:
        raise ValueError(
            f"{late[0]} = {options[late[0]]!r} is decided when a store is built, and {source} is "
            "one. Leave it out, or build another store of the source with it."
        )


def _observations(
    source: Any,
    request: Request,
    atoms: str | Mapping[str, Any] | AtomSpace | None,
    options: Mapping[str, Any],
) -> tuple[Observations, list[str], AtomSpace, bool]:
    """Read observations and recognise their kind.

    Returns:
        The observations, the columns of labels, the kind, and whether they are annotated cells.
    """
    space = None if atoms is None else as_space(atoms)
    encoder = SequenceEncoder(space)
    tokens = space is not None and not space.dtype.is_floating_point
    request = replace(request, sequences=encoder, encode=encoder if tokens else None)
    reader = choose_reader(source, request.by, options)
    observations, labels = reader.read(source, request)
    space = encoder.space or recognise(observations)
    if space.name == "images":
        observations = channels_first(observations)
    return observations, labels, space, isinstance(reader, CellReader | MuDataReader)


def _with_values(observations: Observations) -> Observations:
    """Drop atoms without any value, and log how many.

    Raises:
        ValueError: If no atom has one.
    """
    x = observations.x
    if observations.sparse or x.dtype.kind != "f":
        return observations
    empty = np.isnan(x).reshape(len(x), -1).all(1)
    if empty.all():
        raise ValueError("All values are missing; there is nothing to read.")
    if not empty.any():
        return observations
    logger.warning(
        "dropped %d of %d atoms: none of their features was measured", int(empty.sum()), len(x)
    )
    kept = ~empty
    return Observations(
        x[kept],
        {name: column[kept] for name, column in observations.columns.items()},
        observations.features,
        {name: column[kept] for name, column in observations.exact.items()},
    )
