"""Whether a collection describes its sets rightly, and reads the same ones in any process."""

from __future__ import annotations

import pickle

import torch

from distembed.batch import SetBatch
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.testing.report import Report, fact, verdict

__all__ = ["check_collection"]

_SETS = 8


def check_collection(collection: Collection, *, rows: int = 7) -> Report:
    """Check lengths, ids, sizes, shapes, and that draws depend on rng alone, even when unpickled.

    What survives pickling is what a spawned worker gets.

    Args:
        collection: The collection; up to eight of its sets are read.
        rows: Size of the chunks that sets are read in.

    Raises:
        LawError: If a promise is broken.
    """
    s = len(collection)
    index = list(range(0, s, -(-s // _SETS)))[::-1]
    columns = {"ids": collection.ids, "sizes": collection.sizes, **collection.meta}
    short = [name for name, column in columns.items() if len(column) != s]
    whole = collection.batch(index)
    sets = [whole[b] for b in range(len(index))]
    sizes = [int(collection.sizes[i]) for i in index]
    names = collection.features
    twin: Collection = pickle.loads(pickle.dumps(collection))
    m = max(1, min(sizes) // 2)
    draw, again, elsewhere = (
        c.batch(index, m, stream(0, "draw")) for c in (collection, collection, twin)
    )
    chunks = [list(collection.chunks(i, rows)) for i in index]
    return verdict(
        collection,
        [
            fact("lengths", not short, f"there are {s} sets, but not as many {short}"),
            fact("ids", len(set(map(str, collection.ids))) == s, "ids repeat"),
            fact("sizes", whole.sizes.tolist() == sizes, "a set has another size than `sizes`"),
            fact(
                "event_shape",
                whole.event_shape == tuple(collection.event_shape),
                f"atoms have shape {whole.event_shape}, not {collection.event_shape}",
            ),
            fact(
                "dtype",
                whole.x.dtype == collection.dtype,
                f"atoms are {whole.x.dtype}, not {collection.dtype}",
            ),
            fact(
                "features",
                names is None or (len(names),) == tuple(collection.event_shape),
                "there is not one name for each feature",
            ),
            fact(
                "weighted",
                collection.weighted or all(b.equal is not None for b in sets),
                "weights differ, but `weighted` is False",
            ),
            fact(
                "order",
                all(_same(collection.batch([i]), b) for i, b in zip(index, sets, strict=True)),
                "a batch holds other sets, or in another order, than it was asked for",
            ),
            fact("m", bool((draw.sizes <= m).all()), f"m = {m} atoms were asked for, more came"),
            fact("seed", _same(draw, again), "the same rng draws other atoms"),
            fact(
                "pickle",
                _same(draw, elsewhere) and _same(whole, twin.batch(index)),
                "a pickled copy reads other atoms",
            ),
            fact(
                "chunk size",
                all(len(c.x) <= rows for set_chunks in chunks for c in set_chunks),
                f"a chunk has more than {rows} rows",
            ),
            fact(
                "chunks",
                all(_joined(c, b) for c, b in zip(chunks, sets, strict=True)),
                "the chunks of a set do not make the set",
            ),
        ],
    )


def _same(a: SetBatch, b: SetBatch) -> bool:
    pairs = ((a.x, b.x), (a.w, b.w), (a.offsets, b.offsets))
    return all(torch.equal(p, q) for p, q in pairs)


def _joined(chunks: list[SetBatch], whole: SetBatch) -> bool:
    x, w = torch.cat([c.x for c in chunks]), torch.cat([c.w for c in chunks])
    return torch.equal(x, whole.x) and torch.allclose(w, whole.w)
