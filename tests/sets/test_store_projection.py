"""Principal components of cells in parts are those of a dense decomposition."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import distembed as de
from distembed.data.readers import open_stream
from distembed.sets.projection import Recipe, fit_projection, read_projection

GENES = tuple(f"g{j}" for j in range(9))


def counts(n=80, seed=0):
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1, 1, (n, 2)) @ rng.gamma(0.5, 1, (2, 9))
    return rng.poisson(rate).astype(np.float32)


def log_normalised(x, target, log1p):
    y = x.astype(float)
    if target is not None:
        total = y.sum(1, keepdims=True)
        y = target * y / np.where(total > 0, total, 1)
    return np.log1p(y) if log1p else y


@given(
    st.integers(0, 99),
    st.sampled_from([None, 10.0, 1e4]),
    st.booleans(),
    st.integers(1, 9),
    st.integers(1, 80),
    st.booleans(),
)
@settings(deadline=None)
def test_parts_give_the_dense_decomposition(seed, target, log1p, k, size, sparse):
    x = counts(seed=seed)
    x[3] = 0  # a cell without counts stays zero
    y = log_normalised(x, target, log1p)
    parts = [x[i : i + size] for i in range(0, len(x), size)]
    if sparse:
        parts = [scipy.sparse.csr_matrix(part) for part in parts]
    fit = fit_projection(parts, GENES, Recipe(k, target, log1p))
    centred = y - y.mean(0)
    u, s, v = np.linalg.svd(centred, full_matrices=False)
    share = s**2 / (s**2).sum()
    assert np.allclose(fit.variance, share[:k], atol=1e-10)
    z = np.concatenate([fit(part) for part in parts])
    # the span is unique where eigenvalues differ; distances in it do not depend on the signs
    if k == 9 or share[k - 1] - share[k] > 1e-3:
        flat = centred @ v[:k].T
        assert np.allclose(z @ z.T, flat @ flat.T, rtol=1e-4, atol=1e-4 * (flat**2).sum(1).max())
    assert np.allclose(z.mean(0), 0, atol=1e-3 * np.abs(z).max())
    assert np.allclose(fit.components @ fit.components.T, np.eye(k), atol=1e-10)
    assert (fit.components[range(k), np.abs(fit.components).argmax(1)] > 0).all()


def test_what_cannot_be_projected_is_refused():
    x = counts(20)
    with pytest.raises(ValueError, match="pca = 0 components"):
        Recipe(0)
    with pytest.raises(ValueError, match="target_sum = -1"):
        Recipe(2, -1)
    with pytest.raises(ValueError, match="A value is -1; target_sum and log1p are for counts"):
        fit_projection([x - 1], GENES, Recipe(2, log1p=True))
    with pytest.raises(ValueError, match="10 components of 20 cells and 9 genes"):
        fit_projection([x], GENES, Recipe(10))
    with pytest.raises(ValueError, match="whose covariance would take 0.0 GiB. Choose variable"):
        fit_projection([x], GENES, Recipe(2, largest=8))


@pytest.fixture
def cells(tmp_path):
    anndata, pd = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    x, donor = counts(), np.arange(80) % 4
    obs = pd.DataFrame({"donor": donor.astype(str)}, index=[str(i) for i in range(80)])
    var = pd.DataFrame(index=list(GENES))
    adata = anndata.AnnData(scipy.sparse.csr_matrix(x), obs, var)
    adata.write_h5ad(tmp_path / "c.h5ad")
    adata[:, ::-1].copy().write_h5ad(tmp_path / "turned.h5ad")
    adata[:, 1:].copy().write_h5ad(tmp_path / "fewer.h5ad")
    return tmp_path


def test_a_store_holds_the_projection_and_maps_new_cells_alike(cells):
    options = {"pca": 3, "target_sum": 100.0, "log1p": True, "memory": 999}
    sets = de.build_store(cells / "c.h5ad", cells / "s", by="donor", **options)
    assert (sets.features, sets.atoms.name) == (("PC1", "PC2", "PC3"), "vectors")
    projection = read_projection(cells / "s")
    assert (projection.genes, projection.recipe) == (GENES, Recipe(3, 100.0, True))
    x = counts()
    assert np.array_equal(sets.batch([1]).x.numpy(), projection(x[1::4]))
    again = de.build_store(cells / "turned.h5ad", cells / "t", by="donor", like=cells / "s")
    assert np.allclose(again.batch([1]).x, sets.batch([1]).x, atol=1e-5)
    assert read_projection(cells / "t").genes == GENES
    with pytest.raises(ValueError, match="The cells lack 1 of the 9 genes of the projection: g0"):
        de.build_store(cells / "fewer.h5ad", cells / "u", by="donor", like=cells / "s")
    with pytest.raises(ValueError, match="like = .* states the projection"):
        de.build_store(cells / "c.h5ad", cells / "u", by="donor", like=cells / "s", pca=2)
    with pytest.raises(ValueError, match="atoms = 'counts' and pca"):
        de.build_store(cells / "c.h5ad", cells / "u", by="donor", pca=2, atoms="counts")
    plain = de.build_store(cells / "c.h5ad", cells / "v", by="donor")
    with pytest.raises(FileNotFoundError, match="built without pca"):
        de.build_store(cells / "c.h5ad", cells / "u", by="donor", like=cells / "v")
    assert plain.atoms.name == "counts"


def test_genes_without_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="pca needs features with names"):
        de.build_store(counts(), tmp_path / "s", by=np.arange(80) % 4, pca=2)


def test_a_matrix_by_columns_and_a_damaged_one(cells, monkeypatch, caplog):
    h5py, anndata = pytest.importorskip("h5py"), pytest.importorskip("anndata")
    adata = anndata.read_h5ad(cells / "c.h5ad")
    adata.X = adata.X.tocsc()
    adata.write_h5ad(cells / "csc.h5ad")
    sets = de.build_store(cells / "csc.h5ad", cells / "csc", by="donor")
    assert torch.equal(sets.batch([0]).x, de.read(adata, by="donor").batch([0]).x)
    assert "X of csc.h5ad is stored as csc_matrix, of which rows cannot be" in caplog.text
    assert "It is read whole now." in caplog.text
    monkeypatch.setattr(open_stream, "memory_of_machine", lambda: 2.0 * adata.X.nnz)
    with pytest.raises(ValueError, match="stored as csc_matrix, .* convert it and write the file"):
        de.build_store(cells / "csc.h5ad", cells / "s", by="donor")
    with h5py.File(cells / "c.h5ad", "r+") as file:
        file["X/indices"][5] = 99
    with pytest.raises(ValueError, match="X is a sparse matrix that is damaged"):
        de.build_store(cells / "c.h5ad", cells / "s", by="donor")
    with pytest.raises(ValueError, match="no layer 'spliced'"):
        de.build_store(cells / "c.h5ad", cells / "s", by="donor", layer="spliced")
