"""The door for atoms in memory: every kind of array is right, or refused with the fix."""

import numpy as np
import pytest
import scipy.sparse
import torch

from distembed.data.readers.atoms import as_atoms
from distembed.data.readers.cells import read_cells
from distembed.model.inputs import as_collection
from distembed.sets.read import read

BASE = np.array([[1.0, 0, 3], [4, 5, 0], [7, 8, 9], [0, 1, 2]])


def frame(dtype=None, **changes):
    pandas = pytest.importorskip("pandas")
    made = pandas.DataFrame(BASE.copy(), columns=["a", "b", "c"]).assign(**changes)
    return made if dtype is None else made.astype(dtype)


def structured():
    made = np.empty(4, [("a", float), ("b", int), ("c", np.float32)])
    for name, column in zip("abc", BASE.T, strict=True):
        made[name] = column
    return made


def backed_map(tmp_path):
    np.save(tmp_path / "x.npy", BASE)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def view():
    anndata = pytest.importorskip("anndata")
    return anndata.AnnData(BASE)[:, :].X


def polars_frame():
    return pytest.importorskip("polars").DataFrame(dict(zip("abc", BASE.T, strict=True)))


def imported(name, **options):
    return lambda: getattr(scipy.sparse, name)(BASE, **options)


RIGHT = {
    "list": BASE.tolist,
    "tuple": lambda: tuple(map(tuple, BASE.tolist())),
    "list of arrays": lambda: list(BASE),
    "list of tensors": lambda: list(torch.from_numpy(BASE)),
    **{
        f"dtype {d}": lambda d=d: BASE.astype(d)
        for d in ("f2", "f4", "f8", "g", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
    },
    "big-endian float": lambda: BASE.astype(">f8"),
    "big-endian integer": lambda: BASE.astype(">i4"),
    "Fortran order": lambda: np.asfortranarray(BASE),
    "negative strides": lambda: BASE[::-1, ::-1].copy()[::-1, ::-1],
    "not contiguous": lambda: np.repeat(np.repeat(BASE, 2, 0), 2, 1)[::2, ::2],
    "read only": lambda: np.broadcast_to(BASE, BASE.shape),
    "masked, nothing is": lambda: np.ma.masked_array(BASE, np.zeros_like(BASE, bool)),
    "matrix": lambda: BASE.view(np.matrix),
    "memory map": backed_map,
    "objects": lambda: BASE.astype(object),
    "objects of NumPy": lambda: np.array([[np.float32(v) for v in row] for row in BASE], object),
    "tensor": lambda: torch.from_numpy(BASE.copy()),
    "tensor with gradient": lambda: torch.from_numpy(BASE.copy()).requires_grad_(),
    "tensor of bfloat16": lambda: torch.from_numpy(BASE).to(torch.bfloat16),
    "tensor of half": lambda: torch.from_numpy(BASE).half(),
    "tensor, transposed": lambda: torch.from_numpy(BASE.T.copy()).T,
    "tensor, negated view": lambda: torch._neg_view(torch.from_numpy(-BASE)),
    "CSR matrix": imported("csr_matrix"),
    "CSC matrix": imported("csc_matrix"),
    "COO matrix": imported("coo_matrix"),
    "CSR array": imported("csr_array"),
    "CSC array": imported("csc_array"),
    "COO array": imported("coo_array"),
    "BSR array": imported("bsr_array", blocksize=(2, 3)),
    "DOK array": imported("dok_array"),
    "LIL array": imported("lil_array"),
    "CSR of integers": lambda: scipy.sparse.csr_array(BASE.astype(np.int64)),
    "CSR of long double": lambda: scipy.sparse.csr_array(BASE.astype(np.longdouble)),
    "frame": frame,
    "frame of Int64": lambda: frame("Int64"),
    "frame of Float32": lambda: frame("Float32"),
    "frame of mixed types": lambda: frame({"a": "Int8", "b": "float32", "c": object}),
    "sparse frame": lambda: frame("Sparse[float64]"),
    "polars": polars_frame,
    "structured": structured,
    "view of AnnData": view,
}
BOOLEANS = {
    "bool": lambda: BASE > 2,
    "tensor of bool": lambda: torch.from_numpy(BASE > 2),
    "frame of bool": lambda: frame() > 2,
    "frame of boolean": lambda: (frame() > 2).astype("boolean"),
    "CSR of bool": lambda: scipy.sparse.csr_array(BASE > 2),
    "objects of bool": lambda: (BASE > 2).astype(object),
}
NAMED = {n for n in {**RIGHT, **BOOLEANS} if "frame" in n or n in ("structured", "polars")}


def made(make, tmp_path):
    return make(tmp_path) if make is backed_map else make()


@pytest.mark.parametrize("kind", [*RIGHT, *BOOLEANS])
@pytest.mark.parametrize("form", ["list", "dict", "labelled", "model"])
def test_what_is_accepted_is_right(kind, form, tmp_path):
    expected = BASE if kind in RIGHT else (BASE > 2).astype(float)
    source = made({**RIGHT, **BOOLEANS}[kind], tmp_path)
    if form == "labelled" and (isinstance(source, list | tuple) or kind in NAMED):
        pytest.skip("one source with labels is an array")
    sets = {
        "list": lambda: read([source, source], atoms="vectors"),
        "dict": lambda: read({"0": source, "1": source}, atoms="vectors"),
        "labelled": lambda: read(source, by=[0, 0, 1, 1], atoms="vectors"),
        "model": lambda: as_collection([source, source]),
    }[form]()
    batch = sets.batch([0, 1])
    whole = expected if form == "labelled" else np.concatenate([expected, expected])
    assert np.array_equal(batch.x.numpy(), whole)
    assert sets.ids.tolist() == ["0", "1"]
    assert sets.features == (("a", "b", "c") if kind in NAMED else None)
    if kind.startswith(("CSR", "CSC", "COO", "BSR", "DOK", "LIL")):
        assert sets.observations.sparse


def damaged(**changes):
    x = scipy.sparse.csr_array(BASE)
    for name, value in changes.items():
        setattr(x, name, np.asarray(value, np.int32))
    return x


def with_na():
    return frame("Int64").mask(lambda f: f == 5)


REFUSED = {
    "masked": (lambda: np.ma.masked_equal(BASE, 5), r"masked in 1 rows: 1\. .*Drop these"),
    "list of masked": (lambda: list(np.ma.masked_less(BASE, 2)), "masked in 3 rows: 0, 1, 3"),
    "complex": (lambda: BASE + 1j, r"complex128 values.*np.stack\(\[x.real, x.imag\]"),
    "complex tensor": (lambda: torch.from_numpy(BASE + 1j), "complex128 values.*real"),
    "complex CSR": (lambda: scipy.sparse.csr_array(BASE + 1j), "complex128 values"),
    "dates": (lambda: BASE.astype("datetime64[s]"), r"datetime64\[s\] values.*reference"),
    "time differences": (lambda: BASE.astype("timedelta64[s]"), "timedelta64.*np.timedelta64"),
    "bytes": (lambda: BASE.astype("S"), "decode"),
    "text": (lambda: BASE.astype(str), "atoms are numbers"),
    "records of bytes": (lambda: np.zeros(4, [("a", "S3")]), "column 'a', which is no feature"),
    "objects with None": (lambda: np.array([[1.0], [None]], object), "holds None in row 1"),
    "objects with text": (lambda: np.array([[1.0], ["x"]], object), "holds 'x' in row 1"),
    "objects with NaN": (lambda: np.array([[1.0], [np.nan]], object), "holds nan in row 1"),
    "list of dicts": (lambda: [{"a": 1}, {"a": 2}], "list of dict, whose names.*data frame"),
    "list of series": (lambda: [frame()["a"], frame()["b"]], "list of Series, whose names"),
    "list of sparse rows": (lambda: [scipy.sparse.csr_array(BASE)], "a csr_array in row 0"),
    "0-d": (lambda: np.array(3.0), r"shape \(\).*x\[:, None\]"),
    "number": (lambda: 3.0, r"shape \(\)"),
    "1-d": (lambda: BASE[0], r"shape \(3,\).*x\[:, None\]"),
    "1-d tensor": (lambda: torch.ones(3), r"shape \(3,\)"),
    "1-d sparse": (lambda: scipy.sparse.coo_array([1.0, 2]), r"shape \(2,\)"),
    "no row": (lambda: BASE[:0], "is empty"),
    "no column": (lambda: BASE[:, :0], r"shape \(4, 0\); an atom needs"),
    "no row, sparse": (lambda: scipy.sparse.csr_array((0, 3)), "is empty"),
    "empty list": (list, r"shape \(0,\)"),
    "empty frame": (lambda: frame()[[]], "no column"),
    "ragged": (lambda: [[1.0], [2.0, 3.0]], "ragged"),
    "NaN": (lambda: np.where(BASE == 5, np.nan, BASE), "holds nan in feature"),
    "NaN in a tensor": (lambda: torch.full((3, 1), torch.nan), "holds nan"),
    "infinite half": (lambda: np.full((2, 1), np.inf, np.float16), "holds inf"),
    "frame with NA": (with_na, r"Column 'b' holds <NA> in row 1"),
    "frame with text": (lambda: frame(d="x"), r"column 'd', which is no feature \(text\).*Drop"),
    "frame with dates": (lambda: frame(d=np.datetime64("2024-01-01")), r"'d'.*\(dates"),
    "two columns of a name": (lambda: frame().set_axis(list("aba"), axis=1), "named 'a'"),
    "AnnData": (lambda: pytest.importorskip("anndata").AnnData(BASE), r"anndata.concat\("),
    "sparse tensor": (lambda: torch.from_numpy(BASE).to_sparse(), r"x.to_dense\(\)"),
    "index beyond": (lambda: damaged(indices=[0, 99, 0, 1, 0, 1, 2, 1, 2]), "damaged"),
    "negative index": (lambda: damaged(indices=[0, -1, 0, 1, 0, 1, 2, 1, 2]), "damaged"),
    "indptr beyond": (lambda: damaged(indptr=[0, 2, 4, 7, 99]), "damaged"),
    "indptr falls": (lambda: damaged(indptr=[0, 7, 4, 7, 9]), "damaged"),
    "indptr ends below zero": (lambda: damaged(indptr=[0, 99, 4, 7, -1]), "damaged"),
    "short indptr": (lambda: damaged(indptr=[0, 9]), "damaged"),
    "object": (object, "holds <object object .* in row 0"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("form", ["list", "model"])
def test_what_is_refused_says_how_to_mend_it(kind, form):
    make, message = REFUSED[kind]
    source = make()
    with pytest.raises(ValueError, match=message):
        read([source, source]) if form == "list" else as_collection([source])


def test_there_are_enough_kinds():
    assert len(RIGHT) + len(BOOLEANS) + len(REFUSED) >= 25


def test_arrays_are_not_copied():
    x = BASE.astype(np.float32)
    assert as_atoms("x", x).x is x
    csr = scipy.sparse.csr_array(x)
    assert as_atoms("x", csr).x.data is csr.data
    tensor = torch.from_numpy(x)
    assert np.shares_memory(as_atoms("x", tensor).x, x)


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["list", "dict", "structured"])
def test_columns_in_another_order_are_matched_by_name(form):
    one, other = frame(), frame()[["c", "a", "b"]]
    if form == "structured":
        one, other = (f.to_records(index=False) for f in (one, other))
    sources = {"p": one, "q": other} if form == "dict" else [one, other]
    sets = read(sources, atoms="vectors")
    assert sets.features == ("a", "b", "c")
    assert np.array_equal(sets.batch([0]).x, sets.batch([1]).x)


def test_other_names_are_refused():
    with pytest.raises(ValueError, match=r"Set '1' has the features a, b, d.*differ in c, d"):
        read([frame(), frame().rename(columns={"c": "d"})])
    with pytest.raises(ValueError, match=r"of set '0' have names, and those of set '1' have none"):
        read([frame(), BASE])
    with pytest.raises(ValueError, match="Two sets are named '1'"):
        read({1: BASE, "1": BASE})


def test_a_frame_in_a_dict_of_columns_is_refused():
    with pytest.raises(ValueError, match=r"Column 'p' has shape \(4, 3\).*leave `by` out"):
        read({"p": BASE, "who": list("aabb")}, by="who")


def test_dense_and_sparse_sets_go_together():
    sets = read([BASE, scipy.sparse.csc_array(BASE)])
    assert np.array_equal(sets.batch([1]).x, BASE)


# -- AnnData ------------------------------------------------------------------------------------


def cells(sparse=True):
    anndata, pandas = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    x = scipy.sparse.csr_matrix(BASE) if sparse else BASE.copy()
    obs = pandas.DataFrame({"who": list("aabb")}, index=list("wxyz"))
    made = anndata.AnnData(x, obs=obs, var=pandas.DataFrame(index=list("def")))
    made.layers["csc"] = scipy.sparse.csc_matrix(BASE)
    made.layers["int"] = BASE.astype(np.int32)
    made.obsm["sparse"] = scipy.sparse.csr_matrix(BASE)
    made.obsm["array"] = BASE.copy()
    made.obsm["frame"] = pandas.DataFrame(BASE[:, ::-1], index=obs.index, columns=list("cba"))
    return made


@pytest.mark.parametrize("form", ["memory", "view", "file", "backed", "backed view"])
@pytest.mark.parametrize("sparse", [True, False])
def test_cells_of_every_form_are_the_same(form, sparse, tmp_path):
    adata = cells(sparse)
    source = adata
    if form != "memory":
        adata.write_h5ad(tmp_path / "c.h5ad")
        backed = pytest.importorskip("anndata").read_h5ad(tmp_path / "c.h5ad", backed="r")
        source = {
            "view": adata[:, :],
            "file": tmp_path / "c.h5ad",
            "backed": backed,
            "backed view": backed[:, :],
        }[form]
    for options, names in (
        ({}, "def"),
        ({"layer": "csc"}, "def"),
        ({"layer": "int"}, "def"),
        ({"genes": ["f", "d"]}, "fd"),
        ({"obsm": "frame"}, "cba"),
        ({"obsm": "sparse"}, None),
        ({"obsm": "array"}, None),
    ):
        obs = read_cells(source, **options)
        x = obs.x.toarray() if obs.sparse else obs.x
        names = names or tuple(f"{options['obsm']}{j}" for j in range(3))
        assert obs.features == tuple(names)
        order = {"fd": [2, 0], "cba": [2, 1, 0]}.get("".join(names), [0, 1, 2])
        assert np.array_equal(x, BASE[:, order])
        assert obs.labels("who").tolist() == list("aabb")


def test_embeddings_in_another_order_are_matched_by_name():
    """What a model of one order takes from the other, `feature_columns` matches by name."""
    from distembed.model.inputs import feature_columns

    one, other = cells(), cells()
    other.obsm["frame"] = other.obsm["frame"][list("abc")]
    a, b = (read(adata, "who", obsm="frame") for adata in (one, other))
    columns = feature_columns(b, a.features, a.event_shape)
    assert np.array_equal(a.batch([0, 1]).x, b.batch([0, 1]).x[:, columns])


def test_records_are_a_table_where_a_column_names_the_sets():
    rows = [("p", 1.5, 2), ("p", 2.5, 3), ("q", 3.5, 5), ("q", 0.5, 7)]
    records = np.array(rows, [("who", "U1"), ("x", float), ("n", int)])
    sets = read(records, by="who")
    assert (sets.ids.tolist(), sets.features) == (["p", "q"], ("x", "n"))
    assert sets.batch([1]).x.tolist() == [[3.5, 5], [0.5, 7]]
