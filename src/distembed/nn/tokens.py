r"""Token sequences as atoms: what is refused, and the start that networks see before each.

A sequence $x = (x_1, \dots, x_T, 0, \dots, 0)$ has tokens 1 to V, and pads 0 at its end only. What
follows never sees a pad: sequences are cut to the longest one at hand, and a mask leaves out the
rest. The symbol 0 is put to another use, as the start that every sequence has. It marks the
beginning, and an empty sequence is that symbol alone.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

__all__ = ["MaskedTokens", "check_tokens", "length_buckets", "pieces", "read_tokens"]


class MaskedTokens(NamedTuple):
    """Tokens of each sequence after a start, `(N, 1 + T)`, and a mask that leaves out the pads."""

    ids: Tensor
    mask: Tensor


def check_tokens(event_shape: tuple[int, ...], vocab: int) -> None:
    """Raise where a network of token sequences can not be made.

    Raises:
        ValueError: If an atom is no sequence or there is no token.
    """
    if len(event_shape) != 1:
        raise ValueError(
            f"Atoms have shape {tuple(event_shape)}; a token sequence has shape (T,), with pads 0 "
            "at its end."
        )
    if vocab < 1:
        raise ValueError(f"vocab = {vocab}; tokens are 1 to vocab, and 0 is the pad.")


def length_buckets(x: Tensor, most: int, growth: float = 1.25, fewest: int = 256) -> list[Tensor]:
    """Divide sequences by their length, so that each part is cut to about its own.

    The longest sequence of a part is at most `growth` times as long as its shortest, so that pads
    are at most 20 % of it, unless the part would have fewer than `fewest` sequences.

    Args:
        x: Sequences, `(N, T)`.
        most: Most sequences of a part.
        growth: Ratio of the lengths in a part.
        fewest: Sequences for which a part of its own pays.

    Returns:
        Row numbers of each part; together they are all rows, each once.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]])
        >>> [rows.tolist() for rows in length_buckets(x, most=9, growth=1.5, fewest=1)]
        [[1, 3], [2, 0]]
    """
    length, order = (x > 0).sum(1).sort(stable=True)
    ends, start, lengths = [0], 0, length.tolist()
    while start < len(lengths):
        limit = max(lengths[start], 1) * growth
        end = bisect.bisect_right(lengths, limit, start)
        end = min(max(end, start + fewest), start + most, len(lengths))
        ends.append(end)
        start = end
    return [order[low:high] for low, high in pairwise(ends)]


def read_tokens(x: Tensor, vocab: int) -> MaskedTokens:
    """Check sequences `(N, T)`, cut them to the longest, and put a start before each.

    Raises:
        ValueError: If they are not whole numbers from 0 to vocab, or a pad comes before a token.

    Example:
        >>> import torch
        >>> ids, mask = read_tokens(torch.tensor([[3, 1, 0, 0], [0, 0, 0, 0]]), vocab=3)
        >>> ids.tolist(), mask.int().tolist()
        ([[0, 3, 1], [0, 0, 0]], [[1, 1, 1], [1, 0, 0]])
    """
    if x.ndim != 2:
        raise ValueError(f"Atoms have shape {tuple(x.shape[1:])}; a token sequence has (T,).")
    if x.is_floating_point() and not bool((x == x.round()).all()):
        odd = x[x != x.round()][0]
        raise ValueError(
            f"Tokens are whole numbers, and one is {odd:.4g}. Read the sets as tokens, "
            "atoms={'name': 'tokens', 'alphabet': ...} in Python, or choose parts of a model that "
            "are for numbers."
        )
    wrong = x[(x < 0) | (x > vocab)]
    if len(wrong):
        raise ValueError(
            f"A token is {wrong[0]:.0f}; tokens are 1 to vocab = {vocab}, and 0 is the pad. Raise "
            "vocab, or number the tokens from 1."
        )
    mask = x > 0
    inside = mask[:, 1:] & ~mask[:, :-1]
    if bool(inside.any()):
        row, place = (int(i) for i in inside.nonzero()[0])
        raise ValueError(
            f"Sequence {row} has a pad before a token, at position {place}. Pads 0 come at the "
            "end only; move them there, or give a gap a token of its own."
        )
    longest = int(mask.sum(1).max()) if len(x) else 0
    ids, mask = x[:, :longest].long(), mask[:, :longest]
    return MaskedTokens(functional.pad(ids, (1, 0)), functional.pad(mask, (1, 0), value=True))


def pieces(rows: int, columns: int, positions: int = 2**17) -> Iterator[slice]:
    """Yield slices of rows that have at most so many positions together, but at least one row.

    Example:
        >>> list(pieces(5, columns=10, positions=25))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, positions // max(columns, 1))
    yield from (slice(i, min(i + step, rows)) for i in range(0, rows, step))
