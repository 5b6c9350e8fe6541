"""Sets that are ranges of rows are the sets of the rows that they stand for."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from distembed.data.observations import Observations
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label
from distembed.sets.ranges import Ranges, as_ranges
from distembed.sets.split import refuse_overlap

ROWS = 40
spans = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), min_size=1, max_size=6)


def layout(pairs):
    start, sizes = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    offsets = np.concatenate([[0], sizes.cumsum()])
    return Ranges(start, offsets), np.concatenate([np.arange(s, s + n) for s, n in pairs]), offsets


def both(pairs, weighted):
    """The same sets as ranges and as lists of rows."""
    ranges, rows, offsets = layout(pairs)
    table = Observations(np.arange(2.0 * ROWS).reshape(ROWS, 2) / 8)
    ids, w, through = np.arange(len(pairs)).astype(str), None, None
    if weighted:
        values = 1.0 + np.arange(ROWS) % 3
        total = np.add.reduceat(values[rows], offsets[:-1])
        w = values[rows] / np.repeat(total, np.diff(offsets))
        place = np.concatenate([[0], np.diff(offsets).cumsum()])[:-1]
        through = Ranges(place, offsets, w)
    return Sets(table, ranges, offsets, ids, through), Sets(table, rows, offsets, ids, w)


def same(a, b):
    return all(torch.equal(x, y) for x, y in ((a.x, b.x), (a.w, b.w), (a.offsets, b.offsets)))


@given(spans, st.booleans(), st.integers(1, 12), st.integers(0, 99))
def test_ranges_read_as_rows_do(pairs, weighted, m, seed):
    lazy, listed = both(pairs, weighted)
    order = np.random.default_rng(seed).permutation(len(pairs))[: 1 + seed % len(pairs)]
    for one, other in ((lazy, listed), (lazy.select(order), listed.select(order))):
        index = range(len(one))
        assert np.array_equal(np.asarray(one.rows), other.rows)
        assert same(one.batch(index), other.batch(index))
        draws = [
            s.batch(index[::-1], m, torch.Generator().manual_seed(seed)) for s in (one, other)
        ]
        assert same(*draws)
        for parts in ((0, 1), (1, 2)):
            pieces = zip(one.chunks(0, 3, *parts), other.chunks(0, 3, *parts), strict=True)
            assert all(same(*pair) for pair in pieces)
    assert isinstance(lazy.select(order).rows, Ranges)
    assert same(pickle.loads(pickle.dumps(lazy)).batch([0]), listed.batch([0]))


@given(spans, spans)
@example([(0, 10), (2, 1)], [(5, 1)])  # the last range that starts before is not the longest
def test_overlap_is_that_of_the_rows(one, other):
    a, a_rows, _ = layout(one)
    b, b_rows, offsets = layout(other)
    shared = np.split(np.isin(b_rows, a_rows), offsets[1:-1])
    assert a.overlap(b).tolist() == [bool(part.any()) for part in shared]


@given(spans)
def test_consecutive_rows_become_ranges(pairs):
    ranges, rows, offsets = layout(pairs)
    back = as_ranges(rows, offsets)
    assert back.start.tolist() == ranges.start.tolist()
    torn = rows.copy()
    torn[offsets[1] - 1] += 1  # the last row of the first set
    assert isinstance(as_ranges(torn, offsets), Ranges) == (offsets[1] == 1)


def test_sorted_labels_take_no_row_numbers():
    n = 10_000
    table = Observations(np.zeros((n, 1), np.float32), {"s": np.arange(n) // 100})
    assert isinstance(by_label(table, "s").rows, Ranges)
    mixed = Observations(table.x, {"s": np.arange(n) % 100})
    assert isinstance(by_label(mixed, "s").rows, np.ndarray)
    train, test = by_label(table, "s").split(0.2)
    assert len(pickle.dumps(train.rows)) < 3000
    clash = Sets(table, test.rows, test.offsets, np.char.add("x", np.arange(20).astype(str)))
    with pytest.raises(ValueError, match="20 sets of the test part share atoms .* being 'x0'"):
        refuse_overlap(by_label(table, "s"), clash)


def test_a_map_of_weights_is_opened_anew(tmp_path):
    np.save(tmp_path / "w.npy", np.full(1000, 0.01))
    w = Ranges(np.array([0]), np.array([0, 1000]), np.load(tmp_path / "w.npy", mmap_mode="r"))
    data = pickle.dumps(w)
    assert len(data) < 1000
    assert np.asarray(pickle.loads(data)).tolist() == [0.01] * 1000
