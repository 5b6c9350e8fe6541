"""Raw observations: one row an atom, with columns of labels and other annotation."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

import numpy as np

from distembed.data.file_rows import FileRows
from distembed.data.labels import as_text, check_labels

__all__ = ["Observations", "map_location", "open_map", "portable_type", "refuse_unknown"]


@dataclass(frozen=True, eq=False)
class Observations:
    """R observations of one kind.

    Attributes:
        x: Atoms, a NumPy array or memory map `(R, *event)`, rows that stay in their file
            (`distembed.data.file_rows`), or a SciPy CSR matrix `(R, D)`.
        columns: Annotation of the rows, such as the label of their set, each `(R,)`.
        features: Names of the D features, where atoms are vectors with names.
        exact: Labels as they stand in the source, for columns that are numbers in `columns`.

    Raises:
        TypeError: If `x` is none of these.
        ValueError: If `x` does not hold numbers, has no row or no column, or lengths do not agree.

    Example:
        >>> Observations(np.zeros((3, 2)), {"patient": np.array(["a", "a", "b"])}).rows
        3
    """

    x: Any
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: tuple[str, ...] | None = None
    exact: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.x, np.ndarray | FileRows) and not self.sparse:
            raise TypeError(
                f"x is a {type(self.x).__name__}; observations are a NumPy array or a SciPy CSR "
                "matrix. Convert with np.asarray(x) or x.tocsr()."
            )
        if self.x.dtype.kind not in "biuf":
            raise ValueError(
                f"x has dtype {self.x.dtype}; atoms are numbers. Convert with x.astype(float), or "
                "choose other columns."
            )
        if not self.x.ndim or not self.rows:
            raise ValueError(f"x has shape {self.x.shape}; there is no observation in it.")
        if not all(self.event_shape):
            raise ValueError(f"x has shape {self.x.shape}; an atom needs at least one number.")
        for name, column in (*self.columns.items(), *self.exact.items()):
            if column.shape != (self.rows,):
                raise ValueError(
                    f"Column {name!r} has shape {column.shape}; x has {self.rows} rows, and a "
                    "column holds one value a row."
                )
        if self.features is not None:
            if self.event_shape != (len(self.features),):
                raise ValueError(
                    f"There are {len(self.features)} feature names for atoms of shape "
                    f"{self.event_shape}; names belong to vectors, one a feature."
                )
            if len(set(self.features)) < len(self.features):
                twice = next(f for f in self.features if self.features.count(f) > 1)
                raise ValueError(f"Feature {twice!r} is named twice; names must be unique.")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a memory map as the location of its file, which a worker opens anew."""
        location = map_location(self.x)
        if location is not None:
            return _reopened, (location, self.columns, self.features, self.exact)
        return Observations, (self.x, self.columns, self.features, self.exact)

    def labels(self, name: str, check: bool = False) -> np.ndarray:
        """Return a column of labels as strings, exactly as they are in the source, `(R,)`.

        Args:
            name: Name of the column.
            check: Whether to check them, and to log those that may stand for a missing one.

        Raises:
            ValueError: If a row has no label, or a label has lost digits, and they are checked.
        """
        column = self.exact.get(name, self.columns[name])
        text = as_text(column)
        if check:
            check_labels(name, column, text)
        return text

    @property
    def sparse(self) -> bool:
        """Whether `x` is a CSR matrix, which is made dense a few rows at a time."""
        return getattr(self.x, "format", None) == "csr"

    @property
    def rows(self) -> int:
        """Number of observations R."""
        return int(self.x.shape[0])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom."""
        return tuple(self.x.shape[1:])


def map_location(x: Any) -> tuple[Any, ...] | None:
    """Return the location of a memory map, for `open_map`; None for other arrays and views."""
    whole = isinstance(x, np.memmap) and isinstance(getattr(x, "base", None), mmap)
    if not whole or not x.filename:
        return None
    return x.filename, x.dtype, x.offset, x.shape, "C" if x.flags.c_contiguous else "F"


def open_map(location: tuple[Any, ...]) -> np.memmap[Any, Any]:
    """Open a memory map anew."""
    filename, dtype, offset, shape, order = location
    return np.memmap(filename, dtype, "r", offset, shape, order)


def _reopened(location: tuple[Any, ...], *others: Any) -> Observations:
    return Observations(open_map(location), *others)


def portable_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of native byte order, of at most 64 bits, of a batch of these numbers.

    Example:
        >>> portable_type(np.dtype(">f4")), portable_type(np.dtype(np.longdouble))
        (dtype('float32'), dtype('float64'))
    """
    return np.dtype(np.float64) if dtype.char == "g" else dtype.newbyteorder("=")


def refuse_unknown(names: Iterable[str], available: Iterable[str], kind: str) -> None:
    """Raise a ValueError for a name that is not available; the message lists close names.

    Args:
        names: The names to check.
        available: The names there are.
        kind: What they name, for the message ("column").
    """
    listed = list(available)
    index = set(listed)
    for name in names:
        if name not in index:
            close = difflib.get_close_matches(str(name), listed, n=3, cutoff=0.5)
            if not listed:
                raise ValueError(f"There is no {kind} {name!r}, and no other either.")
            examples = ", ".join(map(repr, close or listed[:8]))
            lead = "close names are" if close else f"there are {len(listed)}, such as"
            raise ValueError(f"There is no {kind} {name!r}; {lead}: {examples}.")
