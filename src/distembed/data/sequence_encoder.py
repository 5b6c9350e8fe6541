"""Encode strings as tokens, of an alphabet that is stated or recognised.

Readers import this module, and are imported by the command line, which does not import torch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distembed.data.alphabets import recognised_options

if TYPE_CHECKING:
    from distembed.protocols import AtomSpace

__all__ = ["SequenceEncoder"]

logger = logging.getLogger(__name__)


class SequenceEncoder:
    """A function from strings to tokens `(R, T)`.

    Args:
        space: The kind of atoms; if left out, alphabet and alignment are recognised from the
            first strings that are encoded, and logged.

    Example:
        >>> encode = SequenceEncoder()
        >>> encode(["AC-", "ACG"]).tolist()
        [[1, 2, 5], [1, 2, 3]]
        >>> encode.space
        Tokens(alphabet='ACGT-', aligned=True, unknown=None, upper=False)
    """

    def __init__(self, space: AtomSpace | None = None) -> None:
        self.space = space

    def __call__(self, sequences: Sequence[str]) -> np.ndarray:
        """Encode sequences.

        Raises:
            ValueError: If the kind of atoms is numbers, or a symbol is not of the alphabet.
        """
        from distembed.data.spaces import describe
        from distembed.data.tokens import Tokens

        if self.space is None:
            options: dict[str, Any] = recognised_options(sequences)
            self.space = Tokens(**options)
            logger.info(
                "The sequences are taken as %s. State another alphabet with `atoms`, such as "
                "{'name': 'tokens', 'alphabet': 'protein'}.",
                describe(self.space),
            )
        return self.space.encode(sequences)
