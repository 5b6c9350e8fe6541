"""Tables of embeddings: what is written is read back, and ids are text as it stands."""

import numpy as np
import pytest

from distembed.cli.tables import holds_embeddings, read_embeddings, write_embeddings
from distembed.model.embeddings import Embeddings

IDS = ["1.1", "1.10", "1_1", "11", "007", "1E2", "1606388400003099904", "nan"]


def table(**changes):
    rng, count = np.random.default_rng(0), len(IDS)
    root = rng.normal(size=(count, 3, 3)).astype(np.float32)
    fields = {
        "z": rng.normal(size=(count, 3)).astype(np.float32),
        "ids": np.array(IDS),
        "sizes": np.arange(5, 5 + count),
        "effective_sizes": np.arange(5.0, 5 + count),
        "meta": {
            "dose": np.array([0.5, 1, np.nan, 2, 3, 4, 1e-9, 5]),
            "clade": np.array(["1.1", "1.10", "2", "2", "2", "2", "2", "2"]),
            "n": np.arange(count) + 2**60,
        },
        "cov": root @ root.swapaxes(1, 2),
        "df": np.array([np.inf, *np.arange(1.0, count)]),
        "p_unusual": np.linspace(0, 1, count),
        "trained": np.arange(count) % 2 == 0,
    }
    return Embeddings(**fields | changes)


PACKAGES = {".parquet": "pyarrow", ".h5ad": "anndata"}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".h5ad"])
def test_a_table_is_read_back_exactly(tmp_path, suffix):
    pytest.importorskip(PACKAGES.get(suffix, "csv"))
    path, one = tmp_path / f"z{suffix}", table()
    write_embeddings(path, one, covariances=True)
    assert holds_embeddings(path)
    two = read_embeddings(path)
    assert two.ids.tolist() == IDS
    for name in ("z", "sizes", "effective_sizes", "df", "p_unusual", "trained"):
        np.testing.assert_array_equal(getattr(two, name), getattr(one, name))
    upper = np.triu_indices(3)
    np.testing.assert_array_equal(two.cov[:, *upper], one.cov[:, *upper])
    np.testing.assert_array_equal(two.cov, two.cov.swapaxes(1, 2))
    assert list(two.meta) == list(one.meta)
    for name, column in one.meta.items():
        np.testing.assert_array_equal(two.meta[name], column)
        assert two.meta[name].dtype.kind == column.dtype.kind


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_two_rows_of_one_id_are_refused(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"z{suffix}"
    write_embeddings(path, table(ids=np.array(["a", "b", "a", *"cdefg"])))
    with pytest.raises(ValueError, match="2 rows with the id 'a'; a set has one embedding"):
        read_embeddings(path)
    write_embeddings(path, table(ids=np.array(["a", "b", "", *"cdefg"])))
    with pytest.raises(ValueError, match="no id in row 2"):
        read_embeddings(path)


def test_coordinates_that_are_no_numbers_are_named(tmp_path):
    path = tmp_path / "z.csv"
    path.write_text("id,n_atoms,n_effective,z0\na,3,3.0,0.5\nb,3,3.0,oops\n")
    with pytest.raises(ValueError, match="'z0' of z.csv holds 'oops' in line 3"):
        read_embeddings(path)
    path.write_text("id,n_effective,z0\na,3.0,0.5\n")
    with pytest.raises(ValueError, match="no column 'n_atoms'"):
        read_embeddings(path)


def test_dates_are_written_to_anndata_as_text(tmp_path):
    anndata = pytest.importorskip("anndata")
    days = np.arange("2024-01-01", "2024-01-09", dtype="datetime64[D]")
    write_embeddings(tmp_path / "z.h5ad", table(meta={"visit": days}))
    cells = anndata.read_h5ad(tmp_path / "z.h5ad")
    assert cells.obs["visit"].astype(str).tolist() == days.astype(str).tolist()
    assert cells.obs_names.tolist() == IDS


def test_cells_are_no_table_of_embeddings(tmp_path):
    anndata = pytest.importorskip("anndata")
    anndata.AnnData(np.zeros((3, 2))).write_h5ad(tmp_path / "cells.h5ad")
    (tmp_path / "damaged.h5ad").write_bytes(b"no HDF5")
    assert not holds_embeddings(tmp_path / "cells.h5ad")
    assert not holds_embeddings(tmp_path / "damaged.h5ad")
