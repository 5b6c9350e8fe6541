"""Anchors of sets: places or times that are drawn, given as coordinates, or rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.data.labels import as_column, as_text, check_labels, plain_column
from distembed.data.observations import refuse_unknown
from distembed.rng import Rng, as_generator

__all__ = ["Anchors", "anchors_of_sets", "coordinates_of", "grid_anchors"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Anchors:
    """Where sets are made.

    Attributes:
        places: Coordinates, `(A, C)`.
        ids: Names of the sets, `(A,)`.
        meta: Metadata of the sets, each `(A,)`.
        group: The value of `within` of each, `(A,)`; None without such a column.
    """

    places: Array
    ids: np.ndarray
    meta: dict[str, np.ndarray]
    group: np.ndarray | None


def grid_anchors(places: ArrayLike, spacing: float) -> Array:
    """Return the points of a square grid that have an atom in their cell, `(A, C)`.

    Args:
        places: Coordinates of atoms, `(R, C)`.
        spacing: Side of a cell.

    Raises:
        ValueError: If the spacing is not positive.

    Example:
        >>> grid_anchors([[0.1, 0.0], [0.2, 0.1], [2.1, 0.0]], 1.0).tolist()
        [[0.5, 0.5], [2.5, 0.5]]
    """
    if not spacing > 0:
        raise ValueError(f"spacing = {spacing}; the side of a cell is positive.")
    cells = np.floor(np.asarray(places, dtype=np.float64) / spacing)
    points: Array = (np.unique(cells, axis=0) + 0.5) * spacing
    return points


def coordinates_of(columns: Mapping[str, Any], names: Sequence[str]) -> Array:
    """Return columns of numbers or dates as coordinates, `(R, C)`; dates count in days since 1970.

    Raises:
        ValueError: If a column holds neither, or a value is missing.

    Example:
        >>> coordinates_of({"day": np.array(["1970-01-03T12"], "datetime64[h]")}, ["day"])
        array([[2.5]])
    """
    parts = []
    for name in names:
        column = np.asarray(columns[name])
        if column.dtype.kind not in "iufM":
            raise ValueError(
                f"The coordinates in column {name!r} are {column.dtype}; they are numbers or "
                "dates."
            )
        if column.dtype.kind == "M":
            column = _in_days(column)
        if not np.isfinite(column).all():
            row = int(np.argmin(np.isfinite(column)))
            raise ValueError(
                f"Column {name!r} has no coordinate in row {row}; drop rows without a place."
            )
        parts.append(column.astype(np.float64))
    return np.stack(parts, axis=1)


def _in_days(dates: np.ndarray) -> Array:
    """Return dates of any unit as days since 1970; NaN where one is missing."""
    whole = dates.astype("datetime64[D]")
    days: Array = whole.astype(np.int64) + (dates - whole) / np.timedelta64(1, "D")
    return days  # the part of a day that a missing date has is NaN


def anchors_of_sets(
    anchors: int | ArrayLike | Mapping[str, Any],
    places: Array,
    names: Sequence[str],
    group: np.ndarray | None,
    within: str | None,
    rng: Rng,
) -> Anchors:
    """Return the anchors that `by_kernel` was given as a number, as coordinates or as a table.

    Args:
        anchors: As by `by_kernel`.
        places: Coordinates of the atoms, `(R, C)`.
        names: The columns of coordinates.
        group: Labels of the atoms in the column `within`, `(R,)`.
        within: That column.
        rng: Source of the draw of anchors.

    Raises:
        ValueError: If anchors have another dimension, lack a column, or name a part that has no
            atoms.
    """
    meta: dict[str, np.ndarray] = {}
    if isinstance(anchors, Mapping) or hasattr(anchors, "columns"):
        frame: Any = anchors
        given = frame if isinstance(frame, Mapping) else frame.columns
        table = {str(n): as_column(frame[n]) for n in given}
        refuse_unknown([*names, *([within] if within else [])], table, "column of the anchors")
        at = coordinates_of(table, names)
        meta = {n: plain_column(c) for n, c in table.items() if n not in (*names, "id")}
        ids = _labels(table, "id") if "id" in table else np.arange(len(at)).astype(str)
        own = None
        if within and group is not None:
            own = meta[within] = _labels(table, within)
            refuse_unknown(
                np.unique(own).tolist(), np.unique(group).tolist(), f"{within} of atoms"
            )
    elif isinstance(anchors, int | np.integer):
        if not 0 < anchors <= len(places):
            raise ValueError(
                f"anchors = {anchors} of {len(places)} atoms; draw at least one and at most all."
            )
        import torch

        drawn = torch.randperm(len(places), generator=as_generator(rng))[: int(anchors)].sort()[0]
        rows = drawn.numpy()
        at, ids = places[rows], rows.astype(str)
        own = None if group is None else group[rows]
        meta = {} if within is None or own is None else {within: own}
    else:
        at = np.asarray(anchors, dtype=np.float64)
        if group is not None:
            raise ValueError(
                f"Anchors at bare coordinates have no {within!r}. Give a table of anchors with "
                f"the columns {', '.join(map(repr, [*names, within]))}."
            )
        ids, own = np.arange(len(at)).astype(str), None
    if at.ndim != 2 or at.shape[1] != len(names) or not len(at):
        raise ValueError(
            f"The anchors have shape {at.shape}; there are {len(names)} coordinates, so that "
            f"they are (A, {len(names)})."
        )
    coordinates = {n: at[:, j] for j, n in enumerate(names)}
    return Anchors(at, ids, coordinates | meta, own)


def _labels(table: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return the labels of anchors as text, by the rules by which those of atoms are read."""
    text = as_text(table[name])
    check_labels(name, table[name], text)
    return text
