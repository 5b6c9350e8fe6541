"""Join a table of metadata, one row a set or one for each label, to the sets."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distembed.data.labels import as_text
from distembed.data.observations import refuse_unknown
from distembed.data.readers.files import FILE
from distembed.sets.collection import Sets

__all__ = ["join_metadata", "joined_columns", "say_left_out"]

logger = logging.getLogger(__name__)


def join_metadata(
    sets: Sets, by: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]
) -> Sets:
    """Join the columns of a table with one row a set, or one row for each value of a `by`.

    Args:
        sets: The sets.
        by: Columns of labels as text, each `(S,)`.
        second: The table, with its columns of labels as text.

    Raises:
        ValueError: As `joined_columns`.
    """
    return sets.with_meta(joined_columns(by, second, sets.meta))


def joined_columns(
    by: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], meta: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the columns of a second table for sets, `(S,)` each.

    Args:
        by: Columns of labels of the sets as text, each `(S,)`.
        second: The table, with its columns of labels as text.
        meta: Metadata that the sets have.

    Raises:
        ValueError: If no column of labels is in the table, a set has no row or several, or a
            column is in both and differs.
    """
    keys = [name for name in by if name in second]
    if not keys:
        _refuse_other_key(by, second)
    keyed = list(zip(*(second[name].tolist() for name in keys), strict=True))
    sought = list(zip(*(by[name].tolist() for name in keys), strict=True))
    row = {key: i for i, key in enumerate(keyed)}
    if len(row) < len(keyed):
        twice = next(key for i, key in enumerate(keyed) if row[key] != i)
        raise ValueError(f"The metadata have several rows for {'|'.join(twice)!r}; one is needed.")
    missing = [key for key in sought if key not in row]
    if missing:
        raise ValueError(
            f"The metadata have no row for {len(missing)} of {len(sought)} sets, the first being "
            f"{'|'.join(missing[0])!r}; they have rows for names such as {'|'.join(keyed[0])!r}, "
            f"and names are compared as text. {_advice(keys, missing, keyed)}"
        )
    index = np.array([row[key] for key in sought])
    joined = {name: column[index] for name, column in second.items() if name not in keys}
    for name in joined.keys() & meta.keys():
        if (as_text(joined[name]) != as_text(meta[name])).any():
            raise ValueError(
                f"Column {name!r} is in the data and in the metadata, and they differ; keep one."
            )
    return joined


def say_left_out(source: Any, names: Sequence[str]) -> None:
    """Name the columns of cells that are no metadata, because they vary within sets."""
    if names:
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        logger.warning(
            "%s: the columns %s of obs vary within sets, and are left out; those that do not are "
            "metadata of the sets",
            source, shown,
        )  # fmt: skip


def _refuse_other_key(by: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> None:
    """Refuse metadata without a column of labels, and name a column that holds them.

    Raises:
        ValueError: In any case.
    """
    name, labels = next(iter(by.items()))
    for column, values in second.items():
        text = as_text(values)
        if set(labels.tolist()) <= set(text.tolist()):
            fix = f"Rename it to {name!r}"
            if name == FILE:
                fix += f", or name the sets by a field of the pattern, such as '{{{column}}}.csv'"
            raise ValueError(
                f"The metadata have no column {name!r}, which names the sets. Their column "
                f"{column!r} has these names. {fix}."
            )
    refuse_unknown([name], second, "column of the metadata")


def _advice(
    keys: Sequence[str], missing: Sequence[tuple[str, ...]], keyed: Sequence[tuple[str, ...]]
) -> str:
    """Return the fix for rows that are missing: names with the suffix of a file, or no row."""
    if len(keys) == 1:
        (first,) = missing[0]
        longer = [name for (name,) in keyed if name.startswith(f"{first}.")]
        if longer:
            return (
                f"Names of sets have no suffix of a file: write {first!r} in place of "
                f"{longer[0]!r} in the column {keys[0]!r} of the metadata."
            )
    return "Add the rows, or drop these sets first."
