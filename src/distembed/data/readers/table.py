"""Read a table, one row an observation: CSV, TSV, Parquet, a data frame or a dict of arrays.

Only the columns that are asked for are read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from distembed.data.observations import Observations, plain_column, refuse_unknown
from distembed.data.readers.text import read_text, text_header
from distembed.registry import need

__all__ = ["column_names", "read_columns", "read_table"]

logger = logging.getLogger(__name__)

_UNNAMED = re.compile(r"\s*|Unnamed: \d+|__index_level_\d+__")
"""What pandas calls an index in a file: the number of a row is no feature of an atom."""
_HEAD = 1000


@dataclass(frozen=True)
class _Table:
    """A table that is not read yet."""

    names: list[str]
    numeric: set[str]
    load: Callable[[list[str], bool], list[np.ndarray]]
    """Read columns, as numbers or as they are."""


def read_table(
    source: Any,
    columns: str | Sequence[str] | None = None,
    keep: Sequence[str] = (),
    others: bool = False,
    by: Sequence[str] = (),
) -> Observations:
    """Read feature columns as atoms `(R, D)` and some others as they are.

    Where `columns` is left out, the features are the numeric columns that have a name, are not in
    `keep`, and vary within some set of `by`; those that are passed over are logged.

    Args:
        source: Path of a `.csv`, `.tsv` or `.parquet` file, a data frame, or a dict of arrays.
        columns: Names of features, or patterns such as "PC*" in the order of the table.
        keep: Columns that say which set a row belongs to, and what else is wanted of it.
        others: Whether to keep every other column too.
        by: Which of `keep` say whose a row is.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is unknown, no column is a feature, a feature holds text, or the
            table is damaged.
        ImportError: If a Parquet file is given and pyarrow is not installed.

    Example:
        >>> obs = read_table({"who": ["a", "b"], "PC1": [1.0, 2.0], "PC2": [3, 4]}, "PC*", ["who"])
        >>> obs.features, obs.x.tolist(), obs.columns["who"].tolist()
        (('PC1', 'PC2'), [[1.0, 3.0], [2.0, 4.0]], ['a', 'b'])
    """
    table = _open(source)
    refuse_unknown(keep, table.names, "column")
    if columns is None:
        x, skipped = _varying(table, keep, by)
    else:
        features, skipped = _chosen(table, columns, keep), []
        x = dict(zip(features, table.load(features, True), strict=True))
    rest = [n for n in table.names if n not in {*x, *skipped} and (others or n in keep)]
    both = [n for n in keep if n in x]
    kept = table.load([*rest, *both], False)
    columns_kept = dict(zip([*rest, *both], kept, strict=True))
    return Observations(np.stack(list(x.values()), axis=1), columns_kept, tuple(x))


def column_names(source: Any) -> list[str]:
    """Return the names of all columns, without reading them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the table is damaged.
        ImportError: If a Parquet file is given and pyarrow is not installed.
    """
    return _open(source).names


def read_columns(source: Any) -> dict[str, np.ndarray]:
    """Read every column as it is, such as a table of metadata.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the table is damaged.
        ImportError: If a Parquet file is given and pyarrow is not installed.
    """
    table = _open(source)
    return dict(zip(table.names, table.load(table.names, False), strict=True))


def _varying(
    table: _Table, keep: Sequence[str], by: Sequence[str]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The features where none were chosen, and the columns without a name."""
    numeric = [n for n in table.names if n in table.numeric and n not in keep]
    unnamed = [n for n in numeric if _UNNAMED.fullmatch(n)]
    named = [n for n in numeric if n not in unnamed]
    try:
        x = dict(zip(named, table.load(named, True), strict=True))
        read = x
    except ValueError:  # a blank is an error in a feature, and none in metadata
        x, read = {}, dict(zip(named, table.load(named, False), strict=True))
    fixed = _constant(read, table.load(list(by), False)) if by and named else []
    reasons = [
        f"{', '.join(map(repr, names))} ({why})"
        for names, why in (
            (unnamed, "without a name, as a data frame writes its index"),
            (fixed, "constant within every set, as metadata are"),
        )
        if names
    ]
    features = [n for n in named if n not in fixed]
    if not features:
        why = " and ".join(reasons) or "those that name sets or metadata"
        what = "varies within a set" if fixed else "holds numbers"
        raise ValueError(
            f"No column {what}, apart from {why}. The columns are: "
            f"{', '.join(map(repr, table.names))}; name the features in `columns`."
        )
    for reason in reasons:
        logger.warning("not a feature: %s; choose features with `columns`", reason)
    if not x:
        x = dict(zip(features, table.load(features, True), strict=True))
    return {n: x[n] for n in features}, unnamed


def _constant(columns: Mapping[str, np.ndarray], labels: Sequence[np.ndarray]) -> list[str]:
    """Columns with one value a set, where there are several sets and not all of one row."""
    left, rows = dict(columns), len(labels[0])
    for some in (_HEAD, rows):  # a feature shows in the first rows, mostly
        code = np.zeros(min(some, rows), np.int64)
        for label in labels:
            values, inverse = np.unique(label[:some], return_inverse=True)
            code = np.unique(code * len(values) + inverse, return_inverse=True)[1]
        _, first = np.unique(code, return_index=True)
        left = {n: v for n, v in left.items() if _same(v[:some], v[first[code]])}
        if not left:
            return []
    return list(left) if 1 < len(first) < rows else []


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _chosen(table: _Table, columns: str | Sequence[str], keep: Sequence[str]) -> list[str]:
    found = []
    for wanted in [columns] if isinstance(columns, str) else columns:
        if wanted in table.names:
            found.append(wanted)
        elif any(c in wanted for c in "*?["):
            matched = [n for n in table.names if fnmatchcase(n, wanted) and n not in keep]
            if not matched:
                raise ValueError(
                    f"No column matches {wanted!r}; the columns are: {', '.join(table.names)}."
                )
            found += matched
        else:
            refuse_unknown([wanted], table.names, "column")
    found = list(dict.fromkeys(found))
    for name in found:
        if name not in table.numeric:
            raise ValueError(
                f"Column {name!r} holds text; features are numbers. Encode it first, or leave it "
                "out of `columns`."
            )
    return found


def _open(source: Any) -> _Table:
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        if path.suffix in (".csv", ".tsv"):
            names, numeric = text_header(path)
            table = _Table(names, numeric, lambda some, numbers: read_text(path, some, numbers))
        elif path.suffix == ".parquet":
            table = _parquet(path)
        else:
            raise ValueError(f"{path.name} is no table; expected .csv, .tsv or .parquet.")
    elif isinstance(source, Mapping):
        table = _in_memory(list(source), lambda n: np.asarray(source[n]))
    elif hasattr(source, "columns") and hasattr(source, "__getitem__"):
        # pandas, polars and their like: a column is an array by the protocol of NumPy
        table = _in_memory(list(source.columns), lambda n: np.asarray(source[n]))
    else:
        raise TypeError(
            f"A {type(source).__name__} is no table; give a path, a data frame, or a dict of "
            "arrays."
        )
    if len(set(table.names)) < len(table.names):
        twice = next(n for n in table.names if table.names.count(n) > 1)
        raise ValueError(f"Two columns are named {twice!r}; names must be unique.")
    return table


def _in_memory(names: list[Any], get: Callable[[Any], np.ndarray]) -> _Table:
    arrays = {str(name): get(name) for name in names}
    numeric = {name for name, values in arrays.items() if _holds_numbers(values)}

    def load(some: list[str], numbers: bool) -> list[np.ndarray]:
        if numbers:
            return [_as_numbers(name, arrays[name]) for name in some]
        return [plain_column(arrays[name]) for name in some]

    return _Table(list(arrays), numeric, load)


def _holds_numbers(values: np.ndarray) -> bool:
    """Whether a column is meant as numbers, even where something else is among them."""
    if values.dtype.kind == "O":
        return any(isinstance(v, int | float) and v == v for v in values.tolist())
    return values.dtype.kind in "biuf"


def _as_numbers(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "O":
        return values
    for row, value in enumerate(values.tolist()):
        if not isinstance(value, int | float):
            raise ValueError(
                f"Column {name!r} holds {value!r} in row {row}, among numbers; features are "
                "numbers. Correct or drop that row, or leave the column out of `columns`."
            )
    return values.astype(float)


def _parquet(path: Path) -> _Table:
    parquet, arrow = need("pyarrow.parquet", "parquet"), need("pyarrow", "parquet")
    try:
        schema = parquet.read_schema(path)
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{path.name} is damaged or is not Parquet: {error}") from error
    kinds = arrow.types
    numeric = {
        field.name
        for field in schema
        if kinds.is_integer(field.type)
        or kinds.is_floating(field.type)
        or kinds.is_boolean(field.type)
    }

    def load(some: list[str], numbers: bool) -> list[np.ndarray]:
        table = parquet.read_table(path, columns=some)
        return [plain_column(_arrow_column(table[name])) for name in some]

    return _Table(list(schema.names), numeric, load)


def _arrow_column(column: Any) -> np.ndarray:
    kind = column.type
    if hasattr(kind, "value_type") and hasattr(kind, "index_type"):
        column = column.cast(kind.value_type)
    values: np.ndarray = column.to_numpy()
    return values
