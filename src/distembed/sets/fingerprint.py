r"""Fingerprints of sets, by which a model knows the sets that it was trained on.

Every atom is hashed by multiply-and-add over its 32-bit words v and those of its weight,
$h(v) = \sum_j a_j v_j + b \bmod 2^{64}$ with odd keys from the salt, then scrambled; the hash of a
set is the sum over its atoms, and so is blind to their order and can be taken piece by piece. Two
such sums are passed through BLAKE2 with the salt, so that a model that is shared tells nothing of
the atoms. (Carter and Wegman, 1979; multiset hashes: Clarke et al., 2003.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from distembed.batch import SetBatch
from distembed.protocols import Collection

__all__ = ["fingerprints"]

_WORDS = 2**22  # read at once


def fingerprints(
    collection: Collection, salt: str, columns: Sequence[int] | None = None
) -> list[str]:
    """Return one hash a set, of its atoms and weights as float32, in any order.

    A set is read in pieces; memory does not grow with it.

    Args:
        collection: The sets.
        salt: Any string; hashes of other salts cannot be compared.
        columns: Columns of the atoms in the order of the model's features, where it differs.

    Returns:
        `(S,)` strings of 32 hexadecimal digits.

    Example:
        >>> from distembed.data.readers.arrays import from_arrays
        >>> from distembed.sets.construct import by_label
        >>> sets = by_label(from_arrays([[[1.0], [2.0]], [[2.0], [1.0]], [[2.0], [2.0]]]), "set")
        >>> a, b, c = fingerprints(sets, "salt")
        >>> a == b, a == c
        (True, False)
    """
    numbers = int(np.prod(collection.event_shape, dtype=np.int64))
    words = (numbers if columns is None else len(columns)) + 1
    keys = _keys(salt, words)
    sums = np.zeros((len(collection), 2), np.uint64)
    for first, batch in _pieces(collection, max(1, _WORDS // (numbers + 1))):
        if columns is not None:
            batch = batch.replace(x=batch.x[:, columns])
        starts = batch.offsets[:-1].numpy()
        sums[first : first + len(batch)] += np.add.reduceat(_atom_hashes(batch, keys), starts)
    name = salt.encode()
    return [
        hashlib.blake2b(row.astype("<u8").tobytes() + name, digest_size=16).hexdigest()
        for row in sums
    ]


def _pieces(collection: Collection, rows: int) -> Iterator[tuple[int, SetBatch]]:
    """Batches of consecutive sets with the number of their first; a large set comes in pieces."""
    end = np.cumsum(collection.sizes)
    first = 0
    while first < len(collection):
        read = int(end[first] - collection.sizes[first])
        last = int(np.searchsorted(end, read + rows, side="right"))
        if last == first:
            for piece in collection.chunks(first, rows):
                yield first, piece
            last = first + 1
        else:
            yield first, collection.batch(range(first, last))
        first = last


def _atom_hashes(batch: SetBatch, keys: np.ndarray) -> np.ndarray:
    """Two hashes an atom, `(N, 2)` uint64."""
    flat = batch.flat.float().numpy()
    values = np.concatenate([flat, batch.w.float().numpy()[:, None]], axis=1)
    words = (values + np.float32(0)).astype("<f4").view("<u4")  # + 0 makes -0 and 0 one number
    h = np.empty((len(words), 2), np.uint64)
    for lane in range(2):
        h[:, lane] = (words * keys[lane, :-1]).sum(1, dtype=np.uint64) + keys[lane, -1]
    # the finaliser of splitmix64: without it the sum over atoms would see their sum alone
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        h = (h ^ (h >> np.uint64(shift))) * np.uint64(factor)
    return h


def _keys(salt: str, words: int) -> np.ndarray:
    """Odd 64-bit factors of each lane and an offset, `(2, words + 1)`."""
    seed = int.from_bytes(hashlib.blake2b(salt.encode(), digest_size=16).digest(), "little")
    drawn = np.random.default_rng(seed).integers(0, 2**64, (2, words + 1), dtype=np.uint64)
    return drawn | np.uint64(1)
