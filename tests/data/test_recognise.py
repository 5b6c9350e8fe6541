"""Kinds of atoms are recognised by shape, type and values, and the choice is logged."""

import logging

import numpy as np
import pytest
import scipy.sparse

from distembed.data.observations import Observations
from distembed.data.recognise import channels_first, recognise
from distembed.data.spaces import Counts, Images, Vectors

WHOLE = np.array([[0, 3], [1, 0], [7, 900]])


@pytest.mark.parametrize(
    ("x", "features", "space"),
    [
        (WHOLE, None, Counts()),
        (WHOLE.astype(np.uint8), None, Counts()),
        (WHOLE.astype(float), None, Vectors()),
        (WHOLE.astype(float), ("a", "b"), Counts()),
        (scipy.sparse.csr_matrix(WHOLE.astype(np.float32)), ("a", "b"), Counts()),
        (scipy.sparse.csr_matrix(WHOLE + 0.5), ("a", "b"), Vectors()),
        (WHOLE - 1, None, Vectors()),
        (WHOLE - 1.0, ("a", "b"), Vectors()),
        (WHOLE > 0, None, Vectors()),
        (np.vstack([*[WHOLE] * 400, [[0, 0.5]]]), ("a", "b"), Vectors()),
        (np.array([[np.nan, 0]]), ("a", "b"), Vectors()),
        (WHOLE[:, :, None], None, Vectors()),
        (np.zeros((2, 3, 8, 8), np.uint8), None, Images(0, 255, whole=True)),
        (np.zeros((2, 3, 8, 8), np.float32), None, Images()),
    ],
)
def test_the_rule(x, features, space, caplog):
    with caplog.at_level(logging.INFO):
        assert recognise(Observations(x, {}, features)) == space
    assert ("State another kind with `atoms`" in caplog.text) == (space != Vectors())


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 28, 28), (5, 2, 3, 8, 8)])
def test_what_may_be_a_picture_has_to_be_stated(shape):
    with pytest.raises(ValueError, match=r"x\[:, None\].*atoms='images'.*atoms='vectors'"):
        recognise(Observations(np.zeros(shape)))


def test_values_that_are_mapped_from_disk_are_not_read(tmp_path):
    np.save(tmp_path / "x.npy", WHOLE)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert recognise(Observations(mapped)) == Vectors()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((32, 20, 3), (3, 32, 20)),
        ((8, 8, 1), (1, 8, 8)),
        ((16, 16, 4), (4, 16, 16)),
        ((3, 32, 32), (3, 32, 32)),
        ((1, 8, 4), (1, 8, 4)),
        ((4, 8, 3), (4, 8, 3)),
        ((32, 32, 5), (32, 32, 5)),
        ((32, 3), (32, 3)),
    ],
)
def test_a_last_axis_of_channels_is_moved_where_it_can_be_no_other(shape, expected, caplog):
    x = np.random.default_rng(0).random((2, *shape))
    with caplog.at_level(logging.INFO):
        first = channels_first(Observations(x, {"well": np.array(["a", "b"])}))
    assert first.event_shape == expected
    assert ("channels" in caplog.text) == (shape != expected)
    assert first.columns["well"].tolist() == ["a", "b"]
    if shape != expected:
        assert np.array_equal(first.x[1, 2 % expected[0]], x[1, :, :, 2 % expected[0]])


def test_mapped_images_are_not_moved(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 32, 32, 3), np.uint8))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    with pytest.raises(ValueError, match=r"mapped from disk.* np.moveaxis\(x, -1, 1\)"):
        channels_first(Observations(mapped))
