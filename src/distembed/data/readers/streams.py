"""Read a source in parts of bounded memory, more than once, to build a store of it.

A stream is a source that is read from its start as often as needed. What fits into memory is
sliced; files are read piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from distembed.data.file_rows import FileRows
from distembed.data.labels import as_text, check_labels
from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.base import Request
from distembed.data.readers.columns import open_table
from distembed.data.readers.table import chosen_columns, encoded, numeric_columns
from distembed.data.readers.tabular import PartsAs, Table

__all__ = ["MemoryStream", "Part", "Stream", "TableStream", "meta_names"]


@dataclass(frozen=True)
class Part:
    """Consecutive rows of a source.

    Attributes:
        rows: Their number n.
        labels: Text of each column of labels, `(n,)`.
        columns: Columns that may become metadata, each `(n,)`, with values as they stand there.
        weights: Sampling weights `(n,)`; None where there are none.
        x: Atoms, an array `(n, *event)` or CSR `(n, D)`; None where they were not asked for.
    """

    rows: int
    labels: Sequence[np.ndarray]
    columns: Mapping[str, np.ndarray]
    weights: np.ndarray | None
    x: Any = None


class Stream(Protocol):
    """A source that is read in parts."""

    @property
    def by(self) -> list[str]:
        """Names of the columns of labels."""

    @property
    def features(self) -> tuple[str, ...] | None:
        """Names of the features."""

    @property
    def width(self) -> int:
        """Numbers that are read for an atom, as far as they are known before."""

    @property
    def files(self) -> list[Path]:
        """The files that are read."""

    @property
    def required(self) -> bool:
        """Whether the columns of its parts were asked for by name, and must be metadata."""

    @property
    def one_type(self) -> bool:
        """Whether the numbers of all parts have one type."""

    @property
    def of_cells(self) -> bool:
        """Whether its columns are the annotation of AnnData or MuData."""

    def parts(self, rows: int, atoms: bool) -> Iterator[Part]:
        """Read all rows, at most `rows` at a time, with or without their atoms."""

    def settled(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return values of a column of metadata with their own type."""


@dataclass(frozen=True)
class MemoryStream:
    """Observations whose annotation is in memory, and their atoms there or in a file.

    Attributes:
        observations: The rows.
        by: Columns of labels.
        meta: Columns that become metadata; all others where None.
        weights: Column of sampling weights.
        files: The files that atoms stay in, and those of their annotation.
        of_cells: Whether the columns are the annotation of AnnData or MuData.
    """

    observations: Observations
    by: list[str]
    meta: Sequence[str] | None = None
    weights: str | None = None
    files: list[Path] = field(default_factory=list)
    of_cells: bool = False

    @property
    def features(self) -> tuple[str, ...] | None:
        """Names of the features."""
        return self.observations.features

    @property
    def required(self) -> bool:
        """Whether the columns of its parts were asked for by name."""
        return self.meta is not None

    @property
    def one_type(self) -> bool:
        """Whether the numbers of all parts have one type."""
        return not isinstance(self.observations.x, FileRows) or self.observations.x.one_type

    @property
    def width(self) -> int:
        """Numbers that are read for an atom."""
        x = self.observations.x
        return x.width if isinstance(x, FileRows) else int(np.prod(x.shape[1:]))

    def parts(self, rows: int, atoms: bool) -> Iterator[Part]:
        """Slice the rows."""
        columns = self.observations.columns
        refuse_unknown([*self.by, *(self.meta or ())], columns, "column")
        names = meta_names(self.by, self.meta, columns, {self.weights})
        labels = [self.observations.labels(name, check=True) for name in self.by]
        total = self.observations.rows
        for low in range(0, total, rows):
            part = slice(low, min(low + rows, total))
            yield Part(
                part.stop - low,
                [text[part] for text in labels],
                {name: columns[name][part] for name in names},
                None if self.weights is None else columns[self.weights][part],
                self.observations.x[part] if atoms else None,
            )

    def settled(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return the values, which have their type."""
        return values


class TableStream:
    """One text or Parquet file.

    Features have to be named: whether a column is one is a question of all rows.

    Args:
        path: The file.
        columns: Names of features, or patterns; of tokens, the column of strings.
        request: Columns of labels, metadata and weights, and the encoding of strings.
        most: Most rows of a part: a word takes about 60 bytes while it is read.

    Raises:
        ValueError: If no features are named, or a column is unknown or of another type.
    """

    one_type = False  # of columns with whole numbers and fractions
    of_cells = False

    def __init__(
        self,
        path: Path,
        columns: str | Sequence[str] | None,
        request: Request,
        most: int = 2**16,
    ) -> None:
        self._table: Table = open_table(path)
        self._request, self._most = request, most
        self.files, self.by = [path], request.labels
        self.required = request.meta is not None
        refuse_unknown(request.keep, self._table.names, "column")
        if columns is None:
            numeric = [n for n in self._table.names if n in self._table.numeric]
            raise ValueError(
                f"{path} is read in parts, so that its features have to be named: `columns`, by "
                f"name or pattern. The numeric columns are: {', '.join(numeric[:20])}"
                f"{', ...' if len(numeric) > 20 else ''}."
            )
        chosen = chosen_columns(self._table, columns, request.keep)
        self._strings = request.encode is not None and len(chosen) == 1
        self._columns = chosen if self._strings else numeric_columns(self._table, chosen)
        self.features = None if request.encode is not None else tuple(self._columns)
        if request.weights and request.weights not in self._table.numeric:
            raise ValueError(
                f"Column {request.weights!r} of weights holds text; weights are numbers."
            )
        apart = {*self._columns, request.weights}
        self._meta = meta_names(self.by, request.meta, self._table.names, apart)
        self.width = 256 if self._strings else len(self._columns)

    def parts(self, rows: int, atoms: bool) -> Iterator[Part]:
        """Read the columns that are needed, at most `rows` values of each at a time."""
        rows = min(rows, self._most)
        names = list(dict.fromkeys([*self.by, *self._meta]))
        weights = [self._request.weights] if self._request.weights else []
        kind: PartsAs = "strings" if self._strings else "numbers"
        reads = (
            self._table.parts(names, "exact", rows) if names else None,
            self._table.parts(weights, "numbers", rows) if weights else None,
            self._table.parts(self._columns, kind, rows) if atoms or not names else None,
        )
        first = 0
        for exact, weight, x in _together(reads):
            values = dict(zip(names, exact or [], strict=True))
            count = len((exact or weight or x)[0])
            texts = [as_text(values[name]) for name in self.by]
            for name, text in zip(self.by, texts, strict=True):
                check_labels(name, values[name], text, first)
            first += count
            yield Part(
                count,
                texts,
                {name: values[name] for name in self._meta},
                weight[0] if weight else None,
                self._atoms(x) if atoms and x is not None else None,
            )

    def settled(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return values as the whole column would be read."""
        return self._table.settled(name, values)

    def _atoms(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        if self._strings and self._request.encode is not None:
            return encoded(self._columns[0], columns[0], self._request.encode)
        return np.stack(columns, axis=1)


def meta_names(
    by: Sequence[str], asked: Sequence[str] | None, names: Iterable[str], apart: Set[str | None]
) -> list[str]:
    """Return the columns that may become metadata, and those of labels if there are several.

    Args:
        by: Columns of labels.
        asked: The columns that are asked for; None for all.
        names: Names of all columns.
        apart: Columns that have another use, and become metadata only if they are asked for.
    """
    own = list(by) if len(by) > 1 else []
    others = [n for n in names if n not in {*by, *apart}] if asked is None else asked
    return list(dict.fromkeys([*own, *others]))


def _together(reads: Sequence[Iterator[list[np.ndarray]] | None]) -> Iterator[list[Any]]:
    """Read iterators in step; those that are None yield None."""
    running = [read for read in reads if read is not None]
    for parts in zip(*running, strict=True):
        given = iter(parts)
        yield [None if read is None else next(given) for read in reads]
