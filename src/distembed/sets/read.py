"""`read`: sets from a file, a table, cells or arrays, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.base import Request, choose_reader
from distembed.data.readers.columns import read_columns
from distembed.data.recognise import channels_first, recognise
from distembed.data.spaces import as_space
from distembed.protocols import AtomSpace
from distembed.rng import Rng
from distembed.sets.collection import Sets
from distembed.sets.construct import as_text, by_label

__all__ = ["read"]


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
    **options: Any,
) -> Sets:
    """Read sets.

    The source chooses a member of `distembed.data.readers.READERS`, whose options are further
    arguments: `columns` of tables; `layer`, `obsm` and `genes` of AnnData.

    Args:
        source: A `.csv`, `.tsv`, `.parquet` or `.h5ad` file; an AnnData object; a data frame or a
            dict of columns; a list, or a dict by name, of arrays `(m, *event)` or of lists of
            strings; or one array `(R, *event)` with its labels as `by`.
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
        options: Options of the reader.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If a format needs an extra that is not installed.
        TypeError: If the source is none of these.
        ValueError: If an argument does not fit the source, a column is unknown, atoms are not of
            their kind, or the data cannot be divided into sets.

    Example:
        >>> table = {"who": ["a", "a", "b", "b"], "age": [50, 50, 61, 61], "PC1": [0.1, 0, 2, 3]}
        >>> sets = read(table, by="who", columns="PC*")
        >>> sets.ids.tolist(), sets.meta["age"].tolist(), sets.features
        (['a', 'b'], [50, 61], ('PC1',))
        >>> read([["ACG", "T"], ["CC", "G"]], atoms={"name": "tokens", "alphabet": "ACGT"})
        Sets(2 sets of 2 to 2 atoms (median 2) of shape (3,), tokens)
    """
    space = None if atoms is None else as_space(atoms)
    second = None if metadata is None else read_columns(metadata)
    names = [meta] if isinstance(meta, str) else meta
    own = names if names is None else [n for n in names if second is None or n not in second]
    encode = None if space is None or space.dtype.is_floating_point else space.encode
    reader = choose_reader(source, by, {"columns": columns, **options})
    observations, labels = reader.read(source, Request(by, own, weights, encode))
    observations, space = _of_kind(observations, space)
    sets = by_label(
        observations,
        labels,
        meta=own,
        weights=weights,
        min_size=min_size,
        max_size=max_size,
        rng=rng,
        atoms=space,
    )
    if second is None:
        return sets
    if names is not None:
        second = {n: v for n, v in second.items() if n in names or n in labels}
    return _joined(sets, labels, second)


def _of_kind(
    observations: Observations, space: AtomSpace | None
) -> tuple[Observations, AtomSpace]:
    """Recognise the kind of atoms where it is not stated, and move channels of images first."""
    space = recognise(observations) if space is None else space
    return channels_first(observations) if space.name == "images" else observations, space


def _joined(sets: Sets, by: list[str], second: dict[str, np.ndarray]) -> Sets:
    """Join the columns of a table with one row a set, or one row for each value of a `by`."""
    keys = [name for name in by if name in second]
    if not keys:
        refuse_unknown(by[:1], second, "column of the metadata")
    own = [sets.meta[name] if len(by) > 1 else sets.ids for name in keys]
    keyed = list(zip(*(as_text(second[name]).tolist() for name in keys), strict=True))
    sought = list(zip(*(as_text(column).tolist() for column in own), strict=True))
    row = {key: i for i, key in enumerate(keyed)}
    if len(row) < len(keyed):
        twice = next(key for i, key in enumerate(keyed) if row[key] != i)
        raise ValueError(f"The metadata have several rows for {'|'.join(twice)!r}; one is needed.")
    missing = [key for key in sought if key not in row]
    if missing:
        raise ValueError(
            f"The metadata have no row for {len(missing)} of {len(sets)} sets, the first being "
            f"{'|'.join(missing[0])!r}. Add them, or drop these sets first."
        )
    index = np.array([row[key] for key in sought])
    joined = {name: column[index] for name, column in second.items() if name not in keys}
    for name in joined.keys() & sets.meta.keys():
        if (as_text(joined[name]) != as_text(sets.meta[name])).any():
            raise ValueError(
                f"Column {name!r} is in the data and in the metadata, and they differ; keep one."
            )
    return sets.with_meta(joined)
