"""Rows of a file beyond memory: the same rows, and only the pages that they lie on."""

import mmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.data import mapped
from distembed.data.mapped import prefetch, take

PAGE = mmap.PAGESIZE


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    arrays = {}
    for width in (1, 50, 2500):
        x = np.arange(400 * width, dtype=np.float32).reshape(400, width)
        np.save(folder / f"{width}.npy", x)
        arrays[width] = x, np.load(folder / f"{width}.npy", mmap_mode="r")
    return arrays


@given(
    st.sampled_from([1, 50, 2500]),
    st.lists(st.integers(0, 399), min_size=1, max_size=30),
)
@settings(deadline=None)
def test_the_pages_of_the_rows_are_asked_for(files, width, rows):
    x, map_ = files[width]
    expected = set()
    for row in rows:
        start = map_.offset + row * 4 * width
        expected |= set(range(start // PAGE, (start + 4 * width - 1) // PAGE + 1))
    last = (map_.offset + x.nbytes - 1) // PAGE
    size = sum(PAGE if p < last else map_.offset + x.nbytes - p * PAGE for p in expected)
    assert prefetch(map_, np.array(rows)) == size
    assert np.array_equal(take(map_, np.array(rows), share=0.0), x[rows])


def test_only_a_large_map_is_read_page_by_page(files, monkeypatch):
    asked = []
    monkeypatch.setattr(mapped, "prefetch", lambda x, rows: asked.append(len(rows)))
    x, map_ = files[50]
    rows = np.array([3, 399])
    for table in (x, map_):
        assert np.array_equal(take(table, rows), x[rows])
    assert not asked
    monkeypatch.setattr(mapped, "memory_of_machine", lambda: 2 * x.nbytes - 1)
    for table in (x, map_):
        assert np.array_equal(take(table, rows), x[rows])
    assert asked == [2]


def test_the_memory_of_this_machine_is_known_or_without_bound(monkeypatch):
    assert mapped.memory_of_machine() > 2**28
    monkeypatch.delattr(mapped.os, "sysconf")
    assert mapped.memory_of_machine() == float("inf")


def test_a_view_of_a_map_is_left_alone(files):
    assert prefetch(files[50][1][3:], np.array([0])) == 0


def test_no_rows_ask_for_nothing(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert prefetch(x, np.zeros(0, np.int64)) == 0
    assert take(x, np.zeros(0, np.int64), share=0).shape == (0, 2)
