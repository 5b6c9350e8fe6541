"""Observations, however they are given: the checks of the record, and arrays in memory."""

import pickle

import numpy as np
import pytest
import scipy.sparse

from distembed.data.observations import Observations, refuse_unknown
from distembed.data.readers.arrays import from_arrays, from_labels


def test_a_sparse_matrix_is_kept():
    x = scipy.sparse.csr_matrix(np.eye(3))
    obs = Observations(x, features=("a", "b", "c"))
    assert obs.x is x
    assert obs.sparse
    assert (obs.rows, obs.event_shape) == (3, (3,))


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_map_is_pickled_as_its_place(tmp_path, order):
    x = np.asarray(np.random.default_rng(0).normal(size=(1000, 50)), order=order)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = pickle.dumps(Observations(mapped, {"a": np.arange(1000)}))
    assert len(data) < 20_000
    again = pickle.loads(data)
    assert isinstance(again.x, np.memmap)
    assert np.array_equal(again.x, x)
    part = pickle.loads(pickle.dumps(Observations(mapped[100:200])))
    assert np.array_equal(part.x, x[100:200])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Observations([[1.0]]), TypeError, "list"),
        (lambda: Observations(np.array([["a"]])), ValueError, "atoms are numbers"),
        (lambda: Observations(np.array([[1j]])), ValueError, "atoms are numbers"),
        (lambda: Observations(scipy.sparse.coo_matrix(np.eye(2))), TypeError, "tocsr"),
        (lambda: Observations(np.zeros((0, 2))), ValueError, "no observation"),
        (lambda: Observations(np.zeros((2, 1)), {"a": np.zeros(3)}), ValueError, "2 rows"),
        (lambda: Observations(np.zeros((2, 2)), {}, ("a",)), ValueError, "1 feature names"),
        (lambda: Observations(np.zeros((2, 2, 2)), {}, ("a", "b")), ValueError, "vectors"),
        (lambda: Observations(np.zeros((2, 2)), {}, ("a", "a")), ValueError, "'a' is named twice"),
        (lambda: from_arrays([]), ValueError, "no set"),
        (lambda: from_arrays([np.zeros((2, 2)), np.zeros((0, 2))]), ValueError, "'1' is empty"),
        (lambda: from_arrays([np.zeros((2, 2)), np.zeros((2, 3))]), ValueError, r"\(3,\)"),
        (lambda: from_arrays({"s": [[1.0], [2.0, 3.0]]}), ValueError, "'s' is ragged"),
        (lambda: from_arrays([np.zeros(3)]), ValueError, r"x\[:, None\]"),
        (lambda: from_arrays([[["a"]]]), ValueError, "numbers"),
        (lambda: from_labels(np.zeros((3, 1)), ["a"]), ValueError, "3 rows"),
    ],
)
def test_errors_say_what_is_expected(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_unknown_names_come_with_close_ones():
    with pytest.raises(ValueError, match="no column 'patiant'; close names are: 'patient'"):
        refuse_unknown(["patiant"], ["patient", "age"], "column")
    with pytest.raises(ValueError, match="there are 1, such as: 'zz'"):
        refuse_unknown(["a"], ["zz"], "column")
    with pytest.raises(ValueError, match="There is no column 'a', and no other either"):
        refuse_unknown(["a"], [], "column")
