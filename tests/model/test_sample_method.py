"""Samples of AnnData by the conventions of patpy, and with patpy itself where it is installed.

patpy has some fifty dependencies, and so it is in no extra; the last tests run where it is
installed beside this package.
"""

import inspect
import warnings

import numpy as np
import pytest

import distembed as de
from distembed.model.sample_method import SampleMethod
from distembed.training.config import TrainConfig

CONFIG = TrainConfig(steps=2, every=2, warmup=0, batch=4, target=4, patience=0, metric_steps=2)
SMALL = {"encoder": "closed_form", "generator": "explicit", "latent": 4}


def cells(samples=14, each=60, seed=0):
    """Cells of samples in two arms, in an order in which samples are mixed."""
    anndata, pandas = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    number = rng.permutation(np.repeat(np.arange(samples), each))
    obs = {
        "donor": pandas.Categorical([f"d{i}" for i in number]),
        "group": np.where(rng.random(len(number)) < 0.5, "T", "B"),
        "arm": np.where(number % 2, "drug", "placebo"),
    }
    names = np.arange(len(number)).astype(str)
    adata = anndata.AnnData(
        rng.normal(size=(len(number), 2)).astype("f4"), obs=pandas.DataFrame(obs, index=names)
    )
    adata.obsm["X_pca"] = rng.normal(3.0 * (number[:, None] % 2), 1, (len(number), 3))
    adata.layers["scaled"] = 2 * adata.X
    return adata


def method(**options):
    return SampleMethod("donor", "group", model=de.GDE(**SMALL), config=CONFIG, **options)


@pytest.fixture(scope="module")
def prepared():
    one = method()
    one.prepare_anndata(cells())
    return one


def test_rows_are_the_samples_in_order_of_appearance(prepared):
    adata = cells()
    assert prepared.samples.tolist() == list(adata.obs["donor"].unique())
    assert sorted(prepared.cell_groups) == ["B", "T"]
    rows = prepared.sample_representation
    assert rows.index.tolist() == prepared.samples.tolist()
    for donor in prepared.samples[[0, 7]]:
        own = adata.obsm["X_pca"][(adata.obs["donor"] == donor).to_numpy()]
        np.testing.assert_allclose(
            rows.loc[donor], prepared.model.embed([own]).z[0], rtol=1e-4, atol=1e-5
        )


def test_distances_are_those_of_the_model_and_are_stored(prepared):
    distances = prepared.calculate_distance_matrix(force=True)
    np.testing.assert_array_equal(distances, prepared.model.distances(prepared.table))
    np.testing.assert_array_equal(np.diag(distances), 0)
    np.testing.assert_array_equal(distances, distances.T)
    stored = prepared.adata.uns[SampleMethod.DISTANCES_UNS_KEY]
    np.testing.assert_array_equal(stored, distances)
    latent = prepared.calculate_distance_matrix(calibrated=False)
    expected = prepared.model.distances(prepared.table, calibrated=False)
    np.testing.assert_array_equal(latent, expected)
    assert not np.allclose(latent, distances)


def test_only_distances_of_these_embeddings_are_taken_from_the_store(prepared, tmp_path):
    import anndata

    prepared.calculate_distance_matrix(force=True)
    prepared.adata.write_h5ad(tmp_path / "cells.h5ad")
    adata = anndata.read_h5ad(tmp_path / "cells.h5ad")
    key = SampleMethod.DISTANCES_UNS_KEY
    adata.uns[key] = marked = np.full((14, 14), 7.0)
    same = SampleMethod("donor", model=prepared.model)
    same.prepare_anndata(adata)
    np.testing.assert_array_equal(same.calculate_distance_matrix(), marked)
    other = SampleMethod("donor", model=prepared.model)
    other.prepare_anndata(adata[adata.obs["donor"] != "d3"].copy())
    assert other.calculate_distance_matrix().shape == (13, 13)
    assert not (other.calculate_distance_matrix() == 7).any()
    assert not (same.calculate_distance_matrix(force=True) == 7).any()


def test_what_is_returned_may_be_changed(prepared):
    distances = prepared.calculate_distance_matrix()
    distances[:] = 0
    assert prepared.calculate_distance_matrix().any()


def test_a_fitted_model_is_not_trained_and_another_is_each_time(prepared):
    fitted = SampleMethod("donor", model=prepared.model)
    fitted.prepare_anndata(cells(6, seed=1))
    assert fitted.model is prepared.model
    fresh = method()
    fresh.prepare_anndata(cells())
    first = fresh.model
    np.testing.assert_array_equal(fresh.table.z, prepared.table.z)
    fresh.prepare_anndata(cells(12, seed=1))
    assert fresh.model is not first
    assert fresh.table.trained.all()


@pytest.mark.parametrize(
    ("layer", "options"),
    [(None, {}), ("X", {}), ("scaled", {"layer": "scaled"}), ("X_pca", {"obsm": "X_pca"})],
)
def test_features_are_those_that_patpy_takes(layer, options):
    adata = cells(6)
    sets = de.read(adata, "donor", **options)
    model = de.GDE(**SMALL).fit(sets, CONFIG, progress=False)
    one = SampleMethod("donor", layer=layer, model=model)
    one.prepare_anndata(adata)
    np.testing.assert_array_equal(one.table.z, model.embed(sets).z)


def test_samples_as_anndata(prepared):
    pandas = pytest.importorskip("pandas")
    metadata = pandas.DataFrame({"age": range(14)}, index=[f"d{i}" for i in range(14)])
    cohort = prepared.to_adata(metadata)
    assert cohort.obs_names.tolist() == prepared.samples.tolist()
    assert [f"d{age}" for age in cohort.obs["age"]] == cohort.obs_names.tolist()
    np.testing.assert_array_equal(
        cohort.obsm[SampleMethod.DISTANCES_UNS_KEY], prepared.calculate_distance_matrix()
    )
    with pytest.raises(KeyError):
        prepared.to_adata(metadata.iloc[1:])


def test_what_cannot_be_done_is_refused():
    with pytest.raises(
        RuntimeError, match="of 'donor' were not embedded yet; call prepare_anndata"
    ):
        method().calculate_distance_matrix()
    with pytest.raises(ValueError, match="'who' is no column of obs.*donor, group, arm"):
        SampleMethod("who").prepare_anndata(cells(4))
    with pytest.raises(ValueError, match="'type' is no column of obs"):
        SampleMethod("donor", "type").prepare_anndata(cells(4))
    with pytest.raises(ValueError, match="X_umap"):
        SampleMethod("donor", layer="X_umap").prepare_anndata(cells(4))


# -- with patpy ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patpy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("patpy.tl", reason="needs patpy, which is in no extra")


def test_it_has_the_names_of_patpys_base(patpy):
    base = patpy.SampleRepresentationMethod
    own = vars(SampleMethod("donor"))
    assert set(vars(base("donor", None))) <= set(own)
    assert base.DISTANCES_UNS_KEY != SampleMethod.DISTANCES_UNS_KEY
    for name in ("__init__", "prepare_anndata", "calculate_distance_matrix", "to_adata"):
        expected = inspect.signature(getattr(base, name)).parameters
        positional = [
            p.name for p in expected.values() if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        ]
        assert [*inspect.signature(getattr(SampleMethod, name)).parameters][
            : len(positional)
        ] == positional


@pytest.mark.filterwarnings("ignore")
def test_patpys_scores_maps_and_probes_take_it(patpy):
    class Embedded(SampleMethod, patpy.SampleRepresentationMethod):
        pass

    one = Embedded("donor", "group", model=de.GDE(**SMALL), config=CONFIG)
    one.prepare_anndata(cells())
    score = one.evaluate_representation("arm", method="knn", task="classification")
    assert score["score"] == 1  # the arms are three deviations apart
    assert one.evaluate_representation("arm", method="silhouette")["score"] > 0.5
    assert one.fit_linear_probe("arm", test_size=0.3)["accuracy"] == 1
    points = one.embed("MDS")
    assert points.shape == (14, 2)
    assert one.to_adata().obsm["X_mds"] is not None
    expected, predicted = one.predict_metadata("arm")
    assert (expected.to_numpy() == predicted).all()
