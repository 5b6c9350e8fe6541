"""Several tables as one: the rows of one file after those of another, with a label a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from distembed.data.labels import as_text
from distembed.data.readers.tabular import As, PartsAs, Table

__all__ = ["JoinedTable"]


class JoinedTable:
    """A table of tables.

    Args:
        tables: The tables, by the name of their file.
        labels: Columns that label the rows of each table, such as the name of its file: one value
            a table.

    Raises:
        ValueError: If tables have other columns.
    """

    def __init__(self, tables: Mapping[str, Table], labels: Mapping[str, Sequence[str]]) -> None:
        self._tables = list(tables.values())
        (first, model), *others = tables.items()
        for name, table in others:
            if differing := set(table.names) ^ set(model.names):
                raise ValueError(
                    f"{name} has other columns than {first}: they differ in "
                    f"{', '.join(map(repr, sorted(differing)[:8]))}. Files that are read together "
                    "have the same columns."
                )
        # a column of the files is kept where a label of the same name says no more
        self._labels = {n: v for n, v in labels.items() if n not in model.names}
        self.names = [*model.names, *self._labels]
        self.numeric = set.intersection(*(set(table.numeric) for table in self._tables))
        self.others = {n: w for t in self._tables for n, w in t.others.items()}
        self.others |= {n: "" for n in model.names if n not in self.numeric | self.others.keys()}
        self.others |= dict.fromkeys(self._labels, "")
        self._rows = [len(t.load(t.names[:1], "exact")[0]) for t in self._tables]

    def load(self, columns: Sequence[str], as_: As) -> list[np.ndarray]:
        """Read columns of all tables.

        Raises:
            ValueError: As the tables do.
        """
        own = [name for name in columns if name not in self._labels]
        parts = [table.load(own, as_) for table in self._tables]
        loaded = dict(zip(own, map(_stacked, zip(*parts, strict=True)), strict=True))
        for name in columns:
            if name in self._labels:
                loaded[name] = np.repeat(np.array(self._labels[name]), self._rows)
        return [loaded[name] for name in columns]

    def parts(self, columns: Sequence[str], as_: PartsAs, rows: int) -> Iterator[list[np.ndarray]]:
        """Read columns of one table after another, some rows at a time."""
        own = [name for name in columns if name not in self._labels]
        for number, table in enumerate(self._tables):
            for part in table.parts(own or table.names[:1], as_, rows):
                read = dict(zip(own, part, strict=False))
                for name, values in self._labels.items():
                    read[name] = np.repeat(values[number], len(part[0]))
                yield [read[name] for name in columns]

    def settled(self, name: str, exact: np.ndarray) -> np.ndarray:
        """Convert exact values of a column to those of metadata, as the first table does."""
        return exact if name in self._labels else self._tables[0].settled(name, exact)


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join parts of a column; text and numbers together are text."""
    kinds = {"U" if part.dtype.kind in "UO" else "n" for part in parts}
    return np.concatenate([as_text(p) for p in parts] if len(kinds) > 1 else list(parts))
