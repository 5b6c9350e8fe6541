r"""Kinds of atoms: what an atom is, how it travels, and what is defined for it.

| kind      | atom                      | travels as | default transform      | ground    |
|-----------|---------------------------|------------|------------------------|-----------|
| `vectors` | D real numbers, any shape | float32    | standardise            | Euclidean |
| `counts`  | D whole numbers >= 0      | float32    | log1p, standardise     | Euclidean |
| `images`  | channels, height, width   | float32    | standardise, one scale | Euclidean |
| `tokens`  | T symbols of an alphabet  | int64      | none                   | none      |

A collection carries the space of its atoms, and a model stores it. Everything that depends on the
kind asks the space: which members of a family apply is stated by `Member.atoms` and asked with
`distembed.registry.applicable`. What is not defined for a kind is refused by name, never computed
on the numbers that happen to encode it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from distembed.data import SPACES
from distembed.protocols import AtomSpace
from distembed.registry import build

__all__ = ["Counts", "Images", "Tokens", "Vectors", "as_space", "require_ground"]


def as_space(space: str | Mapping[str, Any] | AtomSpace) -> AtomSpace:
    """Build a space from its name, or from a mapping of `name` and options.

    Raises:
        ValueError: If there is no such kind of atom, or it has no such option.

    Example:
        >>> as_space({"name": "tokens", "alphabet": "ACGT"}).facts
        {'vocab': 4}
    """
    if isinstance(space, str | Mapping):
        built: AtomSpace = build(SPACES, space, "kind of atom")
        return built
    return space


def require_ground(space: AtomSpace, purpose: str) -> None:
    """Refuse a use that needs a distance between atoms where the kind has none.

    Args:
        space: The kind of atoms.
        purpose: What needs the distance, the subject of the message, such as `W2`.

    Raises:
        ValueError: If the space has no ground distance.
    """
    if not space.has_ground:
        raise ValueError(
            f"{purpose} is not defined for {space.name}: it compares atoms by a distance, and "
            f"{space.name} have none here. Numbers that encode symbols are labels, and their "
            "differences mean nothing."
        )


def _euclidean(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances of flattened atoms, `(N, *event), (M, *event) -> (N, M)`."""
    distances: Tensor = torch.cdist(a.flatten(1).double(), b.flatten(1).double())
    return distances


@dataclass(frozen=True)
class Vectors:
    """Real numbers of any fixed shape, with the Euclidean distance."""

    name: ClassVar[str] = "vectors"
    dtype: ClassVar[torch.dtype] = torch.float32
    has_ground: ClassVar[bool] = True

    @property
    def facts(self) -> dict[str, Any]:
        """Nothing that a network must be told."""
        return {}

    def default_transform(self, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """Standardise: named features have units of their own, others share one scale."""
        return [{"name": "standardise", "over": "all" if features is None else "feature"}]

    def check(self, x: np.ndarray) -> None:
        """Accept any numbers."""

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Euclidean distances, `(N, *event), (M, *event) -> (N, M)`."""
        return _euclidean(a, b)

    def describe(self) -> dict[str, Any]:
        """Return the mapping from which `as_space` builds an equal space."""
        return {"name": self.name}


@dataclass(frozen=True)
class Counts:
    """Whole numbers of at least zero, with the Euclidean distance after the transform."""

    name: ClassVar[str] = "counts"
    dtype: ClassVar[torch.dtype] = torch.float32
    has_ground: ClassVar[bool] = True

    @property
    def facts(self) -> dict[str, Any]:
        """Nothing that a network must be told."""
        return {}

    def default_transform(self, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """Logarithm of one plus the count, then standardise."""
        return [{"name": "log1p"}, *Vectors().default_transform(features)]

    def check(self, x: np.ndarray) -> None:
        """Raise a ValueError where a value is negative or not whole."""
        odd = x[(x < 0) | (x != np.round(x))]
        if odd.size:
            raise ValueError(
                f"A count is {odd.flat[0]:.4g}; counts are whole numbers of at least 0. Read the "
                "atoms as vectors: atoms='vectors'."
            )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Euclidean distances, `(N, *event), (M, *event) -> (N, M)`."""
        return _euclidean(a, b)

    def describe(self) -> dict[str, Any]:
        """Return the mapping from which `as_space` builds an equal space."""
        return {"name": self.name}


@dataclass(frozen=True)
class Images:
    """Images of channels x height x width, with the Euclidean distance of pixels.

    Attributes:
        low: Smallest value of a pixel.
        high: Largest value of a pixel.
        whole: Whether pixels are whole numbers, as in uint8 images.
    """

    low: float | None = None
    high: float | None = None
    whole: bool = False

    name: ClassVar[str] = "images"
    dtype: ClassVar[torch.dtype] = torch.float32
    has_ground: ClassVar[bool] = True

    @property
    def facts(self) -> dict[str, Any]:
        """Nothing that a network must be told."""
        return {}

    def default_transform(self, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """Standardise all pixels by one mean and one scale."""
        return [{"name": "standardise", "over": "all"}]

    def check(self, x: np.ndarray) -> None:
        """Raise a ValueError where atoms are not channels x height x width."""
        if x.ndim != 4:
            raise ValueError(
                f"Atoms have shape {x.shape[1:]}; an image is channels x height x width. For one "
                "channel use x[:, None]; for a last axis of channels np.moveaxis(x, -1, 1)."
            )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Euclidean distances, `(N, *event), (M, *event) -> (N, M)`."""
        return _euclidean(a, b)

    def describe(self) -> dict[str, Any]:
        """Return the mapping from which `as_space` builds an equal space."""
        options = {"low": self.low, "high": self.high, "whole": self.whole}
        return {"name": self.name, **options}


@dataclass(frozen=True)
class Tokens:
    """Sequences over an alphabet: whole numbers 1 to V, and the pad 0 at the end only.

    Attributes:
        alphabet: The V symbols; symbol k is token k + 1.

    Raises:
        ValueError: If there is no symbol, or one occurs twice.

    Example:
        >>> dna = Tokens("ACGT")
        >>> dna.encode(["ACG", "T"]).tolist()
        [[1, 2, 3], [4, 0, 0]]
        >>> dna.decode(dna.encode(["ACG", "T"]))
        ['ACG', 'T']
    """

    alphabet: str

    name: ClassVar[str] = "tokens"
    dtype: ClassVar[torch.dtype] = torch.int64
    has_ground: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.alphabet or len(set(self.alphabet)) < len(self.alphabet):
            raise ValueError(
                f"The alphabet is {self.alphabet!r}; it needs at least one symbol, each once."
            )

    @property
    def facts(self) -> dict[str, Any]:
        """The largest token, which networks of tokens are built with."""
        return {"vocab": len(self.alphabet)}

    def default_transform(self, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """No transform: tokens are labels."""
        return []

    def encode(self, sequences: Sequence[str]) -> np.ndarray:
        """Return tokens `(N, T)` of strings, padded to the longest.

        Raises:
            ValueError: If a symbol is not of the alphabet.
        """
        token = {symbol: k + 1 for k, symbol in enumerate(self.alphabet)}
        ids = np.zeros((len(sequences), max(map(len, sequences), default=0)), np.int64)
        for i, sequence in enumerate(sequences):
            for t, symbol in enumerate(sequence):
                if symbol not in token:
                    raise ValueError(
                        f"Sequence {i} has {symbol!r} at position {t}; the alphabet is "
                        f"{self.alphabet!r}."
                    )
                ids[i, t] = token[symbol]
        return ids

    def decode(self, ids: np.ndarray) -> list[str]:
        """Return the strings of tokens `(N, T)`."""
        symbols = np.array(["", *self.alphabet])
        return ["".join(row) for row in symbols[np.asarray(ids, np.int64)]]

    def check(self, x: np.ndarray) -> None:
        """Raise a ValueError where atoms are not whole numbers 0 to V, padded at the end."""
        if x.ndim != 2:
            raise ValueError(f"Atoms have shape {x.shape[1:]}; a token sequence has shape (T,).")
        if x.dtype.kind not in "iu" and (x != np.round(x)).any():
            raise ValueError("Tokens are whole numbers; these atoms have fractions.")
        vocab = len(self.alphabet)
        wrong = x[(x < 0) | (x > vocab)]
        if wrong.size:
            raise ValueError(
                f"A token is {wrong.flat[0]}; tokens are 1 to {vocab}, one a symbol of "
                f"{self.alphabet!r}, and 0 is the pad."
            )
        inside = (x[:, 1:] > 0) & (x[:, :-1] == 0)
        if inside.any():
            row, place = (int(i) for i in np.argwhere(inside)[0])
            raise ValueError(
                f"Sequence {row} has a pad before a token, at position {place}. Pads 0 come at "
                "the end only; move them there, or give a gap a symbol of its own."
            )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Raise a ValueError: no distance between sequences is defined here."""
        require_ground(self, "A distance between atoms")
        raise AssertionError

    def describe(self) -> dict[str, Any]:
        """Return the mapping from which `as_space` builds an equal space."""
        return {"name": self.name, "alphabet": self.alphabet}
