"""Which sets of a comparison are independent, where some share atoms.

Sets that share atoms, directly or through others, are one block. Where the compared column has
one value in every block, blocks are permuted in place of sets. Where it varies within a block, its
sets are not exchangeable, because near ones share more than far ones; then sets that share none
are compared: each, those whose atoms are in the fewest others first, unless it shares atoms with
one that was taken before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distembed.sets.sharing import SharedNoise

__all__ = ["Independent", "independent"]

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Independent:
    """What is compared.

    Attributes:
        rows: Numbers of the sets, `(K,)`.
        blocks: Number of the block of each of them, `(K,)`; None where each is its own.
        units: Number of independent units.
        notes: What was done about sets that share atoms, in sentences.
    """

    rows: Index
    blocks: Index | None
    units: int
    notes: tuple[str, ...] = ()


def independent(
    shared: SharedNoise | None, rows: Index, codes: NDArray[Any], blocks: Index | None
) -> Independent:
    """Choose sets and blocks of which the values of a column can be permuted.

    Args:
        shared: What S sets share; or None.
        rows: Numbers of the sets that have a value, `(R,)`.
        codes: The column, `(S,)`.
        blocks: Blocks that the user names, `(R,)`; or None.

    Example:
        >>> from scipy.sparse import csr_array
        >>> chain = csr_array(np.eye(4, 3) + np.eye(4, 3, k=-1))  # neighbours share an atom
        >>> shared = SharedNoise(chain, np.ones(4))
        >>> independent(shared, np.arange(4), np.array([0, 0, 1, 1]), None).rows.tolist()
        [0, 3]
    """
    part = None if shared is None else shared.select(rows)
    count = 0 if part is None else int(part.sharing.sum())
    if part is None or not count:
        return Independent(rows, blocks, _number(blocks, len(rows)))
    start = (
        f"{count} of the {len(rows)} sets share atoms with another set, and are not independent"
    )
    own = part.blocks(blocks)
    if len(_distinct(own, codes[rows])) == len(np.unique(own)):
        units = len(np.unique(own))
        note = f"{start}: blocks of sets that share atoms are permuted, {units} of them."
        return Independent(rows, own, units, (note,))
    taken = part.apart()
    note = f"{start}: {len(taken)} sets that share none are compared."
    kept = None if blocks is None else blocks[taken]
    return Independent(rows[taken], kept, _number(kept, len(taken)), (note,))


def _number(blocks: Index | None, count: int) -> int:
    return count if blocks is None else len(np.unique(blocks))


def _distinct(blocks: Index, codes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the different pairs of a block and a value."""
    value = np.unique(codes, return_inverse=True)[1]
    pairs: NDArray[np.int64] = np.unique(np.stack([blocks, value], 1), axis=0)
    return pairs
