"""Read a table, one row an atom: a text or Parquet file, a data frame or a dict of arrays.

Only the columns that are needed are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import numpy as np

from distembed.data.labels import as_text, numbered_rows
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.atoms import is_array
from distembed.data.readers.base import Encode, Request
from distembed.data.readers.columns import TABLES, open_table
from distembed.data.readers.features import say_passed, varying
from distembed.data.readers.files import labels_of
from distembed.data.readers.hugging_face import is_dataset, refuse_lazy
from distembed.data.readers.tabular import Table

__all__ = ["TableReader", "chosen_columns", "encoded", "numeric_columns", "read_table"]

SEQUENCE = "sequence"
"""Name of the column of sequences where none is named, as that of drawn ones."""


@dataclass(frozen=True)
class TableReader:
    """Reader of tables.

    Attributes:
        columns: Feature columns, by name or pattern (PC*); default all numbers that have a name
            and vary within a set. Where atoms are tokens, the column of strings.
        sequence: Column of sequences, whose alphabet is recognised unless `atoms` states it.
    """

    columns: str | Sequence[str] | None = None
    sequence: str | None = None

    suffixes: ClassVar[tuple[str, ...]] = TABLES
    selection: ClassVar[str | None] = "columns"

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return whether the source is a data frame, or columns by name with labels among them."""
        if is_dataset(source):
            return True
        refuse_lazy(source)
        if isinstance(source, np.ndarray):
            return bool(source.dtype.names) and isinstance(by, str | list | tuple)
        columns = isinstance(source, Mapping) and by is not None and not is_array(source)
        return hasattr(source, "columns") or columns

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read the features, the columns of labels and those that are requested.

        Raises:
            FileNotFoundError, ImportError, TypeError, ValueError: As `read_table`, and if no
                column of labels is named.
        """
        labels = request.labels or labels_of(source)
        labels = labels or request.require_labels(source, open_table(source).names)
        if self.sequence is not None and self.columns is not None:
            raise ValueError(
                f"Both sequence={self.sequence!r} and columns={self.columns!r} are named; an atom "
                "is a sequence or a vector of features. Name one of them."
            )
        observations = read_table(
            source,
            self.columns if self.sequence is None else self.sequence,
            [*labels, *(n for n in request.keep if n not in labels)],
            others=request.meta is None,
            by=labels,
            encode=request.encode if self.sequence is None else request.sequences,
            numbers=[request.weights] if request.weights else [],
        )
        return observations, labels


def read_table(
    source: Any,
    columns: str | Sequence[str] | None = None,
    keep: Sequence[str] = (),
    others: bool = False,
    by: Sequence[str] = (),
    encode: Encode | None = None,
    numbers: Sequence[str] = (),
) -> Observations:
    """Read feature columns as atoms `(R, D)`, and other columns with their own types.

    Where `columns` is left out, the features are the numeric columns that have a name, are not in
    `keep`, vary within some set of `by`, and do not number the rows; those that are passed over
    are logged.

    Args:
        source: A table, as of `open_table`.
        columns: Names of features, or patterns such as "PC*" in the order of the table.
        keep: Columns of labels, and others that are requested.
        others: Whether to keep every other column too.
        by: The columns of labels among `keep`.
        encode: Function from strings to tokens, where atoms are tokens: `columns` is then a
            column of strings, or one column a token.
        numbers: Columns among `keep` that hold numbers, such as weights.

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
    exact = dict(zip(by, table.load(list(by), "exact"), strict=True))
    code = numbered_rows([as_text(v) for v in exact.values()])[1] if by else None
    features: list[str] | None
    if encode is not None:
        sequences, x = _sequences(table, columns, keep, encode)
        features, skipped = None, sequences
    elif columns is None:
        values, skipped = varying(table, keep, code)
        features, x = list(values), np.stack(list(values.values()), axis=1)
    else:
        features, skipped = numeric_columns(table, chosen_columns(table, columns, keep)), []
        x = np.stack(table.load(features, "numbers"), axis=1)
    rest = [
        n for n in table.names if n not in {*(features or ()), *skipped} and (others or n in keep)
    ]
    names = [*rest, *(n for n in keep if n in (features or ()))]
    names = [n for n in names if n not in numbers and (len(by) > 1 or n not in by)]
    annotation = exact | dict(zip(names, table.load(names, "values"), strict=True))
    refused = [n for n in numbers if n not in table.numeric]
    if refused:
        raise ValueError(f"Column {refused[0]!r} of weights holds text; weights are numbers.")
    annotation |= dict(zip(numbers, table.load(list(numbers), "numbers"), strict=True))
    if encode is None and columns is None:
        say_passed(table, annotation, keep, code)
    return Observations(x, annotation, None if features is None else tuple(features), exact)


def chosen_columns(table: Table, columns: str | Sequence[str], keep: Sequence[str]) -> list[str]:
    """Return the names of the columns that names and patterns choose, each once.

    Raises:
        ValueError: If a column is unknown, or a pattern matches none.
    """
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


def numeric_columns(table: Table, names: list[str]) -> list[str]:
    """Return the names of features.

    Raises:
        ValueError: If one does not hold numbers.
    """
    for name in names:
        if name not in table.numeric:
            if reason := table.others[name]:
                raise ValueError(f"Column {name!r} is no feature: {reason}.")
            raise ValueError(
                f"Column {name!r} holds text; features are numbers. Encode it first, leave it out "
                f"of `columns`, or, if it holds sequences, name it as such: sequence={name!r} in "
                f"Python, data.sequence={name} on the command line."
            )
    return names


def _sequences(
    table: Table, columns: str | Sequence[str] | None, keep: Sequence[str], encode: Encode
) -> tuple[list[str], np.ndarray]:
    """Return the names of the columns of sequences, and the tokens `(R, T)`."""
    if columns is None and SEQUENCE in table.names:
        columns = SEQUENCE
    if columns is None:
        raise ValueError(
            "Atoms are tokens, and no column of sequences is named; give `sequence`. The columns "
            f"are: {', '.join(map(repr, table.names))}."
        )
    names = chosen_columns(table, columns, keep)
    if len(names) > 1:
        return names, np.stack(table.load(numeric_columns(table, names), "numbers"), axis=1)
    return names, encoded(names[0], table.load(names, "strings")[0], encode)


def encoded(name: str, strings: np.ndarray, encode: Encode) -> np.ndarray:
    """Return the tokens `(R, T)` of a column of strings.

    Raises:
        ValueError: If one is blank, or has a symbol that is not in the alphabet.
    """
    if (strings == "").any():
        raise ValueError(
            f"Row {np.argmax(strings == '')} has no sequence in column {name!r}; a missing "
            "value is not a sample. Drop such rows first."
        )
    try:
        return encode(strings.tolist())
    except ValueError as error:
        raise ValueError(f"Column {name!r}: {error}") from error
