"""Rows that stay in a file are those of the array that it holds, whatever is asked for."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.data.file_rows import beside, choose, stacked
from distembed.data.readers.stored_matrix import DenseRows, SparseRows

h5py = pytest.importorskip("h5py")
sparse = pytest.importorskip("scipy.sparse")

R, D = 60, 5


@pytest.fixture(scope="module")
def matrices(tmp_path_factory):
    """Return rows in files, sparse and dense, in HDF5 and Zarr, with the array that each holds."""
    zarr = pytest.importorskip("zarr")
    folder, rng = tmp_path_factory.mktemp("rows"), np.random.default_rng(0)
    x = rng.poisson(0.5, (R, D)).astype(np.float32)
    csr = sparse.csr_matrix(x)
    parts = {"data": csr.data, "indices": csr.indices, "indptr": csr.indptr}
    with h5py.File(folder / "a.h5", "w") as file:
        for name, part in parts.items():
            file[f"x/{name}"] = part
        file["dense"] = x
    group = zarr.open_group(folder / "a.zarr", mode="w")
    for name, part in {**{f"x/{n}": p for n, p in parts.items()}, "dense": x}.items():
        group.create_array(name, data=part)
    rows = [SparseRows(folder / f"a.{end}", "x", (R, D), "X") for end in ("h5", "zarr")]
    rows += [DenseRows(folder / f"a.{end}", "dense", "X") for end in ("h5", "zarr")]
    return rows, x


def dense(x):
    return x.toarray() if hasattr(x, "toarray") else x


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3), st.integers(0, 10**6), st.integers(1, 70))
def test_rows_are_those_of_the_array(matrices, which, seed, count):
    rows, x = matrices[0][which], matrices[1]
    rng = np.random.default_rng(seed)
    low, high = sorted(rng.integers(0, R + 1, 2).tolist())
    numbers, mask = rng.integers(0, R, count), rng.random(R) < 0.2
    mask[low % R] = True
    for where in (numbers, mask, slice(low, high + 1), slice(0, R, 1 + count)):
        np.testing.assert_array_equal(dense(rows[where]), x[where])
    at, columns = rng.integers(0, R, 40), rng.permutation(D)[:3]
    chosen = choose(rows, at, columns)
    assert (chosen.shape, len(chosen), chosen.ndim) == ((40, 3), 40, 2)
    np.testing.assert_array_equal(chosen, x[at][:, columns])
    part = slice(low % 40, low % 40 + 5)
    np.testing.assert_array_equal(dense(chosen[part]), x[at][:, columns][part])
    two = stacked([choose(rows, mask), rows])
    both = np.concatenate([x[mask], x])
    np.testing.assert_array_equal(dense(two[numbers]), both[numbers])
    np.testing.assert_array_equal(np.asarray(two), both)
    wide = beside([rows, choose(rows, columns=columns)])
    np.testing.assert_array_equal(dense(wide[numbers]), np.hstack([x, x[:, columns]])[numbers])
    assert [len(np.asarray(dense(p))) for p in rows.pieces(7 * D)] == [7] * 8 + [4]
    assert (chosen.width, two.width, wide.width) == (D, D, 2 * D)  # what is read, not kept
    assert rows.files
    assert all(file.is_file() for file in rows.files)


def test_only_what_is_near_is_read(matrices, monkeypatch):
    rows, _ = matrices[0][0], matrices[1]
    asked = []
    whole = type(rows).between
    monkeypatch.setattr(
        type(rows),
        "between",
        lambda self, low, high: asked.append((low, high)) or whole(self, low, high),
    )
    rows[np.array([58, 2, 10, 3])]
    assert asked == [(2, 11), (58, 59)]
    asked.clear()
    stacked([rows, rows])[np.arange(58, 62)]
    assert asked == [(58, 60), (0, 2)]


@pytest.mark.parametrize("numbers", [[-1], [3, R], [], np.zeros(R, bool)], ids=str)
def test_rows_that_there_are_not_are_refused(matrices, numbers):
    for rows in matrices[0]:
        with pytest.raises(IndexError, match="There are rows 0 to 59 in the file, and"):
            rows[np.array(numbers, None if len(numbers) else int)]


def test_rows_are_handed_to_another_process(matrices):
    for rows in matrices[0]:
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows)), matrices[1])


@pytest.mark.parametrize(
    ("name", "edit", "text"),
    [
        ("indptr", lambda v: v[:-1], "there are 60 pointers"),
        ("indptr", lambda v: v + 1, "the pointers of rows are not 0"),
        ("indptr", lambda v: v[::-1].copy(), "the pointers of rows are not 0"),
        ("data", lambda v: v[:-1], "the pointers of rows are not 0"),
    ],
)
def test_pointers_that_do_not_fit_are_refused(tmp_path, name, edit, text):
    csr = sparse.csr_matrix(np.eye(R, D))
    parts = {"data": csr.data, "indices": csr.indices, "indptr": csr.indptr}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, part in parts.items():
            file[f"x/{key}"] = edit(part) if key == name else part
    with pytest.raises(ValueError, match=text):
        SparseRows(tmp_path / "a.h5", "x", (R, D), "X")


def test_a_wrong_index_is_found_as_its_row_is_read(tmp_path):
    csr = sparse.csr_matrix(np.eye(D))
    csr.indices[3] = 99
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key in ("data", "indices", "indptr"):
            file[f"x/{key}"] = getattr(csr, key)
    rows = SparseRows(tmp_path / "a.h5", "x", (D, D), "X")
    np.testing.assert_array_equal(rows[:3].toarray(), np.eye(D)[:3])
    with pytest.raises(ValueError, match="a.h5 is damaged: X is a sparse matrix that is damaged"):
        rows[3:]
