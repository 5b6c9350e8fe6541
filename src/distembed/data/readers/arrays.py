"""Observations from arrays in memory: one array a set, or one array and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distembed.data.observations import Observations

__all__ = ["SET", "from_arrays", "from_labels"]

SET = "set"
"""Name of the column that `from_arrays` writes."""


def from_arrays(sets: Sequence[Any] | Mapping[str, Any]) -> Observations:
    """Put one array a set, each `(m, *event)`, under one another.

    Args:
        sets: The arrays, in order, or by the name of their set.

    Returns:
        Observations whose column `set` holds the name of each row's set, its number in a list.

    Raises:
        ValueError: If there is no set, a set is empty, or event shapes disagree.

    Example:
        >>> obs = from_arrays({"a": [[1.0], [2.0]], "b": [[3.0]]})
        >>> obs.x.shape, obs.columns["set"].tolist()
        ((3, 1), ['a', 'a', 'b'])
    """
    named = sets if isinstance(sets, Mapping) else {str(i): x for i, x in enumerate(sets)}
    if not named:
        raise ValueError("There is no set; give at least one array.")
    arrays = {str(name): _array(str(name), x) for name, x in named.items()}
    first, shape = next((name, x.shape[1:]) for name, x in arrays.items())
    for name, x in arrays.items():
        if x.shape[1:] != shape:
            raise ValueError(
                f"Set {name!r} has atoms of shape {x.shape[1:]}, but those of set {first!r} have "
                f"shape {shape}; all atoms of a collection have one shape."
            )
    labels = np.repeat(list(arrays), [len(x) for x in arrays.values()])
    return Observations(np.concatenate(list(arrays.values())), {SET: labels})


def from_labels(x: np.ndarray, labels: Any, features: Sequence[str] | None = None) -> Observations:
    """Take one array `(R, *event)`, which is not copied, and the set of each row `(R,)`.

    Raises:
        ValueError: If there is not one label a row.
    """
    names = None if features is None else tuple(features)
    return Observations(x, {SET: np.asarray(labels)}, names)


def _array(name: str, x: Any) -> np.ndarray:
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"Set {name!r} is ragged; its atoms must have one shape.") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"Set {name!r} holds {array.dtype} values; atoms are numbers.")
    if array.ndim < 2:
        raise ValueError(
            f"Set {name!r} has shape {array.shape}; it needs (m, *event). A set of m numbers is "
            "x[:, None], of shape (m, 1)."
        )
    if not len(array):
        raise ValueError(f"Set {name!r} is empty; a distribution needs at least one atom.")
    return array
