"""Count the atoms of every set in one pass over the labels, to know where each set will lie.

It keeps one record a set, and none an atom: size, sum and range of weights, and the value of each
column of metadata with a mark where it varies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distembed.data.labels import numbered_rows
from distembed.data.readers.streams import Part
from distembed.sets.construct import checked_weights

__all__ = ["Tally"]


class Tally:
    """Numbers, sizes, weights and metadata of the sets, after the parts that were added.

    Args:
        weights: Name of the column of weights, for messages.

    Example:
        >>> tally = Tally()
        >>> tally.add(Part(3, [np.array(["b", "a", "b"])], {"age": np.array([5, 7, 5])}, None))
        array([0, 1, 0])
        >>> tally.ids, tally.sizes.tolist(), tally.column("age").tolist()
        (['b', 'a'], [2, 1], [5, 7])
    """

    def __init__(self, weights: str | None = None) -> None:
        self._weights = weights
        self._number: dict[tuple[str, ...], int] = {}
        self.sizes = np.zeros(0, np.int64)
        self.total, self.low, self.high = np.zeros(0), np.zeros(0), np.zeros(0)
        self._varies: dict[str, np.ndarray] = {}
        self._values: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._number)

    @property
    def ids(self) -> list[str]:
        """Name of each set, in the order in which they appear."""
        return ["|".join(label) for label in self._number]

    def labels(self) -> list[np.ndarray]:
        """Return the text of each column of labels, `(S,)`."""
        return [np.array(column, str) for column in zip(*self._number, strict=True)]

    @property
    def names(self) -> list[str]:
        """Names of the columns of metadata."""
        return list(self._varies)

    def numbers(self, labels: Sequence[np.ndarray]) -> np.ndarray:
        """Return the number of the set of each row, `(n,)`; a new one is added."""
        distinct, code = numbered_rows(labels)
        for label in distinct:
            self._number.setdefault(label, len(self._number))
        number: np.ndarray = np.array([self._number[label] for label in distinct])[code]
        return number

    def add(self, part: Part) -> np.ndarray:
        """Count a part; return the number of the set of each row, -1 where the weight is zero.

        Raises:
            ValueError: If a weight is no number, not finite or negative.
        """
        number = self.numbers(part.labels)
        self._grow()
        w = np.ones(part.rows)
        if part.weights is not None:
            w = checked_weights(part.weights, self._weights or "")
        rows = np.flatnonzero(w)
        owner, w = number[rows], w[rows]
        old = self.sizes > 0
        self.sizes += np.bincount(owner, minlength=len(self))
        self.total += np.bincount(owner, w, minlength=len(self))
        np.minimum.at(self.low, owner, w)
        np.maximum.at(self.high, owner, w)
        for name, values in part.columns.items():
            self._compare(name, values[rows], owner, old)
        number[part.weights == 0 if part.weights is not None else []] = -1
        return number

    @property
    def weightless(self) -> np.ndarray:
        """Whether all atoms of a set have weight zero, `(S,)`."""
        zero: np.ndarray = self.sizes == 0
        return zero

    def column(self, name: str) -> np.ndarray:
        """Return the first value of a column in each set, `(S,)`."""
        return self._values[name]

    def varies(self, name: str) -> np.ndarray:
        """Return whether a column has several values in a set, `(S,)`."""
        return self._varies[name]

    def unequal(self, tolerance: float = 1e-12) -> np.ndarray:
        """Return whether the weights of a set differ, `(S,)`."""
        size = np.maximum(self.sizes, 1)
        scale = size / np.where(self.total > 0, self.total, 1)
        differs: np.ndarray = np.maximum(self.high * scale - 1, 1 - self.low * scale) > tolerance
        return differs

    def _grow(self) -> None:
        more = len(self) - len(self.sizes)
        if more:
            self.sizes = np.concatenate([self.sizes, np.zeros(more, np.int64)])
            self.total = np.concatenate([self.total, np.zeros(more)])
            self.low = np.concatenate([self.low, np.full(more, np.inf)])
            self.high = np.concatenate([self.high, np.full(more, -np.inf)])

    def _compare(self, name: str, values: np.ndarray, owner: np.ndarray, old: np.ndarray) -> None:
        """Note the first value of each new set, and the sets in which a value differs from it."""
        first = _extended(self._values.get(name, values[:0]), values.dtype, len(self))
        varies = _extended(self._varies.get(name, np.zeros(0, bool)), np.dtype(bool), len(self))
        sets, row = np.unique(owner, return_index=True)
        new = ~old[sets]
        first[sets[new]] = values[row[new]]
        spread = first[owner]
        differs = (values != spread) & ~((values != values) & (spread != spread))
        varies[owner[np.asarray(differs, bool)]] = True
        self._values[name], self._varies[name] = first, varies


def _extended(array: np.ndarray, dtype: np.dtype[Any], size: int) -> np.ndarray:
    """Return an array of this length, of a type that holds its values and those of `dtype`."""
    mixed = {array.dtype.kind, dtype.kind} & {"O", "U"} and array.dtype.kind != dtype.kind
    common = np.dtype(object) if mixed else np.promote_types(array.dtype, dtype)
    if len(array) == size and array.dtype == common:
        return array
    longer = np.zeros(size, common)
    longer[: len(array)] = array
    return longer
