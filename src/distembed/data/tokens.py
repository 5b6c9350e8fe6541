"""Sequences over an alphabet as atoms: whole numbers, padded at the end.

A sequence of length l over V symbols is stored as T >= l whole numbers: tokens 1 to V, then pads
0. The number of pads has no meaning: a sequence with more of them is the same atom. Sequences are
*aligned* if position t of one corresponds to position t of another: they have one length, and a
gap is a symbol of the alphabet. The distance of two sequences is the number of symbols that
differ (Hamming) where they are aligned, and the number of edits (Levenshtein) where they are not.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from distembed.data.alphabets import ALPHABETS, GAP, UnknownSymbolError, symbols_of
from distembed.divergences.edit import hamming, levenshtein

__all__ = ["Tokens"]

logger = logging.getLogger(__name__)

FOREIGN = 0.1
"""Share of unknown letters above which sequences are of another alphabet."""


@dataclass(frozen=True)
class Tokens:
    """Sequences over an alphabet: whole numbers 1 to V, and the pad 0 at the end only.

    Attributes:
        alphabet: The V symbols, one character each; symbol k is token k + 1. Or the name of an
            alphabet, which is replaced by its symbols (`distembed.data.alphabets`).
        aligned: Whether all sequences have one length, so that positions correspond.
        unknown: Symbol that letters outside of the alphabet are read as; they are refused if left
            out. It is added to the alphabet.
        upper: Whether small letters are read as capitals.

    Raises:
        ValueError: If there is no symbol, or one occurs twice.

    Example:
        >>> dna = Tokens("ACGT")
        >>> dna.encode(["ACG", "T"]).tolist()
        [[1, 2, 3], [4, 0, 0]]
        >>> dna.restore(dna.encode(["ACG", "T"]))
        ['ACG', 'T']
        >>> Tokens("dna", unknown="N", upper=True).encode(["acgtacgtacR"])[0, -2:].tolist()
        [2, 5]
    """

    alphabet: str
    aligned: bool = False
    unknown: str | None = None
    upper: bool = False

    name: ClassVar[str] = "tokens"
    dtype: ClassVar[torch.dtype] = torch.int64
    masked: ClassVar[bool] = False

    def __post_init__(self) -> None:
        symbols = self.alphabet
        if isinstance(symbols, str):
            symbols = symbols_of(symbols, self.aligned)
        if not isinstance(symbols, str) or not symbols or len(set(symbols)) < len(symbols):
            raise ValueError(
                f"The alphabet is {symbols!r}; it is a string of at least one symbol, each once, "
                f"such as 'ACGT', or a name: {', '.join(ALPHABETS)}."
            )
        if self.unknown is not None and len(self.unknown) != 1:
            raise ValueError(f"unknown is {self.unknown!r}; it is one symbol, such as 'N' or 'X'.")
        if self.unknown is not None and self.unknown not in symbols:
            symbols += self.unknown
        object.__setattr__(self, "alphabet", symbols)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What networks of tokens are built with: the largest token, and what a token is."""
        symbols = {"vocab": len(self.alphabet), "alphabet": self.alphabet}
        return {"atom_kind": self.name, **symbols, "aligned": self.aligned}

    @property
    def ground(self) -> str:
        """Name of the distance between sequences."""
        return "Hamming" if self.aligned else "Levenshtein"

    def default_transform(self, features: Sequence[str] | None) -> list[dict[str, Any]]:
        """No transform: tokens are labels."""
        return []

    def encode(self, sequences: Sequence[str]) -> np.ndarray:
        """Return tokens `(N, T)` int64 of strings, padded to the longest.

        Letters that are read as the unknown symbol are logged.

        Raises:
            UnknownSymbolError: If a symbol is not of the alphabet.
        """
        if self.upper:
            sequences = [sequence.upper() for sequence in sequences]
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
            letters = {chr(point) for point in np.unique(points[invalid])}
            i, t = (int(k) for k in np.argwhere(invalid)[0])
            if self.unknown is None or GAP in letters:
                raise UnknownSymbolError(i, t, sequences[i][t], letters, self.alphabet)
            share = float(invalid.sum() / length.sum())
            if share > FOREIGN:
                raise UnknownSymbolError(i, t, sequences[i][t], letters, self.alphabet, share)
            logger.warning(
                "%d letters of %d sequences are read as %r: %s",
                *(invalid.sum(), invalid.any(1).sum(), self.unknown, ", ".join(sorted(letters))),
            )
            ids[invalid] = self.alphabet.index(self.unknown) + 1
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
        if self.aligned and (x[:, -1:] == 0).any():
            row = int(np.argmax(x[:, -1] == 0))
            raise ValueError(
                f"Sequence {row} has {int((x[row] > 0).sum())} symbols, and the longest "
                f"{int((x > 0).sum(1).max())}; aligned sequences have one length. Align them, "
                "with a symbol for gaps; or read them with aligned=False."
            )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Symbols that differ, or edits, `(N, T), (M, S) -> (N, M)`.

        Raises:
            ImportError: If sequences are not aligned, and rapidfuzz is not installed.
        """
        return hamming(a, b) if self.aligned else levenshtein(a, b)

    def describe(self) -> dict[str, Any]:
        """Return the mapping from which `as_space` builds an equal space."""
        options = {"aligned": self.aligned, "unknown": self.unknown, "upper": self.upper}
        stated = {name: value for name, value in options.items() if value}
        return {"name": self.name, "alphabet": self.alphabet, **stated}
