"""Read all atoms of a collection in pieces of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distembed.batch import SetBatch
from distembed.protocols import Collection

__all__ = ["pieces"]


def pieces(
    collection: Collection, rows: int, sets: range | None = None
) -> Iterator[tuple[int, int, SetBatch]]:
    """Yield batches of consecutive sets, and a set of more than `rows` atoms in several.

    Args:
        collection: The sets.
        rows: Atoms of a batch, at most.
        sets: Consecutive sets; all where left out.

    Yields:
        The number of the first set, the number of the first atom within it, and the batch. Weights
        stay fractions of a set, so that those of all its pieces together sum to one.

    Example:
        >>> from distembed.sets.read import read
        >>> sets = read([[[1.0]], [[2.0]], [[3.0], [4.0], [5.0]]], min_size=1)
        >>> [(s, atom, batch.x.flatten().tolist()) for s, atom, batch in pieces(sets, 2)]
        [(0, 0, [1.0, 2.0]), (2, 0, [3.0, 4.0]), (2, 2, [5.0])]
    """
    end = np.cumsum(collection.sizes)
    first, stop = (0, len(collection)) if sets is None else (sets.start, sets.stop)
    while first < stop:
        start = int(end[first] - collection.sizes[first])
        last = min(int(np.searchsorted(end, start + rows, side="right")), stop)
        if last > first:
            yield first, 0, collection.batch(range(first, last))
            first = last
            continue
        atom = 0
        for batch in collection.chunks(first, rows):
            yield first, atom, batch
            atom += len(batch.w)
        first += 1
