"""Embeddings as AnnData, in the places where the tools of scverse look."""

import numpy as np
import pytest

from distembed.model.embeddings import Embeddings


def table(sets=7, latent=3, **options):
    rng = np.random.default_rng(0)
    return Embeddings(
        z=rng.normal(size=(sets, latent)).astype("float32"),
        ids=np.array([f"p{i}" for i in range(sets)]),
        sizes=np.arange(10, 10 + sets),
        effective_sizes=np.arange(10.0, 10 + sets),
        meta={
            "diagnosis": np.array(["x", "y"] * sets)[:sets],
            "df": np.arange(sets),
            "day": np.datetime64("2020-01-01") + np.arange(sets),
        },
        **options,
    )


@pytest.fixture
def anndata():
    return pytest.importorskip("anndata")


def test_an_observation_is_a_set(anndata):
    t = table()
    cohort = t.to_anndata()
    assert cohort.obs_names.tolist() == t.ids.tolist()
    assert cohort.var_names.tolist() == ["z0", "z1", "z2"]
    np.testing.assert_array_equal(cohort.X, t.z)
    assert cohort.obs["n_atoms"].tolist() == t.sizes.tolist()
    assert cohort.obs["diagnosis"].tolist() == t.meta["diagnosis"].tolist()
    assert cohort.obs["meta.df"].tolist() == list(range(7))  # `df` is a name of ours
    assert cohort.obs["day"].iloc[1] == "2020-01-02"


def test_embeddings_are_where_plots_of_scanpy_look(anndata):
    """`sc.pl.embedding(cohort, basis=B)` draws the first two columns of `obsm["X_B"]`."""
    cohort = table().to_anndata()
    for basis in ("z", "pca"):
        points = cohort.obsm[f"X_{basis}"]
        assert points.shape[0] == cohort.n_obs
        assert points.shape[1] >= 2
        assert np.isfinite(points).all()


def test_principal_components_keep_distances_and_are_sorted(anndata):
    t = table()
    scores = t.to_anndata().obsm["X_pca"].astype(float)

    def gaps(x):
        return np.linalg.norm(x[:, None] - x, axis=-1)

    np.testing.assert_allclose(gaps(scores), gaps(t.z.astype(float)), rtol=1e-5, atol=1e-6)
    covariance = np.cov(scores.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-6)
    assert (np.diff(np.diag(covariance)) < 0).all()


def test_fewer_sets_than_coordinates(anndata):
    assert table(sets=2, latent=5).to_anndata().obsm["X_pca"].shape == (2, 2)


def test_errors_are_a_layer_and_covariances_come_on_request(anndata):
    cov = np.broadcast_to(np.diag([1.0, 4.0, 9.0]).astype("float32"), (7, 3, 3)).copy()
    cov[:, 0, 1] = cov[:, 1, 0] = 0.5
    t = table(cov=cov, trained=np.arange(7) % 2 == 0)
    cohort = t.to_anndata()
    np.testing.assert_allclose(cohort.layers["standard_error"], [[1.0, 2.0, 3.0]] * 7)
    assert cohort.obs["trained"].tolist() == t.trained.tolist()
    assert "covariance" not in cohort.obsm
    upper = t.to_anndata(covariances=True).obsm["covariance"]
    np.testing.assert_allclose(upper[0], [1.0, 0.5, 0.0, 4.0, 0.0, 9.0])


def test_covariances_that_are_not_there_are_refused(anndata):
    with pytest.raises(ValueError, match="no covariances"):
        table().to_anndata(covariances=True)


def test_it_is_written_and_read(anndata, tmp_path):
    cohort = table().to_anndata()
    cohort.write_h5ad(tmp_path / "cohort.h5ad")
    again = anndata.read_h5ad(tmp_path / "cohort.h5ad")
    np.testing.assert_array_equal(again.obsm["X_z"], cohort.obsm["X_z"])
    assert again.obs["diagnosis"].tolist() == cohort.obs["diagnosis"].tolist()
