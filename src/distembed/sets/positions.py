"""Resolve a choice of sets, by id, number or mask, to positions in a collection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distembed.data.observations import refuse_unknown

__all__ = ["Choice", "positions"]

Choice = Sequence[int] | Sequence[str] | slice | np.ndarray
"""Ids (strings), numbers (integers), a slice of numbers, or a mask (booleans)."""


def positions(choice: Choice, ids: np.ndarray) -> np.ndarray:
    """Return the positions of the chosen sets, in the order of the choice.

    Args:
        choice: Ids, numbers, a slice, or a mask `(S,)`.
        ids: Names of all sets, `(S,)`.

    Raises:
        IndexError: If there is no set of a number.
        ValueError: If there is no set of an id, a mask has another length, or the choice is none
            of these.

    Example:
        >>> positions(["b", "a"], np.array(["a", "b"])).tolist()
        [1, 0]
    """
    if isinstance(choice, slice):
        choice = range(len(ids))[choice]
    chosen = np.atleast_1d(np.asarray(choice))
    if chosen.dtype == bool:
        if chosen.shape != ids.shape:
            raise ValueError(f"The mask has shape {chosen.shape}; there are {len(ids)} sets.")
        return np.flatnonzero(chosen)
    # NumPy turns numbers beside strings into strings, so the types are those of the entries
    entries = list(choice) if isinstance(choice, Sequence) else chosen.ravel().tolist()
    if entries and all(isinstance(name, str) for name in entries):
        names = chosen.ravel().tolist()
        refuse_unknown(names, ids.tolist(), "set")
        position = {name: s for s, name in enumerate(ids.tolist())}
        return np.array([position[name] for name in names])
    if chosen.ndim != 1 or len(chosen) and chosen.dtype.kind not in "iu":
        raise ValueError(
            f"{choice!r} is of type {chosen.dtype} and shape {chosen.shape}; sets are chosen with "
            "a list of ids (strings), of numbers (integers), or a mask (booleans), one for each "
            "set."
        )
    outside = (chosen < -len(ids)) | (chosen >= len(ids))
    if outside.any():
        raise IndexError(
            f"There is no set {chosen[np.argmax(outside)]}: {len(ids)} sets are numbered from 0 "
            f"to {len(ids) - 1}. Ids are strings, as in select(['{ids[0]}'])."
        )
    numbers: np.ndarray = np.arange(len(ids))[chosen.astype(np.int64)]
    return numbers
