r"""Salted content hashes of sets, which identify the training sets of a model.

Every atom is hashed by multiply-and-add over its 32-bit words v and that of its weight,
$h(v) = \sum_j a_j v_j + b \bmod 2^{64}$ with odd keys from the salt, and then scrambled. The hash
of a set is the sum over its atoms: it does not depend on their order, and can be accumulated in
pieces. Two such sums are passed through BLAKE2 with the salt, so that a stored hash does not
reveal the atoms. (Carter and Wegman, 1979; multiset hashes: Clarke et al., 2003.)

The words of numbers are their float32 bits, and those of tokens are the tokens. A pad is a word of
zero and adds nothing, so that a set has one hash whatever the number of pads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from distembed.batch import SetBatch
from distembed.protocols import Collection
from distembed.sets.pieces import pieces

__all__ = ["fingerprints"]


def fingerprints(
    collection: Collection,
    salt: str,
    columns: Sequence[int] | None = None,
    words: int = 2**22,
    sets: range | None = None,
) -> list[str]:
    """Compute one hash a set, of its atoms and weights in any order.

    A set is read in pieces; memory does not grow with it.

    Args:
        collection: The sets.
        salt: Any string; hashes of other salts cannot be compared.
        columns: Columns of the atoms in the order of the model's features, where it differs.
        words: Numbers that are held in memory at once.
        sets: Consecutive sets whose hashes are computed; all where left out.

    Returns:
        `(S,)` strings of 32 hexadecimal digits.

    Example:
        >>> from distembed.sets.read import read
        >>> a, b, c = fingerprints(read([[[1.0], [2.0]], [[2.0], [1.0]], [[2.0], [2.0]]]), "salt")
        >>> a == b, a == c
        (True, False)
    """
    width = int(np.prod(collection.event_shape, dtype=np.int64))
    keys = _keys(salt, width if columns is None else len(columns))
    sets = range(len(collection)) if sets is None else sets
    sums = np.zeros((len(collection), 2), np.uint64)
    for first, _, batch in pieces(collection, max(1, words // (width + 1)), sets):
        if columns is not None:
            batch = batch.columns(columns)
        starts = batch.offsets[:-1].numpy()
        sums[first : first + len(batch)] += np.add.reduceat(_atom_hashes(batch, keys), starts)
    name = salt.encode()
    return [
        hashlib.blake2b(row.astype("<u8").tobytes() + name, digest_size=16).hexdigest()
        for row in sums[sets.start : sets.stop]
    ]


def _atom_hashes(batch: SetBatch, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Compute two hashes an atom, `(N, 2)`, with keys `(2, 2 + D)`."""
    flat = batch.with_nan.reshape(len(batch.w), -1)
    atoms = _bits(flat.float().numpy()) if flat.is_floating_point() else flat.numpy().astype("<u4")
    weight = _bits(batch.w.float().numpy())
    h = np.empty((len(atoms), 2), np.uint64)
    for lane, (offset, factor, *_) in enumerate(keys):
        h[:, lane] = (atoms * keys[lane, 2:]).sum(1, dtype=np.uint64) + weight * factor + offset
    # the finaliser of splitmix64: without it the sum over atoms is a function of their sum
    for shift, multiplier in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        h = (h ^ (h >> np.uint64(shift))) * np.uint64(multiplier)
    return h


def _bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return the bits of float32 numbers; adding zero makes -0 and 0 one number."""
    return (values + np.float32(0)).astype("<f4").view("<u4")


def _keys(salt: str, width: int) -> NDArray[np.uint64]:
    """Draw odd 64-bit keys of each lane: offset, weight, then one a word, `(2, 2 + width)`.

    The keys of the first words do not depend on the width.
    """
    seed = int.from_bytes(hashlib.blake2b(salt.encode(), digest_size=16).digest(), "little")
    lanes = [
        np.random.default_rng([seed, lane]).integers(0, 2**64, width + 2, dtype=np.uint64)
        for lane in range(2)
    ]
    return np.stack(lanes) | np.uint64(1)
