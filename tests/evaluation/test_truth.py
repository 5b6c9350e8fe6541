"""A cache must return what would have been computed, or compute it."""

import logging

import numpy as np
import pytest

from distembed.evaluation.truth import cache_folder, cached


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "distembed"


class Counted:
    """Computes, and counts how often."""

    def __init__(self, value=1.5):
        self.value, self.calls = np.array([value, -0.0, 1e-300]), 0

    def __call__(self):
        self.calls += 1
        return self.value


def test_it_computes_once(folder):
    compute, x = Counted(), np.arange(3.0)
    for _ in range(3):
        array = cached("double", [x], compute)
        assert array.dtype == np.float64
        assert np.array_equal(array, compute.value)
    assert compute.calls == 1
    (file,) = folder.iterdir()
    assert file.suffix == ".npy"
    assert cache_folder() == folder


def test_another_name_or_input_is_another_entry():
    compute, x = Counted(), np.arange(6.0)
    for name, inputs in (
        ("a", [x]),
        ("b", [x]),
        ("a", [x + 1]),
        ("a", [x.reshape(2, 3)]),
        ("a", [x.astype(np.float32)]),
        ("a", [x, x]),
        ("a", [x[:3], x[3:]]),
    ):
        before = compute.calls
        cached(name, inputs, compute)
        assert compute.calls == before + 1, (name, inputs)
    # the memory layout is no part of the input
    cached("a", [np.asfortranarray(x.reshape(2, 3))], compute)
    assert compute.calls == 7


def test_a_damaged_file_is_computed_again(folder, caplog):
    compute = Counted()
    cached("x", [], compute)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", b"nonsense", whole[:-5]):
        file.write_bytes(damaged)
        with caplog.at_level(logging.WARNING):
            assert np.array_equal(cached("x", [], compute), compute.value)
        assert "computed again" in caplog.text
        assert file.read_bytes() == whole
    assert compute.calls == 4


def test_a_pickle_is_never_run(folder):
    compute = Counted()
    cached("x", [], compute)
    (file,) = folder.iterdir()
    np.save(file, np.array([{"an": "object"}], dtype=object), allow_pickle=True)
    assert np.array_equal(cached("x", [], compute), compute.value)


def test_it_does_without_a_folder(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    compute = Counted()
    with caplog.at_level(logging.WARNING):
        cached("x", [], compute)
    assert "cannot be" in caplog.text
    assert compute.calls == 1


def test_the_folder_is_in_the_home_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "distembed"
