"""Raw observations: one row a sample, and columns that say which set it belongs to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

import numpy as np

__all__ = ["Observations", "plain_column", "refuse_unknown"]

_MISSING = {"None", "nan", "NaN", "<NA>", "NaT"}


@dataclass(frozen=True, eq=False)
class Observations:
    """R observations of one kind.

    Attributes:
        x: Atoms, a NumPy array or memory map `(R, *event)`, or a SciPy CSR matrix `(R, D)`.
        columns: What else is known of each row, each `(R,)`.
        features: Names of the D features, where atoms are vectors with names.

    Raises:
        TypeError: If `x` is neither.
        ValueError: If `x` does not hold numbers or has no row, or lengths do not agree.

    Example:
        >>> Observations(np.zeros((3, 2)), {"patient": np.array(["a", "a", "b"])}).rows
        3
    """

    x: Any
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.x, np.ndarray) and not self.sparse:
            raise TypeError(
                f"x is a {type(self.x).__name__}; observations are a NumPy array or a SciPy CSR "
                "matrix. Convert with np.asarray(x) or x.tocsr()."
            )
        if self.x.dtype.kind not in "biuf":
            raise ValueError(
                f"x has dtype {self.x.dtype}; atoms are real numbers. Convert with "
                "x.astype(float), or choose other columns."
            )
        if not self.x.ndim or not self.rows:
            raise ValueError(f"x has shape {self.x.shape}; there is no observation in it.")
        for name, column in self.columns.items():
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
        """Pickle a memory map as the place of its file, so that a worker opens it, not copies."""
        x, base = self.x, getattr(self.x, "base", None)
        if isinstance(x, np.memmap) and isinstance(base, mmap) and x.filename:  # not a part of one
            order = "C" if x.flags.c_contiguous else "F"
            place = (x.filename, x.dtype, "r", x.offset, x.shape, order)
            return _reopened, (place, self.columns, self.features)
        return Observations, (x, self.columns, self.features)

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


def _reopened(
    place: tuple[Any, ...], columns: Mapping[str, np.ndarray], features: tuple[str, ...] | None
) -> Observations:
    return Observations(np.memmap(*place), columns, features)


def plain_column(values: np.ndarray) -> np.ndarray:
    """Turn a column of objects into strings, with a missing one as an empty string."""
    if values.dtype.kind != "O":
        return values
    return np.array([v if isinstance(v, str) else _text(v) for v in values.tolist()])


def _text(value: object) -> str:
    text = str(value)
    return "" if text in _MISSING else text


def refuse_unknown(wanted: Iterable[str], known: Iterable[str], kind: str) -> None:
    """Raise a ValueError that lists close names if something wanted is not known."""
    names = list(known)
    there = set(names)
    for name in wanted:
        if name not in there:
            close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
            shown = ", ".join(map(repr, close or names[:8])) or "none"
            more = "close names are" if close else f"there are {len(names)}, such as"
            raise ValueError(f"There is no {kind} {name!r}; {more}: {shown}.")
