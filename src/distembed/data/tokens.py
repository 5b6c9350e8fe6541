"""Sequences over an alphabet as atoms: whole numbers, padded at the end.

A sequence of length l over V symbols is stored as T >= l whole numbers: tokens 1 to V, then pads
0. The number of pads has no meaning: a sequence with more of them is the same atom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

__all__ = ["Tokens"]


@dataclass(frozen=True)
class Tokens:
    """Sequences over an alphabet: whole numbers 1 to V, and the pad 0 at the end only.

    Attributes:
        alphabet: The V symbols, one character each; symbol k is token k + 1.

    Raises:
        ValueError: If there is no symbol, or one occurs twice.

    Example:
        >>> dna = Tokens("ACGT")
        >>> dna.encode(["ACG", "T"]).tolist()
        [[1, 2, 3], [4, 0, 0]]
        >>> dna.restore(dna.encode(["ACG", "T"]))
        ['ACG', 'T']
    """

    alphabet: str

    name: ClassVar[str] = "tokens"
    dtype: ClassVar[torch.dtype] = torch.int64
    has_ground: ClassVar[bool] = False

    def __post_init__(self) -> None:
        symbols = self.alphabet
        if not isinstance(symbols, str) or not symbols or len(set(symbols)) < len(symbols):
            raise ValueError(
                f"The alphabet is {symbols!r}; it is a string of at least one symbol, each once, "
                "such as 'ACGT'."
            )

    @property
    def facts(self) -> Mapping[str, Any]:
        """What networks of tokens are built with: the largest token, and what a token is."""
        return {
            "atom_kind": self.name,
            "vocab": len(self.alphabet),
            "alphabet": self.alphabet,
        }

    def default_transform(self, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """No transform: tokens are labels."""
        return []

    def encode(self, sequences: Sequence[str]) -> np.ndarray:
        """Return tokens `(N, T)` int64 of strings, padded to the longest.

        Raises:
            ValueError: If a symbol is not of the alphabet.
        """
        longest = max(map(len, sequences), default=0)
        # NumPy stores N strings as code points (N, T), padded with zeros at the end
        text = np.array([*sequences], dtype=f"<U{max(longest, 1)}")
        points = text.view(np.uint32).reshape(len(text), max(longest, 1))[:, :longest]
        order = np.argsort([ord(symbol) for symbol in self.alphabet])
        symbols = np.array([ord(symbol) for symbol in self.alphabet])[order]
        place = np.searchsorted(symbols, points).clip(max=len(symbols) - 1)
        ids = np.where(symbols[place] == points, order[place] + 1, 0)
        length = np.array([len(sequence) for sequence in sequences], np.int64)
        invalid = (ids == 0) & (np.arange(longest) < length[:, None])
        if invalid.any():
            i, t = (int(k) for k in np.argwhere(invalid)[0])
            raise ValueError(
                f"Sequence {i} has {sequences[i][t]!r} at position {t}, and the alphabet is "
                f"{self.alphabet!r}. Add the symbol to the alphabet, or drop the sequence."
            )
        return ids.astype(np.int64)

    def restore(self, x: np.ndarray) -> Any:
        """Return the strings of tokens `(..., T)`, nested lists of shape `(...)`."""
        ids = np.asarray(x, np.int64)
        if ids.ndim > 2:
            return [self.restore(part) for part in ids]
        symbols = np.array(["", *self.alphabet])
        return ["".join(row) for row in symbols[ids]]

    def check(self, x: np.ndarray) -> None:
        """Raise a ValueError where atoms are not whole numbers 0 to V, padded at the end."""
        if x.ndim != 2:
            raise ValueError(f"Atoms have shape {x.shape[1:]}; a token sequence has shape (T,).")
        if x.dtype.kind not in "iu" and (x != np.round(x)).any():
            fraction = x[x != np.round(x)][0]
            raise ValueError(
                f"Tokens are whole numbers; these have fractions, as {fraction:.4g}. Give "
                f"strings, or number the symbols of {self.alphabet!r} from 1."
            )
        vocab = len(self.alphabet)
        invalid = x[(x < 0) | (x > vocab)]
        if invalid.size:
            raise ValueError(
                f"A token is {invalid.flat[0]}; tokens are 1 to {vocab}, one a symbol of "
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
        raise ValueError(
            "A distance between atoms is not defined for tokens: differences between the labels "
            "of symbols have no meaning."
        )

    def describe(self) -> dict[str, Any]:
        """Return the mapping from which `as_space` builds an equal space."""
        return {"name": self.name, "alphabet": self.alphabet}
