"""Read a table, one row an atom: CSV, TSV, Parquet, a data frame or a dict of arrays.

Only the columns that are needed are read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import numpy as np

from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.base import Encode, Request
from distembed.data.readers.columns import Table, open_table

__all__ = ["TableReader", "read_table"]

logger = logging.getLogger(__name__)

_UNNAMED = re.compile(r"\s*|Unnamed: \d+|__index_level_\d+__")
"""Names that pandas gives to an index in a file: the number of a row is no feature of an atom."""


@dataclass(frozen=True)
class TableReader:
    """Reader of tables.

    Attributes:
        columns: Feature columns, by name or pattern (PC*); default all numbers that have a name
            and vary within a set. Where atoms are tokens, the column of strings.
    """

    columns: str | Sequence[str] | None = None

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".parquet")
    selection: ClassVar[str | None] = "columns"

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return whether the source is a data frame, or a dict of columns with labels."""
        return hasattr(source, "columns") or isinstance(source, Mapping) and by is not None

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read the features, the columns of labels and those that are requested.

        Raises:
            FileNotFoundError, ImportError, TypeError, ValueError: As `read_table`, and if no
                column of labels is named.
        """
        labels = request.labels or request.require_labels(source, open_table(source).names)
        observations = read_table(
            source,
            self.columns,
            request.keep,
            others=request.meta is None,
            by=labels,
            encode=request.encode,
        )
        return observations, labels


def read_table(
    source: Any,
    columns: str | Sequence[str] | None = None,
    keep: Sequence[str] = (),
    others: bool = False,
    by: Sequence[str] = (),
    encode: Encode | None = None,
) -> Observations:
    """Read feature columns as atoms `(R, D)`, and other columns with their own types.

    Where `columns` is left out, the features are the numeric columns that have a name, are not in
    `keep`, vary within some set of `by`, and do not number the rows; those that are passed over
    are logged.

    Args:
        source: Path of a `.csv`, `.tsv` or `.parquet` file, a data frame, or a dict of arrays.
        columns: Names of features, or patterns such as "PC*" in the order of the table.
        keep: Columns of labels, and others that are requested.
        others: Whether to keep every other column too.
        by: The columns of labels among `keep`.
        encode: Function from strings to tokens, where atoms are tokens: `columns` is then a
            column of strings, or one column a token.

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
    table = open_table(source)
    refuse_unknown(keep, table.names, "column")
    features: list[str] | None
    if encode is not None:
        sequences, x = _sequences(table, columns, keep, encode)
        features, skipped = None, sequences
    elif columns is None:
        numbers, skipped = _varying(table, keep, by)
        features, x = list(numbers), np.stack(list(numbers.values()), axis=1)
    else:
        features, skipped = _numeric(table, _chosen(table, columns, keep)), []
        x = np.stack(table.load(features, "numbers"), axis=1)
    rest = [
        n for n in table.names if n not in {*(features or ()), *skipped} and (others or n in keep)
    ]
    names = [*rest, *(n for n in keep if n in (features or ()))]
    annotation = dict(zip(names, table.load(names, "values"), strict=True))
    return Observations(x, annotation, None if features is None else tuple(features))


def _varying(
    table: Table, keep: Sequence[str], by: Sequence[str]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Load the features where none are chosen; also return the columns without a name."""
    numeric = [n for n in table.names if n in table.numeric and n not in keep]
    unnamed = [n for n in numeric if _UNNAMED.fullmatch(n)]
    named = [n for n in numeric if n not in unnamed]
    try:
        x = dict(zip(named, table.load(named, "numbers"), strict=True))
        values = x
    except ValueError:  # a blank is an error in a feature, and none in metadata
        x, values = {}, dict(zip(named, table.load(named, "values"), strict=True))
    labels = table.load(list(by), "values")
    fixed = _constant(values, labels) if by and named else []
    index = _numbering({n: v for n, v in values.items() if n not in fixed}, labels)
    reasons = [
        f"{', '.join(map(repr, names))} ({why})"
        for names, why in (
            (unnamed, "without a name, as a data frame writes its index"),
            (fixed, "constant within every set, as metadata are"),
            (index, "a number of the row, in the table or within its set"),
        )
        if names
    ]
    features = [n for n in named if n not in fixed and n not in index]
    if not features:
        why = " and ".join(reasons) or "those that name sets or metadata"
        what = "varies within a set" if fixed or index else "holds numbers"
        raise ValueError(
            f"No column {what}, apart from {why}. The columns are: "
            f"{', '.join(map(repr, table.names))}; name the features in `columns`."
        )
    for reason in reasons:
        logger.warning("not a feature: %s; name it in `columns` to keep it", reason)
    if not x:
        x = dict(zip(features, table.load(features, "numbers"), strict=True))
    return {n: x[n] for n in features}, unnamed


def _constant(
    columns: Mapping[str, np.ndarray], labels: Sequence[np.ndarray], head: int = 1000
) -> list[str]:
    """Return the columns with one value a set; none where there is one set, or one row a set.

    Most features vary within the first rows, which are compared before all are.
    """
    candidates, rows = dict(columns), len(labels[0])
    for count in (head, rows):
        code = _set_codes(labels, min(count, rows))
        _, first = np.unique(code, return_index=True)
        candidates = {n: v for n, v in candidates.items() if _same(v[:count], v[first[code]])}
        if not candidates:
            return []
    return list(candidates) if 1 < len(first) < rows else []


def _numbering(
    columns: Mapping[str, np.ndarray], labels: Sequence[np.ndarray], least: int = 10
) -> list[str]:
    """Return the columns that number the rows of a table, or those of each set.

    Numbers are whole. Those of a table rise, perhaps with gaps, or are consecutive in any order;
    those of a set are consecutive from 0 or from 1, in any order. Of fewer rows than `least`, in
    the table and in the largest set, nothing is said.
    """
    whole = {
        name: v.astype(np.float64)
        for name, v in columns.items()
        if v.dtype.kind in "iuf" and len(v) >= least and bool((v == np.round(v)).all())
    }
    if not whole:
        return []
    code = _set_codes(labels, len(next(iter(whole.values()))))
    sizes = np.bincount(code)
    start = np.repeat(np.cumsum(sizes) - sizes, sizes)
    inside = np.arange(len(code)) - start
    numbering = []
    for name, v in whole.items():
        ranked = np.sort(v)
        consecutive = bool((np.diff(ranked) == 1).all())
        rises = bool((np.diff(v) > 0).all())
        within = v[np.lexsort((v, code))] - inside
        of_sets = sizes.max() >= least and bool(np.isin(within, (0, 1)).all())
        of_sets = of_sets and len(np.unique(within)) == 1
        if consecutive or rises or of_sets:
            numbering.append(name)
    return numbering


def _set_codes(labels: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Return the number of the set of each row, `(R,)`, from columns of labels."""
    code = np.zeros(rows, np.int64)
    for label in labels:
        values, inverse = np.unique(label[:rows], return_inverse=True)
        code = np.unique(code * len(values) + inverse, return_inverse=True)[1]
    return code


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _chosen(table: Table, columns: str | Sequence[str], keep: Sequence[str]) -> list[str]:
    """Return the names of the columns that names and patterns choose, each once."""
    names: list[str] = []
    for name in [columns] if isinstance(columns, str) else columns:
        if name in table.names:
            names.append(name)
        elif any(c in name for c in "*?["):
            matches = [n for n in table.names if fnmatchcase(n, name) and n not in keep]
            if not matches:
                raise ValueError(
                    f"No column matches {name!r}; the columns are: {', '.join(table.names)}."
                )
            names += matches
        else:
            refuse_unknown([name], table.names, "column")
    return list(dict.fromkeys(names))


def _numeric(table: Table, names: list[str]) -> list[str]:
    for name in names:
        if name not in table.numeric:
            raise ValueError(
                f"Column {name!r} holds text; features are numbers. Encode it first, leave it out "
                "of `columns`, or, if it holds sequences, state their alphabet: atoms={'name': "
                "'tokens', 'alphabet': ...} in Python, data.atoms={name: tokens, alphabet: ...} "
                "on the command line."
            )
    return names


def _sequences(
    table: Table, columns: str | Sequence[str] | None, keep: Sequence[str], encode: Encode
) -> tuple[list[str], np.ndarray]:
    """Return the names of the columns of sequences, and the tokens `(R, T)`."""
    if columns is None:
        raise ValueError(
            "Atoms are tokens, and no column of sequences is named; give `columns`. The columns "
            f"are: {', '.join(map(repr, table.names))}."
        )
    names = _chosen(table, columns, keep)
    if len(names) > 1:
        return names, np.stack(table.load(_numeric(table, names), "numbers"), axis=1)
    strings = table.load(names, "strings")[0]
    if (strings == "").any():
        raise ValueError(
            f"Row {np.argmax(strings == '')} has no sequence in column {names[0]!r}; a missing "
            "value is not a sample. Drop such rows first."
        )
    try:
        return names, encode(strings.tolist())
    except ValueError as error:
        raise ValueError(f"Column {names[0]!r}: {error}") from error
