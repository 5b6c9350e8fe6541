"""AnnData: layers, embeddings and genes, from an object and from a file, without densifying."""

import contextlib
import warnings

import numpy as np
import pytest
import scipy.sparse

import distembed as de
from distembed.data.readers.cells import read_cells
from distembed.data.store import check_store

anndata = pytest.importorskip("anndata")
pandas = pytest.importorskip("pandas")


@pytest.fixture
def adata():
    x = scipy.sparse.random(6, 4, density=0.5, format="csr", dtype=np.float32, rng=0)
    made = anndata.AnnData(
        x,
        obs=pandas.DataFrame(
            {"guide": pandas.Categorical(list("aabbb") + [None]), "umi": range(6)},
            index=[f"c{i}" for i in range(6)],
        ),
        var=pandas.DataFrame({"hvg": [True, False, True, False], "n": 1}, index=list("wxyz")),
    )
    made.layers["dense"] = x.toarray() + 1
    made.layers["csc"] = x.tocsc()
    made.obsm["X_pca"] = np.arange(12.0).reshape(6, 2)
    return made


def write_zarr(adata, path, version=3):
    with warnings.catch_warnings(), anndata.settings.override(zarr_write_format=version):
        warnings.simplefilter("ignore", UserWarning)  # of a default that will change
        adata.write_zarr(path)
    return path


@pytest.fixture(params=["object", "file", "zarr2", "zarr3"])
def source(request, adata, tmp_path):
    if request.param == "object":
        return adata
    if request.param.startswith("zarr"):
        return write_zarr(adata, tmp_path / "cells.zarr", int(request.param[-1]))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def test_x_stays_sparse_and_annotation_is_plain(adata, source):
    obs = read_cells(source)
    assert obs.sparse
    assert (obs.x != adata.X).nnz == 0
    assert obs.features == tuple("wxyz")
    assert obs.columns["guide"].tolist() == [*"aabbb", ""]
    assert obs.columns["umi"].tolist() == list(range(6))
    assert set(read_cells(source, keep=["guide"]).columns) == {"guide"}


def test_layers_genes_and_embeddings(adata, source):
    dense = adata.layers["dense"]
    assert np.array_equal(read_cells(source, layer="dense").x, dense)
    assert read_cells(source, layer="csc").sparse
    for genes, names in (("hvg", "wy"), (["z", "w"], "zw"), (np.array([0, 1, 0, 0], bool), "x")):
        obs = read_cells(source, layer="dense", genes=genes)
        assert obs.features == tuple(names)
        assert np.array_equal(obs.x, dense[:, ["wxyz".index(n) for n in names]])
    obs = read_cells(source, obsm="X_pca")
    assert obs.features == ("X_pca0", "X_pca1")
    assert np.array_equal(obs.x, adata.obsm["X_pca"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "dens"}, "close names are: 'dense'"),
        ({"obsm": "X_umap"}, "no embedding in obsm"),
        ({"genes": ["q"]}, "no gene 'q'"),
        ({"genes": "highly"}, "no column of var"),
        ({"genes": "n"}, "a mask is boolean"),
        ({"genes": np.array([True])}, "there are 4 genes"),
        ({"genes": np.zeros(4, bool)}, "at least one"),
        ({"keep": ["guid"]}, "close names are: 'guide'"),
        ({"obsm": "X_pca", "genes": "hvg"}, "do not go with it"),
    ],
)
def test_errors_say_what_is_expected(adata, options, message):
    with pytest.raises(ValueError, match=message):
        read_cells(adata, **options)


def test_what_is_no_anndata_is_refused(adata, tmp_path):
    with pytest.raises(FileNotFoundError):
        read_cells(tmp_path / "no.h5ad")
    (tmp_path / "bad.h5ad").write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match="damaged"):
        read_cells(tmp_path / "bad.h5ad")
    with pytest.raises(TypeError, match="is no AnnData"):
        read_cells({"X": 1})
    adata.X = None
    with pytest.raises(ValueError, match="X is empty"):
        read_cells(adata)


def test_a_name_of_several_genes_is_refused_where_it_is_chosen():
    cells = anndata.AnnData(np.arange(8.0).reshape(2, 4))
    cells.var_names = ["a", "b", "a", "c"]
    with pytest.raises(ValueError, match="2 genes are named 'a', and it is not clear"):
        read_cells(cells, genes=["b", "a"])
    assert read_cells(cells, genes=["c", "b"]).x.tolist() == [[3.0, 1.0], [7.0, 5.0]]
    assert read_cells(cells, genes=[True, True, False, True]).features == ("a", "b", "c")


def test_a_damaged_folder_of_zarr_is_refused(adata, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        read_cells(tmp_path / "no.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ValueError, match=r"empty.zarr is damaged or is not Zarr|no AnnData"):
        read_cells(tmp_path / "empty.zarr")
    path = write_zarr(adata, tmp_path / "cells.zarr")
    chunks = [f for f in sorted((path / "X").rglob("*")) if f.is_file() and "." not in f.name]
    metadata = [f for f in sorted(path.rglob("*")) if f.is_file() and f not in chunks]
    for file in (*chunks, *metadata):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        # a list of attributes may be cut where nothing is lost, and is read then
        with contextlib.suppress(ValueError):
            obs = read_cells(path)
            assert (obs.x != adata.X).nnz == 0
        file.write_bytes(content)
    assert (read_cells(path).x != adata.X).nnz == 0


def test_shapes_that_a_folder_cannot_hold_are_refused(adata, tmp_path, monkeypatch):
    path = write_zarr(adata, tmp_path / "cells.zarr")
    monkeypatch.setattr("distembed.data.readers.bounds._SIZE", 1)
    monkeypatch.setattr("distembed.data.readers.bounds._RATIO", 1e-6)
    with pytest.raises(ValueError, match=r"cells.zarr has \d+ bytes, and .*by the shape"):
        read_cells(path)


@pytest.mark.parametrize("options", [{}, {"genes": ["y", "w"]}, {"obsm": "X_pca"}], ids=str)
def test_a_store_is_built_of_folders_of_zarr(adata, options, tmp_path, largest_part):
    path = write_zarr(adata[:5].copy(), tmp_path / "cells.zarr")
    sets = de.build_store(path, tmp_path / "store", by="guide", memory=40, **options)
    whole = de.read(path, by="guide", **options)
    assert (sets.ids.tolist(), sets.features) == (["a", "b"], whole.features)
    assert np.array_equal(sets.batch([0, 1]).x, whole.batch([0, 1]).x)
    assert 0 < largest_part() < 4
    check_store(tmp_path / "store")
    file = max(path.rglob("*"), key=lambda f: f.stat().st_size if f.is_file() else 0)
    file.write_bytes(file.read_bytes() + b"0")
    with pytest.raises(ValueError, match="has changed since the store"):
        check_store(tmp_path / "store")


def test_folders_of_zarr_are_sets_by_their_name(adata, tmp_path):
    for name, part in (("s1", adata[:3]), ("s2", adata[3:5])):
        write_zarr(part.copy(), tmp_path / f"{name}.zarr")
    for k, source in enumerate((tmp_path, f"{tmp_path}/*.zarr", sorted(tmp_path.glob("*.zarr")))):
        sets = de.build_store(source, tmp_path.with_name(f"store{k}"), force=True)
        assert (sets.ids.tolist(), sets.sizes.tolist()) == (["s1", "s2"], [3, 2])


@pytest.mark.parametrize("options", [{"layer": "csc"}, {"obsm": "frame"}], ids=str)
@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_a_store_of_what_is_not_stored_by_cells_is_read_whole(
    adata, ending, options, tmp_path, caplog
):
    cells, path = adata[:5].copy(), tmp_path / f"cells.{ending}"
    # a column of whole numbers with gaps is a group of its own in the file
    frame = pandas.DataFrame({"a": pandas.array(range(5), "Int64"), "b": 0.5}, cells.obs_names)
    cells.obsm["frame"] = frame
    write_zarr(cells, path) if ending == "zarr" else cells.write_h5ad(path)
    sets = de.build_store(path, tmp_path / "store", by="guide", **options)
    check_store(tmp_path / "store")
    assert f"of cells.{ending} is stored as " in caplog.text
    assert np.array_equal(
        sets.batch([0, 1]).x, de.read(path, by="guide", **options).batch([0, 1]).x
    )


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_cells_without_a_gene_are_refused(ending, tmp_path):
    cells, path = anndata.AnnData(np.zeros((4, 0), "f4")), tmp_path / f"cells.{ending}"
    cells.obs["guide"] = list("aabb")
    write_zarr(cells, path) if ending == "zarr" else cells.write_h5ad(path)
    with pytest.raises(ValueError, match=r"shape \(4, 0\); an atom needs at least one number"):
        de.build_store(path, tmp_path / "store", by="guide")
