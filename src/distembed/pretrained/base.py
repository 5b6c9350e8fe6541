"""What a published causal language model offers to encoders and generators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from distembed.pretrained.files import Source

__all__ = ["Reader", "Vocabulary", "Writer", "check_positions", "number", "symbol_ids"]


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model that stand for one symbol, and those that begin and end a sequence.

    Attributes:
        ids: The token of each symbol.
        start: Tokens that stand before a sequence.
        stop: The token that ends a sequence; None where the model was not trained with one.
    """

    ids: Mapping[str, int]
    start: tuple[int, ...] = ()
    stop: int | None = None


class Reader(Protocol):
    """A network from tokens to hidden states, one a position."""

    width: int
    """Width of the states."""
    limit: int | None
    """Largest number of positions; None for any."""
    vocabulary: Vocabulary
    source: Source | None
    """Where the weights were read; None where they are random."""
    remark: str
    """What was cast or chosen as the weights were read."""
    both_ways: bool
    """Whether a state depends on later positions too."""

    def drop_head(self) -> None:
        """Remove what predicts tokens and is not part of the states."""

    @property
    def blocks(self) -> nn.Module:
        """The part without embeddings and head, which corrections of low rank are added to."""

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states of tokens, `(N, T) -> (N, T, D)`, padded at the end.

        What stands where the mask `(N, T)` is false changes no other state.
        """


class Writer(Reader, Protocol):
    """A causal language model: a state depends on no later position.

    A cache holds what earlier calls have read, so that a call continues where the last has ended.
    """

    def embed(self, ids: Tensor) -> Tensor:
        """Return the vectors of tokens, `(N, T) -> (N, T, D)`."""

    def logits(self, u: Tensor, cache: Any = None) -> Tensor:
        """Return the logits of the next token, `(N, T, D) -> (N, T, rows)`."""

    def new_cache(self) -> Any:
        """Return an empty cache for `logits`."""


def symbol_ids(vocabulary: Vocabulary, alphabet: str, name: str) -> list[int]:
    """Return the token of each symbol of an alphabet.

    Raises:
        ValueError: If the model has no token for a symbol.

    Example:
        >>> symbol_ids(Vocabulary({"A": 7, "C": 8}), "CA", "hyenadna")
        [8, 7]
    """
    absent = [symbol for symbol in alphabet if symbol not in vocabulary.ids]
    if absent:
        symbols = "".join(sorted(vocabulary.ids))
        shown = symbols if len(symbols) <= 60 else f"{symbols[:60]}..."
        lower = any(symbol.upper() in vocabulary.ids for symbol in absent)
        case = " Lower case is another symbol; write the sequences in upper case." if lower else ""
        raise ValueError(
            f"The alphabet {alphabet!r} has {', '.join(map(repr, absent))}, for which {name} has "
            f"no token; its symbols are {shown!r}.{case}"
        )
    return [vocabulary.ids[symbol] for symbol in alphabet]


def check_positions(name: str, limit: int | None, needed: int, parts: str) -> None:
    """Refuse more positions than a model has.

    Raises:
        ValueError: If `needed` is above `limit`.
    """
    if limit is not None and needed > limit:
        raise ValueError(
            f"{parts} need {needed} positions, and {name} has {limit}. Shorten the sequences or "
            "the prefix, or use a model of a longer context."
        )


def number(config: Mapping[str, Any], *names: str, default: int | None = None) -> int:
    """Read a positive whole number that configs spell in several ways.

    Raises:
        ValueError: If it is missing, or no such number.
    """
    value = next((config[n] for n in names if config.get(n) is not None), default)
    if type(value) is not int or value < 1:
        raise ValueError(
            f"config.json has {' or '.join(names)} = {value!r}; expected a whole number above 0. "
            "Copy the file again from where the model is published."
        )
    return value
