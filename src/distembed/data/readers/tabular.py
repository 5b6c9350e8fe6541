"""The protocol of a table that is read by its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np

__all__ = ["As", "PartsAs", "Table", "refuse_long"]

As = Literal["numbers", "strings", "values", "candidates", "exact"]
"""Type of loaded columns.

Numbers are those of features. Strings are those of sequences. Values are those of metadata:
numbers where nothing is lost by it, and text elsewhere, which is logged. Candidates are values of
columns that may yet become features, of which nothing is logged. Exact are those of labels: text
as it stands in a file, and integers with all their digits.
"""

PartsAs = Literal["numbers", "strings", "exact"]
"""Types of columns that are read in parts: a part does not tell what the whole column holds."""


class Table(Protocol):
    """A table of which columns are read when they are loaded."""

    @property
    def names(self) -> list[str]:
        """Names of the columns."""

    @property
    def numeric(self) -> set[str]:
        """Names of the columns of numbers."""

    @property
    def others(self) -> Mapping[str, str]:
        """Columns that are not numeric, with the reason where they resemble numbers."""

    def load(self, columns: Sequence[str], as_: As) -> list[np.ndarray]:
        """Read columns as a type."""

    def parts(self, columns: Sequence[str], as_: PartsAs, rows: int) -> Iterator[list[np.ndarray]]:
        """Read at least one column as a type, at most so many rows at a time."""

    def settled(self, name: str, exact: np.ndarray) -> np.ndarray:
        """Convert exact values of a column to those of metadata; they may be some of the rows."""


def refuse_long(name: str, words: np.ndarray, largest: int = 2**32) -> None:
    """Refuse a column of strings whose array, as wide as the longest, has more bytes than this.

    Raises:
        ValueError: If it has.
    """
    longest = max(map(len, words.tolist()), default=0)
    if 4 * longest * len(words) > largest:
        raise ValueError(
            f"Column {name!r} holds text of up to {longest} characters in {len(words)} rows, "
            f"which takes {4 * longest * len(words) / 2**30:.0f} GiB as an array. Name the "
            "columns that you need in `meta` and `columns`, or shorten it."
        )
