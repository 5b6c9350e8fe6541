"""Columns of a data frame of any library, of a structured array, or of a dict of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np

from distembed.data.labels import as_column, plain_column
from distembed.data.readers.tabular import As, PartsAs

__all__ = ["FrameTable"]

_KINDS = {
    "M": "dates: give numbers, such as (x - reference) / np.timedelta64(1, 'D')",
    "m": "time differences: give numbers, such as x / np.timedelta64(1, 's')",
    "c": "complex numbers: give their real and imaginary parts as two columns",
}


class FrameTable:
    """A table in memory.

    Args:
        names: Names of the columns.
        get: Function from a name to the column.

    Raises:
        ValueError: If a column has more than one axis, or columns differ in length.
    """

    def __init__(self, names: Iterable[Any], get: Callable[[Any], Any]) -> None:
        given = list(names)
        self.names = [str(name) for name in given]
        if len(set(self.names)) < len(self.names):  # a frame returns both columns of a name
            self._arrays: dict[str, np.ndarray] = {}
            return
        self._arrays = {str(name): as_column(get(name)) for name in given}
        for name, values in self._arrays.items():
            if values.ndim != 1:
                raise ValueError(
                    f"Column {name!r} has shape {values.shape}; a column holds one value a row. "
                    "For one array a set, leave `by` out."
                )
        lengths = {name: len(values) for name, values in self._arrays.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name!r} has {rows}" for name, rows in list(lengths.items())[:8])
            raise ValueError(f"Columns differ in their numbers of rows: {listed}.")

    @cached_property
    def numeric(self) -> set[str]:
        """Names of the columns of numbers, perhaps with other values among them."""
        return {name for name, values in self._arrays.items() if _holds_numbers(values)}

    @cached_property
    def others(self) -> dict[str, str]:
        """Columns that are not numeric, with the reason where they resemble numbers."""
        return {n: _reason(v) for n, v in self._arrays.items() if n not in self.numeric}

    def load(self, columns: Sequence[str], as_: As) -> list[np.ndarray]:
        """Return columns.

        Raises:
            ValueError: If one holds values of another type.
        """
        arrays = [(name, self._arrays[name]) for name in columns]
        if as_ == "numbers":
            return [_as_numbers(name, values) for name, values in arrays]
        if as_ == "exact":
            return [values for _, values in arrays]
        plain = [(name, plain_column(values)) for name, values in arrays]
        for name, values in plain:
            if as_ == "strings" and values.dtype.kind != "U":
                raise ValueError(
                    f"Column {name!r} holds {values.dtype} values; sequences are strings. Name a "
                    "column of strings, or several columns of tokens."
                )
        return [values for _, values in plain]

    def parts(self, columns: Sequence[str], as_: PartsAs, rows: int) -> Iterator[list[np.ndarray]]:
        """Slice columns."""
        loaded = self.load(columns, as_)
        for low in range(0, len(loaded[0]), rows):
            yield [values[low : low + rows] for values in loaded]

    def settled(self, name: str, exact: np.ndarray) -> np.ndarray:
        """Convert exact values of a column to those of metadata."""
        return plain_column(exact)


def _number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal | np.number | np.bool_) and not isinstance(
        value, complex
    )


def _absent(value: Any) -> bool:
    """Return whether a value is missing; an array or a list is a value."""
    return value is None or (isinstance(value, float | np.floating) and value != value)


def _holds_numbers(values: np.ndarray) -> bool:
    if values.dtype.kind == "O":
        return any(_number(v) and not _absent(v) for v in values.tolist())
    return values.dtype.kind in "biuf"


def _as_numbers(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "O":
        return values
    for row, value in enumerate(values.tolist()):
        if not _number(value) or math.isnan(value):
            raise ValueError(
                f"Column {name!r} holds {value!r} in row {row}, among numbers; features are "
                "numbers. Correct or drop that row, or leave the column out of `columns`."
            )
    return values.astype(np.float64)


def _reason(values: np.ndarray) -> str:
    """Return why a column that is not numeric resembles one, or a blank."""
    if values.dtype.kind in _KINDS:
        return _KINDS[values.dtype.kind]
    if values.dtype.kind not in "OUS":
        return f"values of type {values.dtype}"
    first = next((v for v in values.tolist() if not _absent(v)), None)
    if isinstance(first, str):
        return ""
    if first is None:
        return "no value"
    if hasattr(first, "isoformat"):
        return _KINDS["M"]
    if hasattr(first, "__len__") and not isinstance(first, bytes):
        return f"a {type(first).__name__} in each row: give one column for each of its numbers"
    return f"values of type {type(first).__name__}"
