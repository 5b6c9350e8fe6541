"""Tables of Hugging Face `datasets`, and the objects beside them that are no tables.

A `Dataset` has one row an atom, and its columns are read through Arrow, with the rows that a
filter or a selection left. A column of class labels has the names of its classes. A dict of splits
and a stream of rows are refused with the usual fix; so is a lazy frame of polars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from distembed.data.readers.frames import FrameTable

__all__ = ["dataset_table", "is_dataset", "refuse_lazy"]


def is_dataset(source: Any) -> bool:
    """Return whether an object is of `datasets`, without importing it."""
    return hasattr(source, "column_names") and hasattr(source, "with_format")


def refuse_lazy(source: Any) -> None:
    """Raise a TypeError for a table whose rows are not there yet; the message has the fix."""
    kind = type(source)
    if hasattr(kind, "collect") and hasattr(kind, "collect_schema"):
        raise TypeError(
            f"A {kind.__name__} is a query whose rows are not computed yet, and sets are made of "
            "rows. Give source.collect(), or write a .parquet file and give its path."
        )


def dataset_table(source: Any) -> FrameTable:
    """Return the columns of a Hugging Face dataset.

    Raises:
        TypeError: If it is a dict of splits or a stream.
        ValueError: If columns differ in length.
    """
    kind = type(source).__name__
    if isinstance(source, Mapping):
        raise TypeError(
            f"The {kind} is a dict of splits ({', '.join(map(str, source))}), and each is a "
            f"table. Give one of them, such as source[{next(iter(source), 'train')!r}]."
        )
    if not hasattr(source, "__len__"):
        raise TypeError(
            f"The {kind} is a stream of rows, and sets are made of all rows with one label. Load "
            "the dataset without streaming=True, or write a .parquet file and give its path."
        )
    table = source.with_format("arrow")[:]

    def column(name: str) -> np.ndarray:
        values = table.column(name)
        classes = getattr(source.features[name], "names", None)
        if classes is None:
            array: np.ndarray = values.to_numpy()
            return array
        # None where a label is missing, and -1 where it was never annotated
        labels = [None if v is None or v < 0 else classes[v] for v in values.to_pylist()]
        return np.array(labels, dtype=object if None in labels else str)

    return FrameTable(source.column_names, column)
