"""`read`: from a file, a table, cells or arrays to sets, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.arrays import SET, from_arrays, from_labels
from distembed.data.readers.cells import read_cells
from distembed.data.readers.table import column_names, read_columns, read_table
from distembed.rng import Rng
from distembed.sets.collection import Sets
from distembed.sets.construct import as_text, by_label

__all__ = ["read"]

_TABLES = (".csv", ".tsv", ".parquet")


def read(
    source: Any,
    by: str | Sequence[str] | np.ndarray | None = None,
    columns: str | Sequence[str] | None = None,
    *,
    meta: str | Sequence[str] | None = None,
    metadata: Any = None,
    weights: str | None = None,
    layer: str | None = None,
    obsm: str | None = None,
    genes: str | Sequence[str] | np.ndarray | None = None,
    min_size: int = 2,
    max_size: int | None = None,
    rng: Rng = 0,
) -> Sets:
    """Read sets.

    Args:
        source: A `.csv`, `.tsv`, `.parquet` or `.h5ad` file; an AnnData object; a data frame or a
            dict of columns; a list, or a dict by name, of arrays `(m, *event)`; or one array
            `(R, *event)` with its labels as `by`.
        by: Column, or columns, that say which set a row belongs to.
        columns: Feature columns of a table, by name or pattern ("PC*"); where left out, all
            numeric ones that have a name and vary within a set.
        meta: Columns to keep as metadata; all that are constant within sets where left out.
        metadata: A second table, one row a set, joined on `by`; for arrays on a column "set".
        weights: Column of sampling weights.
        layer: AnnData: layer instead of `X`.
        obsm: AnnData: embedding instead of `X`.
        genes: AnnData: a boolean column of `var`, a mask, or names.
        min_size: Fewest atoms of a set; smaller ones are dropped, and their number is logged.
        max_size: Most atoms of a set; larger ones are thinned.
        rng: Source of that draw.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If a format needs an extra that is not installed.
        TypeError: If the source is none of these.
        ValueError: If an argument does not fit the source, a column is unknown, or the data are
            not what sets can be made of.

    Example:
        >>> table = {"who": ["a", "a", "b", "b"], "age": [50, 50, 61, 61], "PC1": [0.1, 0, 2, 3]}
        >>> sets = read(table, by="who", columns="PC*")
        >>> sets.ids.tolist(), sets.meta["age"].tolist(), sets.features
        (['a', 'b'], [50, 61], ('PC1',))
    """
    second = None if metadata is None else read_columns(metadata)
    asked = [meta] if isinstance(meta, str) else meta
    own = asked if asked is None else [n for n in asked if second is None or n not in second]
    cells = {"layer": layer, "obsm": obsm, "genes": genes}
    observations, labels = _observations(source, by, columns, own, weights, cells)
    sets = by_label(
        observations,
        labels,
        meta=own,
        weights=weights,
        min_size=min_size,
        max_size=max_size,
        rng=rng,
    )
    if second is None:
        return sets
    if asked is not None:
        second = {n: v for n, v in second.items() if n in asked or n in labels}
    return _joined(sets, labels, second)


def _observations(
    source: Any,
    by: Any,
    columns: str | Sequence[str] | None,
    meta: Sequence[str] | None,
    weights: str | None,
    cells: Mapping[str, Any],
) -> tuple[Observations, list[str]]:
    """Observations, and the columns by which they become sets."""
    suffix = Path(source).suffix if isinstance(source, str | Path) else None
    keep = [*_names(by), *(meta or ()), *([weights] if weights else [])]
    if suffix == ".h5ad" or hasattr(source, "obsm"):
        _refuse(source, "columns", columns, "features of AnnData are chosen with genes")
        kept = None if meta is None else keep
        observations = read_cells(source, keep=kept, **cells)
        return observations, _required(by, source, observations.columns if meta is None else ())
    for name, value in cells.items():
        _refuse(source, name, value, "it belongs to AnnData")
    if suffix in _TABLES or hasattr(source, "columns") or (_is_dict(source) and by is not None):
        labels = _names(by) or _required(by, source, column_names(source))
        return read_table(source, columns, keep, others=meta is None, by=labels), labels
    if suffix is not None:
        raise ValueError(f"{source} has no known format; expected .h5ad, {', '.join(_TABLES)}.")
    _refuse(source, "columns", columns, "features of arrays have no names")
    if isinstance(source, np.ndarray):
        if by is None or isinstance(by, str):
            raise ValueError("One array needs `by`, an array with the label of each row.")
        return from_labels(source, by), [SET]
    if _is_dict(source) or isinstance(source, Sequence):
        _refuse(source, "by", by, "every array is a set already")
        return from_arrays(source), [SET]
    raise TypeError(
        f"Sets cannot be read from {_what(source)}; give a path, AnnData, a data frame, or arrays."
    )


def _joined(sets: Sets, by: list[str], second: dict[str, np.ndarray]) -> Sets:
    """Add the columns of a table that has one row a set, or a row for each value of some `by`."""
    keys = [name for name in by if name in second]
    if not keys:
        refuse_unknown(by[:1], second, "column of the metadata")
    own = [sets.meta[name] if len(by) > 1 else sets.ids for name in keys]
    there = list(zip(*(as_text(second[name]).tolist() for name in keys), strict=True))
    wanted = list(zip(*(as_text(column).tolist() for column in own), strict=True))
    row = {key: i for i, key in enumerate(there)}
    if len(row) < len(there):
        twice = next(key for i, key in enumerate(there) if row[key] != i)
        raise ValueError(f"The metadata have several rows for {'|'.join(twice)!r}; one is needed.")
    missing = [key for key in wanted if key not in row]
    if missing:
        raise ValueError(
            f"The metadata have no row for {len(missing)} of {len(sets)} sets, the first being "
            f"{'|'.join(missing[0])!r}. Add them, or drop these sets first."
        )
    index = np.array([row[key] for key in wanted])
    joined = {name: column[index] for name, column in second.items() if name not in keys}
    for name in joined.keys() & sets.meta.keys():
        if (as_text(joined[name]) != as_text(sets.meta[name])).any():
            raise ValueError(
                f"Column {name!r} is in the data and in the metadata, and they differ; keep one."
            )
    return sets.with_meta(joined)


def _names(by: Any) -> list[str]:
    if by is None or isinstance(by, np.ndarray):
        return []
    return [by] if isinstance(by, str) else list(by)


def _required(by: Any, source: Any, columns: Iterable[str]) -> list[str]:
    names, there = _names(by), list(columns)
    if not names:
        more = f" and {len(there) - 8} more" if len(there) > 8 else ""
        shown = f"; the columns are: {', '.join(map(repr, there[:8]))}{more}" if there else ""
        raise ValueError(
            f"{_what(source)} needs `by`: the column that says whose each row is. Give "
            f"data.by=COLUMN to `distembed fit`, or by=COLUMN in Python{shown}."
        )
    return names


def _refuse(source: Any, name: str, value: Any, why: str) -> None:
    if value is not None:
        raise ValueError(f"{name} does not go with {_what(source)}: {why}.")


def _what(source: Any) -> str:
    return str(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"


def _is_dict(source: Any) -> bool:
    return isinstance(source, Mapping)
