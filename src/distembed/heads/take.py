"""Selection of sets from what scikit-learn passes around: lists, arrays, `Sets` and tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.model.embeddings import Embeddings
from distembed.sets.collection import Sets

__all__ = ["names_of", "number_of", "take"]


def take(sets: Any, rows: NDArray[Any]) -> Any:
    """Return some sets, by number, in the form in which they came.

    Example:
        >>> take(["a", "b", "c"], np.array([2, 0]))
        ['c', 'a']
    """
    if isinstance(sets, Sets | Embeddings):
        return sets.select(rows)
    if isinstance(sets, list | tuple):
        return [sets[i] for i in rows]
    if hasattr(sets, "iloc"):
        return sets.iloc[rows]
    return np.asarray(sets)[rows]


def number_of(sets: Any) -> int:
    """Return the number of sets, or of embeddings.

    Raises:
        TypeError: If it is none of the forms.
    """
    try:
        return len(sets)
    except TypeError as error:
        raise TypeError(
            f"Sets are Sets, a list of arrays, a table of embeddings or an array (S, L), not "
            f"{type(sets).__name__}. Read a file with de.read first."
        ) from error


def names_of(sets: Any) -> NDArray[np.str_]:
    """Return the names of sets: their ids, or their numbers."""
    ids = getattr(sets, "ids", None)
    return np.arange(number_of(sets)).astype(str) if ids is None else np.asarray(ids).astype(str)
