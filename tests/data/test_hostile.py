"""Files that are damaged or made to harm: an error before memory is allocated, and no crash."""

import gzip
import itertools
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.data.readers import bounds, dialect
from distembed.data.readers.atoms import as_atoms
from distembed.data.readers.cells import read_cells
from distembed.data.readers.tabular import refuse_long
from distembed.sets.read import read


@pytest.fixture
def h5ad(tmp_path):
    """Return the path of a small `.h5ad` file, and a function that changes it."""
    anndata, h5py = pytest.importorskip("anndata"), pytest.importorskip("h5py")
    pandas = pytest.importorskip("pandas")
    x = scipy.sparse.random(40, 8, density=0.3, format="csr", rng=0)
    obs = pandas.DataFrame({"who": np.repeat(list("ab"), 20)}, index=[f"c{i}" for i in range(40)])
    made = anndata.AnnData(x, obs=obs)
    made.layers["csc"] = x.tocsc()
    made.obsm["p"] = x.copy()
    path = tmp_path / "c.h5ad"
    made.write_h5ad(path)

    def change(name, edit):
        with h5py.File(path, "r+") as file:
            values = file[name][()]
            attributes = dict(file[name].attrs)
            del file[name]
            file[name] = edit(values)
            file[name].attrs.update(attributes)
        return path

    return path, change


def put(index, value):
    def edit(values):
        values[index] = value
        return values

    return edit


DAMAGE = [
    ("indices", put(3, 10**6)),
    ("indices", put(3, -5)),
    ("indptr", put(5, 10**7)),
    ("indptr", put(-1, 10**7)),
    ("indptr", put(2, -1)),
    ("indptr", lambda v: v[:-3]),
    ("indices", lambda v: v[:-3]),
    ("data", lambda v: v[:-3]),
]


@pytest.mark.parametrize(("part", "edit"), DAMAGE)
@pytest.mark.parametrize(
    ("group", "options"), [("X", {}), ("layers/csc", {"layer": "csc"}), ("obsm/p", {"obsm": "p"})]
)
def test_broken_indices_are_refused_before_they_are_used(h5ad, group, options, part, edit):
    _, change = h5ad
    path = change(f"{group}/{part}", edit)
    # in another process, because a crash would end this one
    code = (
        "import sys\nfrom distembed.data.readers.cells import read_cells\n"
        f"try: read_cells({str(path)!r}, genes=None, **{options!r}).x.toarray()\n"
        "except ValueError as error: sys.exit(f'refused: {error}')\n"
    )
    if part == "indices" and group == "X":
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 1
        assert "refused: " in done.stderr
    with pytest.raises(ValueError, match="damaged|cannot be read as AnnData"):
        read_cells(path, **options)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(h5ad, keep):
    path, _ = h5ad
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"c.h5ad is damaged|c.h5ad cannot be read"):
        read_cells(path)


small = st.lists(st.integers(-3, 9), min_size=1, max_size=7)


rising = st.lists(st.integers(0, 4), min_size=3, max_size=4).map(lambda v: [0, *sorted(v)])
inside = st.lists(st.integers(0, 2), min_size=4, max_size=7)


@settings(max_examples=500)
@given(small | inside, small | rising, st.sampled_from(["csr_array", "csc_array"]))
def test_any_indices_are_right_or_refused(indices, indptr, kind):
    x = getattr(scipy.sparse, kind)(np.ones((4, 3)))
    x.indices, x.indptr = np.array(indices, np.int32), np.array(indptr, np.int32)
    x.data = np.ones(len(indices))
    rows, columns = (4, 3) if kind == "csr_array" else (3, 4)
    fits = len(indptr) == rows + 1 and indptr[0] == 0 and sorted(indptr) == indptr
    fits = fits and indptr[-1] <= len(indices)
    fits = fits and all(0 <= i < columns for i in indices[: indptr[-1]])
    if not fits:
        with pytest.raises(ValueError, match="x is a sparse matrix that is damaged"):
            as_atoms("x", x)
        return
    dense = as_atoms("x", x).x.toarray()
    expected = np.zeros((rows, columns))
    for row, (start, stop) in enumerate(itertools.pairwise(indptr)):
        np.add.at(expected[row], indices[start:stop], 1)
    assert np.array_equal(dense, expected if kind == "csr_array" else expected.T)


def test_hdf5_that_is_no_anndata_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "c.h5ad", "w") as file:
        file["matrix"] = np.zeros(3)
    with pytest.raises(ValueError, match="no AnnData: it has no obs and var. It holds: matrix"):
        read_cells(tmp_path / "c.h5ad")


def test_a_shape_that_the_file_cannot_hold_is_refused(h5ad):
    h5py = pytest.importorskip("h5py")
    path, _ = h5ad
    with h5py.File(path, "r+") as file:
        del file["X"]
        x = file.create_dataset("X", (40, 10**9), "f8", chunks=(1, 1000))
        x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    with pytest.raises(ValueError, match=r"'X', by the shape .* 298.0 GiB or more.*200 times"):
        read_cells(path)


def test_a_compressed_text_that_grows_without_measure_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "t.csv.gz"
    monkeypatch.setattr(bounds, "_SIZE", 2**20)
    path.write_bytes(gzip.compress(b"who,x\n" + b"a,0\n" * 2**20))
    with pytest.raises(ValueError, match="t.csv.gz has .* bytes, and its content .*Unpack it"):
        read(path, "who")
    plain = tmp_path / "u.csv.gz"
    numbers = np.random.default_rng(0).normal(size=100_000)
    rows = "".join(f"a,{v}\n" for v in numbers)
    plain.write_bytes(gzip.compress(f"who,x\n{rows}".encode()))
    assert read(plain, "who").sizes.tolist() == [100_000]


def test_the_growth_is_measured_as_it_is_unpacked(tmp_path, monkeypatch):
    """It stops at the bound, and does not unpack the rest."""
    sizes = []
    refuse = bounds.refuse_inflated

    def spy(path, claimed, *words):
        sizes.append(claimed)
        refuse(path, claimed, *words)

    monkeypatch.setattr(bounds, "_SIZE", 2**20)
    monkeypatch.setattr(dialect, "refuse_inflated", spy)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"who,x\n" + b"a,0\n" * 2**22))
    with pytest.raises(ValueError, match="taken as damaged or hostile"):
        read(path, "who")
    assert max(sizes) < 2**24


def test_rows_that_a_parquet_file_cannot_hold_are_refused(tmp_path, monkeypatch):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(bounds, "_SIZE", 2**20)
    path = tmp_path / "t.parquet"
    parquet.write_table(arrow.table({"x": np.zeros(10**6), "who": ["a"] * 10**6}), path)
    with pytest.raises(ValueError, match="2000000 values, as it states, would take"):
        read(path, "who")


@pytest.mark.parametrize("where", [4, 40, -20, -200])
def test_a_damaged_parquet_is_refused(tmp_path, where):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(arrow.table({"x": np.arange(99.0), "who": list("abc") * 33}), path)
    content = bytearray(path.read_bytes())
    content[where : where + 12] = b"\xff" * 12
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="damaged"):
        read(path, "who")


def test_text_that_is_too_wide_for_an_array_is_refused():
    words = np.array(["a"] * 99 + ["b" * 1000], object)
    refuse_long("note", words)
    with pytest.raises(ValueError, match="'note' holds text of up to 1000 characters in 100 rows"):
        refuse_long("note", words, largest=10**5)
