"""`DistributionEmbedder` in the machinery of scikit-learn, on lists, `Sets` and data frames."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import distembed as de
from distembed.heads import (
    DistributionEmbedder,
    SetClassifier,
    SetRegressor,
    cross_validated,
    mean_table,
)

FAST = {"steps": 2, "every": 2, "batch": 4, "threads": 1, "device": "cpu"}


def cohort(count=16, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.uniform(-2, 2, count)
    return [rng.normal([v, 0], 1, (rng.integers(5, 30), 2)) for v in y], y


def embedder(**options):
    return DistributionEmbedder(latent=3, training=FAST, **options)


@pytest.fixture(scope="module")
def fitted():
    sets, _ = cohort()
    return embedder().fit(sets)


def test_rows_are_those_of_the_model(fitted):
    sets, _ = cohort()
    z = fitted.transform(sets)
    np.testing.assert_array_equal(z, fitted.model_.embed(sets, covariance=False).z)
    order = np.random.default_rng(0).permutation(len(sets))
    np.testing.assert_allclose(fitted.transform([sets[i] for i in order]), z[order], atol=1e-5)
    np.testing.assert_allclose(fitted.transform(de.read(sets)), z, atol=1e-6)


def test_samples_come_back(fitted):
    sets, _ = cohort()
    drawn = fitted.inverse_transform(fitted.transform(sets), n=7, rng=1)
    assert drawn.shape == (16, 7, 2)
    np.testing.assert_array_equal(drawn, fitted.model_.sample(fitted.transform(sets), 7, 1))


def test_names_and_output(fitted):
    pandas = pytest.importorskip("pandas")
    sets, _ = cohort()
    assert fitted.get_feature_names_out().tolist() == ["z0", "z1", "z2"]
    wrapped = embedder().set_output(transform="pandas").fit(sets).transform(sets)
    assert isinstance(wrapped, pandas.DataFrame)
    assert wrapped.columns.tolist() == ["z0", "z1", "z2"]


def test_a_data_frame_has_a_row_a_set():
    pandas = pytest.importorskip("pandas")
    sets, y = cohort()
    names = [f"p{i:02d}" for i in range(16)]
    frame = pandas.DataFrame(np.concatenate(sets), columns=["a", "b"])
    frame["who"] = np.repeat(names, [len(x) for x in sets])
    frame = frame.sample(frac=1, random_state=0)
    own = embedder(by="who", columns=["a", "b"]).fit(frame)
    names = frame["who"].drop_duplicates().tolist()  # the order in which they first occur
    assert own.names(frame).tolist() == names
    z = own.transform(frame)
    assert z.shape == (16, 3)
    with_names = own.set_output(transform="pandas").transform(frame)
    assert with_names.index.tolist() == names
    np.testing.assert_array_equal(with_names.to_numpy(), z)
    head = SetRegressor(embedder(by="who", columns=["a", "b"]), penalties=(0.1,)).fit(frame, y)
    assert head.predict(frame).shape == (16,)
    with pytest.raises(ValueError, match="by='patient'"):
        embedder().fit(frame)


def test_clone_and_parameters(fitted):
    copy = clone(fitted)
    assert not hasattr(copy, "model_")
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.transform(cohort()[0])
    with pytest.raises(NotFittedError):
        SetClassifier().predict([[0.0]])


def test_pipelines_and_cross_validation():
    sets, y = cohort()
    pipeline = make_pipeline(embedder(), Ridge())
    assert cross_val_score(pipeline, sets, y, cv=2).shape == (2,)
    search = GridSearchCV(pipeline, {"distributionembedder__latent": [2, 3]}, cv=2)
    assert search.fit(sets, y).best_params_["distributionembedder__latent"] in (2, 3)
    assert cross_val_score(SetRegressor(embedder(), folds=2), sets, y, cv=2).shape == (2,)


@pytest.mark.parametrize("form", [pytest.param("list", marks=pytest.mark.slow), "sets"])
def test_the_encoder_is_fitted_inside_the_fold(form):
    sets, y = cohort()
    data = sets if form == "list" else de.read(sets)
    head = SetRegressor(embedder(), "none", (0.1,))
    result = cross_validated(data, y, estimator=head, folds=2, repeats=1)
    for k in range(2):
        train = np.flatnonzero(result.fold != k)
        test = np.flatnonzero(result.fold == k)
        own = clone(head).fit([sets[i] for i in train], y[train])
        expected = own.predict([sets[i] for i in test])
        np.testing.assert_allclose(result.prediction[test], expected, atol=1e-4)


def test_an_embedder_of_a_head_gives_covariances():
    sets, y = cohort()
    head = SetRegressor(embedder(), "calibrated", (0.1,)).fit(sets, y)
    table = head.embedder_.embed(sets)
    direct = SetRegressor(None, "calibrated", (0.1,)).fit(table, y)
    np.testing.assert_allclose(head.predict(sets), direct.predict(table), atol=1e-5)
    plain = SetRegressor(None, "calibrated", (0.1,)).fit(table.z, y)
    assert np.abs(plain.predict(table.z) - direct.predict(table)).max() > 1e-3


def test_the_encoder_of_an_interval_does_not_see_the_sets_held_out_for_it():
    sets, y = cohort()
    head = SetRegressor(embedder(), "none", (0.1,), calibration=0.25).fit(sets, y)
    held_out = head.calibration_groups_
    assert len(held_out) == 4
    marks = head.embedder_.embed(sets).trained
    assert not marks[held_out].any()
    assert marks.any()


def test_what_is_no_sets(fitted):
    with pytest.raises(TypeError, match="embedder=DistributionEmbedder"):
        SetRegressor().fit(*cohort())
    with pytest.raises(ValueError, match="X has 2 features, but SetRegressor is expecting 3"):
        SetRegressor().fit(np.eye(3)[[0, 1, 2] * 4], np.arange(12.0)).predict(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="Embedding 0 has NaN"):
        SetRegressor().fit([[np.nan], [1.0]], [0.0, 1.0])
    with pytest.raises(TypeError, match=r"Read a file with de\.read first"):
        cross_validated(3, [1.0])


def test_means_of_atoms():
    rng = np.random.default_rng(0)
    sets = de.read([rng.normal(size=(m, 3)) for m in (4, 9)])
    table = mean_table(sets)
    for number, m in enumerate((4, 9)):
        x = sets.batch([number]).x.numpy()
        np.testing.assert_allclose(table.z[number], x.mean(0), atol=1e-6)
        np.testing.assert_allclose(table.cov[number], np.cov(x.T) / m, atol=1e-6)
    assert mean_table(sets, widest=2).cov is None
    tokens = de.read([["AC", "G"], ["T", "G"]], atoms={"name": "tokens", "alphabet": "ACGT"})
    with pytest.raises(ValueError, match="tokens, which have no mean"):
        mean_table(tokens)
