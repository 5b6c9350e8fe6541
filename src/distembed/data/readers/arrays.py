"""Read arrays or strings in memory: one array a set, or one array with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from distembed.data.observations import Observations
from distembed.data.readers.base import Encode, Request

__all__ = ["SET", "ArrayReader", "from_arrays", "from_labels"]

SET = "set"
"""Name of the column of labels."""


@dataclass(frozen=True)
class ArrayReader:
    """Reader of arrays and strings in memory."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    selection: ClassVar[str | None] = None

    @classmethod
    def accepts(cls, source: Any, by: Any) -> bool:
        """Return whether the source is an array, or a list or dict of them."""
        return isinstance(source, np.ndarray | Mapping | Sequence)

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read one array with the labels `by`, or one array a set.

        Raises:
            ValueError: If labels are missing or not needed, or the arrays do not fit.
        """
        if isinstance(source, np.ndarray):
            if request.by is None or isinstance(request.by, str):
                raise ValueError(
                    f"One array, here of shape {source.shape}, needs `by`: an array with the "
                    "label of each row. Give a list of arrays if each is a set."
                )
            return from_labels(source, request.by, encode=request.encode), [SET]
        if request.by is not None:
            raise ValueError(
                f"A {type(source).__name__} of arrays takes no `by`: every array is a set already."
            )
        return from_arrays(source, request.encode), [SET]


def from_arrays(
    sets: Sequence[Any] | Mapping[str, Any], encode: Encode | None = None
) -> Observations:
    """Concatenate one array a set, each `(m, *event)`.

    Args:
        sets: The arrays, in order, or by the name of their set. Where atoms are tokens, a list of
            strings or an array `(m, T)` of tokens each; T may differ.
        encode: Function from strings to tokens, where atoms are tokens.

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
        raise ValueError("There is no set in this list or dict; give at least one array.")
    arrays = {str(name): _array(str(name), x, encode) for name, x in named.items()}
    if encode is not None and all(x.ndim == 2 for x in arrays.values()):
        longest = max(x.shape[1] for x in arrays.values())
        arrays = {n: np.pad(x, ((0, 0), (0, longest - x.shape[1]))) for n, x in arrays.items()}
    first, shape = next((name, x.shape[1:]) for name, x in arrays.items())
    for name, x in arrays.items():
        if x.shape[1:] != shape:
            raise ValueError(
                f"Set {name!r} has atoms of shape {x.shape[1:]}, but those of set {first!r} have "
                f"shape {shape}; all atoms of a collection have one shape."
            )
    labels = np.repeat(list(arrays), [len(x) for x in arrays.values()])
    return Observations(np.concatenate(list(arrays.values())), {SET: labels})


def from_labels(
    x: np.ndarray,
    labels: Any,
    features: Sequence[str] | None = None,
    encode: Encode | None = None,
) -> Observations:
    """Return observations of one array `(R, *event)`, which is not copied, by label `(R,)`.

    Args:
        x: Atoms, or `(R,)` strings where atoms are tokens.
        labels: The set of each row.
        features: Names of the features.
        encode: Function from strings to tokens, where atoms are tokens.

    Raises:
        ValueError: If there is not one label a row.
    """
    names = None if features is None else tuple(features)
    atoms = _encoded("The array", x, encode) if x.dtype.kind in "UO" and x.ndim == 1 else x
    return Observations(atoms, {SET: np.asarray(labels)}, names)


def _array(name: str, x: Any, encode: Encode | None) -> np.ndarray:
    """Return the atoms of one set as an array."""
    try:
        array = np.asarray(x)
    except ValueError as error:
        advice = " Pad tokens with 0 at the end, or give strings." if encode else ""
        raise ValueError(
            f"Set {name!r} is ragged; its atoms must have one shape.{advice}"
        ) from error
    if array.dtype.kind in "UO" and array.ndim == 1 and len(array):
        return _encoded(f"Set {name!r}", array, encode)
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


def _encoded(subject: str, x: np.ndarray, encode: Encode | None) -> np.ndarray:
    """Return the tokens of strings `(m,)`."""
    strings = x.tolist()
    for row, value in enumerate(strings):
        if not isinstance(value, str):
            raise ValueError(f"{subject} holds {value!r} in row {row}; atoms are all strings.")
    if encode is None:
        symbols = "".join(sorted(set().union(*strings)))
        raise ValueError(
            f"{subject} holds strings, such as {strings[0][:20]!r}. State their alphabet: "
            f"atoms={{'name': 'tokens', 'alphabet': ...}}; the symbols here are {symbols!r}."
        )
    try:
        return encode(strings)
    except ValueError as error:
        raise ValueError(f"{subject}: {error}") from error
