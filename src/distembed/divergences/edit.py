"""Distances between sequences of tokens: how many symbols differ, or have to be edited.

    hamming(x, y)      positions at which two sequences differ
    levenshtein(x, y)  the fewest insertions, deletions and substitutions that make y of x

Hamming compares position by position, and is meant for sequences that are aligned: all of one
length, in which a gap is a symbol. Both are metrics, and both ignore how many pads 0 follow a
sequence. Levenshtein is computed by the bit-parallel algorithm of RapidFuzz; a sequence that
occurs several times is compared once.

| Error detecting and error correcting codes (Hamming, 1950)
| Binary codes capable of correcting deletions, insertions, and reversals (Levenshtein, 1966)
| A fast bit-vector algorithm for approximate string matching (Myers, 1999)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from distembed.registry import need

__all__ = ["hamming", "levenshtein"]


def hamming(a: Tensor, b: Tensor) -> Tensor:
    """Count the positions at which sequences differ.

    The shorter of two counts as different wherever only the other has a symbol.

    Args:
        a: Tokens, `(N, T)`, pads 0 at the end.
        b: Tokens, `(M, S)`.

    Returns:
        `(N, M)`, float64.

    Example:
        >>> hamming(torch.tensor([[1, 2, 3]]), torch.tensor([[1, 2, 3], [2, 1, 0]])).tolist()
        [[0.0, 3.0]]
    """
    width = max(a.shape[1], b.shape[1])
    x, y = (pad(part, (0, width - part.shape[1])).double() for part in (a, b))
    distances: Tensor = torch.cdist(x, y, p=0)
    return distances


def levenshtein(a: Tensor, b: Tensor) -> Tensor:
    """Count the edits between sequences.

    Args:
        a: Tokens, `(N, T)`, pads 0 at the end.
        b: Tokens, `(M, S)`.

    Returns:
        `(N, M)`, float64, where a is.

    Raises:
        ImportError: If rapidfuzz is not installed; the extra `sequences` brings it.

    Example:
        >>> levenshtein(torch.tensor([[1, 2, 3]]), torch.tensor([[2, 3, 0], [1, 2, 3]])).tolist()
        [[1.0, 0.0]]
    """
    process = need("rapidfuzz.process", "sequences")
    scorer = need("rapidfuzz.distance", "sequences").Levenshtein.distance
    (x, row), (y, column) = _distinct(a), _distinct(b)
    edits = process.cdist(x, y, scorer=scorer, dtype=np.int32)
    return torch.from_numpy(edits[row][:, column].astype(np.float64)).to(a.device)


def _distinct(x: Tensor) -> tuple[list[str], np.ndarray]:
    """Return the distinct sequences as strings, and which of them each row is."""
    # token k is code point k: NumPy drops the pads 0 at the end of a string
    points = np.ascontiguousarray(x.cpu().numpy().astype(np.uint32))
    if not points.shape[1]:
        return [""], np.zeros(len(points), np.int64)
    text, row = np.unique(points.view(f"<U{points.shape[1]}")[:, 0], return_inverse=True)
    return text.tolist(), row
