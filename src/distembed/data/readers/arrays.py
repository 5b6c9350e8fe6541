"""Read arrays or strings in memory: one array a set, or one array with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from distembed.data.features import match_columns
from distembed.data.labels import as_column
from distembed.data.observations import Observations
from distembed.data.readers.atoms import Atoms, as_atoms, is_array
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
        """Return whether the source is an array of any library, or a list or dict of them."""
        return is_array(source) or isinstance(source, Mapping | Sequence)

    def read(self, source: Any, request: Request) -> tuple[Observations, list[str]]:
        """Read one array with the labels `by`, or one array a set.

        Raises:
            ValueError: If labels are missing or not needed, or the arrays do not fit.
        """
        if is_array(source):
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
        sets: The arrays or data frames, in order, or by the name of their set; columns of data
            frames are matched by name (`distembed.data.readers.atoms`). Where atoms are tokens, a
            list of strings or an array `(m, T)` of tokens each; T may differ.
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
    named = list(sets.items() if isinstance(sets, Mapping) else enumerate(sets))
    if not named:
        raise ValueError("There is no set in this list or dict; give at least one array.")
    names = [str(name) for name, _ in named]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise ValueError(f"Two sets are named {twice!r}; names are compared as text.")
    atoms = [_encoded(f"Set {n!r}", x, encode) for n, (_, x) in zip(names, named, strict=True)]
    if encode is not None and all(isinstance(a.x, np.ndarray) and a.x.ndim == 2 for a in atoms):
        longest = max(a.x.shape[1] for a in atoms)
        atoms = [Atoms(np.pad(a.x, ((0, 0), (0, longest - a.x.shape[1])))) for a in atoms]
    parts = [
        _like_first(name, a, names[0], atoms[0]) for name, a in zip(names, atoms, strict=True)
    ]
    labels = np.repeat(names, [x.shape[0] for x in parts])
    return Observations(_concatenated(parts), {SET: labels}, atoms[0].features)


def from_labels(
    x: Any,
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
        ValueError: If `x` holds no atoms, or there is not one label a row.
    """
    atoms = _encoded("The array", x, encode)
    names = atoms.features if features is None else tuple(features)
    return Observations(atoms.x, {SET: as_column(labels)}, names)


def _like_first(name: str, atoms: Atoms, first: str, model: Atoms) -> Any:
    """Return atoms with the shape, and with the features in the order, of those of a first set."""
    if (atoms.features is None) != (model.features is None):
        one, other = (name, first) if atoms.features else (first, name)
        raise ValueError(
            f"The features of set {one!r} have names, and those of set {other!r} have none; give "
            "all sets as data frames with the same columns, or all as arrays."
        )
    if atoms.features is not None and model.features is not None:
        if differing := set(atoms.features) ^ set(model.features):
            raise ValueError(
                f"Set {name!r} has the features {', '.join(atoms.features)}, and set {first!r} "
                f"has {', '.join(model.features)}; they differ in "
                f"{', '.join(sorted(differing))}. All sets have the same features."
            )
        order = match_columns(model.features, atoms.features)
        return atoms.x if order is None else atoms.x[:, order]
    if atoms.x.shape[1:] != model.x.shape[1:]:
        raise ValueError(
            f"Set {name!r} has atoms of shape {atoms.x.shape[1:]}, but those of set {first!r} "
            f"have shape {model.x.shape[1:]}; all atoms of a collection have one shape."
        )
    return atoms.x


def _concatenated(parts: Sequence[Any]) -> Any:
    """Join parts row by row; sparse if all of them are."""
    if all(isinstance(x, np.ndarray) for x in parts):
        return np.concatenate(parts)
    if any(isinstance(x, np.ndarray) for x in parts):
        return np.concatenate([x if isinstance(x, np.ndarray) else x.toarray() for x in parts])
    import scipy.sparse

    return scipy.sparse.vstack(parts, format="csr")


def _encoded(subject: str, source: Any, encode: Encode | None) -> Atoms:
    """Return atoms; strings as the tokens of an alphabet."""
    try:
        atoms = as_atoms(subject, source)
    except ValueError as error:
        if encode is not None and "is ragged" in str(error):
            raise ValueError(f"{error} Pad tokens with 0 at the end, or give strings.") from error
        raise
    if not isinstance(atoms.x, np.ndarray) or atoms.x.dtype.kind != "U":
        return atoms
    strings = atoms.x.tolist()
    if encode is None:
        symbols = "".join(sorted(set().union(*strings)))
        raise ValueError(
            f"{subject} holds strings, such as {strings[0][:20]!r}. State their alphabet: "
            f"atoms={{'name': 'tokens', 'alphabet': ...}}; the symbols here are {symbols!r}."
        )
    try:
        return Atoms(encode(strings))
    except ValueError as error:
        raise ValueError(f"{subject}: {error}") from error
