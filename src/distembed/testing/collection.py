"""Check that a collection describes its sets correctly, and reads the same sets in any process."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import torch

from distembed.batch import SetBatch
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.testing.report import Check, Report, requirement, verdict

__all__ = ["check_collection"]


def check_collection(collection: Collection, *, rows: int = 7, sets: int = 8) -> Report:
    """Check lengths, ids, sizes and shapes, and that draws depend on rng alone.

    The draws of a pickled copy are compared too, because a spawned worker receives one.

    Args:
        collection: The collection.
        rows: Size of the chunks that sets are read in.
        sets: Number of sets that are read, at most.

    Raises:
        LawError: If a law is broken.
    """
    index = list(range(0, len(collection), -(-len(collection) // sets)))[::-1]
    whole = collection.batch(index)
    checks = [
        *_columns(collection),
        *_description(collection, index, whole),
        *_draws(collection, index, whole),
        *_chunks(collection, index, whole, rows),
    ]
    return verdict(collection, checks)


def _columns(collection: Collection) -> Iterator[Check]:
    s = len(collection)
    columns = {"ids": collection.ids, "sizes": collection.sizes, **collection.meta}
    other = [name for name, column in columns.items() if len(column) != s]
    yield requirement("lengths", not other, f"there are {s} sets, but not as many {other}")
    yield requirement("ids", len(set(map(str, collection.ids))) == s, "ids repeat")


def _description(collection: Collection, index: list[int], whole: SetBatch) -> Iterator[Check]:
    sizes = [int(collection.sizes[i]) for i in index]
    shape, names = tuple(collection.event_shape), collection.features
    yield requirement(
        "sizes", whole.sizes.tolist() == sizes, "a set has another size than `sizes`"
    )
    yield requirement(
        "event_shape",
        whole.event_shape == shape,
        f"atoms have shape {whole.event_shape}, not {collection.event_shape}",
    )
    yield requirement(
        "dtype",
        whole.x.dtype == collection.dtype,
        f"atoms are {whole.x.dtype}, not {collection.dtype}",
    )
    yield requirement(
        "features",
        names is None or (len(names),) == shape,
        "there is not one name for each feature",
    )
    yield requirement(
        "weighted",
        collection.weighted or all(whole[b].equal is not None for b in range(len(whole))),
        "weights differ, but `weighted` is False",
    )


def _draws(collection: Collection, index: list[int], whole: SetBatch) -> Iterator[Check]:
    alone = [collection.batch([i]) for i in index]
    yield requirement(
        "order",
        all(_same(one, whole[b]) for b, one in enumerate(alone)),
        "a batch has other sets than its indices, or another order",
    )
    copy: Collection = pickle.loads(pickle.dumps(collection))
    m = max(1, int(collection.sizes[index].min()) // 2)
    draw, repeated, copied = (
        c.batch(index, m, stream(0, "draw")) for c in (collection, collection, copy)
    )
    yield requirement("m", bool((draw.sizes <= m).all()), f"a draw of m = {m} has more atoms")
    yield requirement("seed", _same(draw, repeated), "the same rng draws other atoms")
    yield requirement(
        "pickle",
        _same(draw, copied) and _same(whole, copy.batch(index)),
        "a pickled copy reads other atoms",
    )


def _chunks(
    collection: Collection, index: list[int], whole: SetBatch, rows: int
) -> Iterator[Check]:
    chunks = [list(collection.chunks(i, rows)) for i in index]
    third = [list(collection.chunks(i, rows, 1, 3)) for i in index]
    yield requirement(
        "chunk size",
        all(len(chunk.x) <= rows for parts in chunks for chunk in parts),
        f"a chunk has more than {rows} rows",
    )
    yield requirement(
        "chunks",
        all(_joined(parts, whole[b]) for b, parts in enumerate(chunks)),
        "the chunks of a set do not make the set",
    )
    yield requirement(
        "shared chunks",
        all(
            len(own) == len(parts[1::3]) and all(map(_same, own, parts[1::3]))
            for own, parts in zip(third, chunks, strict=True)
        ),
        "part 1 of 3 is not every third chunk, from the second on",
    )


def _same(a: SetBatch, b: SetBatch) -> bool:
    pairs = ((a.x, b.x), (a.w, b.w), (a.offsets, b.offsets))
    return all(torch.equal(p, q) for p, q in pairs)


def _joined(chunks: list[SetBatch], whole: SetBatch) -> bool:
    x, w = torch.cat([c.x for c in chunks]), torch.cat([c.w for c in chunks])
    return torch.equal(x, whole.x) and torch.allclose(w, whole.w)
