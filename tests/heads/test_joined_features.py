"""Joined features: blocks alone at the ends, exact features, and inputs wider than sets."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.linear_model import Ridge

from distembed.heads import SetClassifier, SetRegressor, cross_validated, join_features
from distembed.heads.corrections import CORRECTIONS, Correction
from distembed.heads.joined import block_scales
from distembed.heads.linear import fit_head
from distembed.heads.rows import as_rows
from distembed.model.embeddings import Embeddings


def table(z, cov=None):
    z = np.asarray(z, np.float32)
    sizes = np.full(len(z), 9)
    return Embeddings(z, np.arange(len(z)).astype(str), sizes, sizes.astype(float), cov=cov)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    z, f = rng.normal(size=(30, 3)) * [1, 2, 5], rng.normal(size=(30, 4)) * [1, 10, 0.1, 1]
    noise = rng.normal(size=(30, 3, 3))
    return z, f, (noise @ noise.transpose(0, 2, 1) / 20).astype(np.float32), rng


@pytest.mark.parametrize("name", CORRECTIONS)
@pytest.mark.parametrize("scale", ["common", "column"])
def test_at_the_ends_the_head_is_that_of_one_block(data, name, scale):
    z, f, cov, rng = data
    y = z[:, 0] + f[:, 0] + rng.normal(size=30)
    joined = as_rows(join_features(table(z, cov), f))
    alone = fit_head(*_fit(as_rows(table(z, cov)), y, name, scale, 1.0), 0.1, "number")
    both = fit_head(*_fit(joined, y, name, scale, 1.0), 0.1, "number")
    np.testing.assert_allclose(both.predict(joined), alone.predict(as_rows(table(z, cov))))
    if name != "weights":  # they come from the errors of z
        alone = fit_head(*_fit(as_rows(f), y, "none", scale, 1.0), 0.1, "number")
        both = fit_head(*_fit(joined, y, name, scale, 0.0), 0.1, "number")
        np.testing.assert_allclose(both.predict(joined), alone.predict(as_rows(f)), rtol=1e-6)


def _fit(rows, y, name, scale, share):
    return rows, y, Correction.fit(rows, name, scale, share)


def test_the_variance_of_inputs_is_divided_by_the_share():
    scales = np.square(block_scales(3, 12, 0.25))
    assert scales[:3].sum() / scales.sum() == pytest.approx(0.25)
    assert scales.sum() == pytest.approx(3**0.25 * 12**0.75)


def test_more_inputs_than_sets_are_the_same_ridge():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(12, 40)), rng.normal(size=12)
    new = rng.normal(size=(5, 40))
    head = SetRegressor(penalties=(0.3,), correction="none", scale="column").fit(x, y)
    inputs, scale = (x - x.mean(0)) / x.std(0), x.std(0)
    direct = Ridge(alpha=12 * 0.3).fit(inputs, y)
    np.testing.assert_allclose(head.predict(new), direct.predict((new - x.mean(0)) / scale))
    np.testing.assert_allclose(head.head_.slopes, direct.coef_ / scale)


def test_one_unit_for_all_coordinates_is_the_ridge_of_isotropic_z():
    rng = np.random.default_rng(2)
    z, y = rng.normal(size=(25, 3)) * [5, 1, 0.1], rng.normal(size=25)
    head = SetRegressor(penalties=(0.2,), correction="none", scale="common").fit(z, y)
    unit = np.square(z.std(0)).mean()
    direct = Ridge(alpha=25 * 0.2 * unit).fit(z, y)
    np.testing.assert_allclose(head.predict(z), direct.predict(z))
    # and a turn of z changes nothing
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = SetRegressor(penalties=(0.2,), correction="none", scale="common").fit(z @ turn, y)
    np.testing.assert_allclose(turned.predict(z @ turn), head.predict(z))


def test_an_informative_feature_is_used_and_noise_is_not(data):
    z, _, cov, rng = data
    label = rng.normal(size=30)
    features = np.stack([label, rng.normal(size=30)], 1)
    own = cross_validated(table(z), label, folds=3, repeats=1)
    joined = cross_validated(join_features(table(z), features), label, folds=3, repeats=1)
    assert joined["r2"].value > 0.9 > own["r2"].value
    head = SetRegressor().fit(join_features(table(z, cov), features), label)
    assert head.choice_.share < 1
    noise = join_features(table(np.c_[label, z[:, 1:] / 9]), rng.normal(size=(30, 50)))
    assert SetRegressor().fit(noise, label).choice_.share == 1


def test_classes_and_selection(data):
    z, f, cov, _ = data
    joined = join_features(table(z, cov), f)
    part = joined.select(np.arange(30) < 20)
    assert part.features.shape == (20, 4)
    y = np.where(z[:, 2] > 0, "a", "b")
    head = SetClassifier().fit(part, y[:20])
    assert (head.predict(joined) == y).mean() > 0.8


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((4, 2)), "the table has 30 sets"),
        (np.full((30, 1), np.nan), "set '0' are NaN"),
        ([["x"]] * 30, "not numbers"),
        (np.zeros((30, 0)), r"shape \(30, 0\)"),
    ],
)
def test_bad_features_are_refused(data, features, message):
    with pytest.raises(ValueError, match=message):
        join_features(table(data[0]), features)


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="scale is 'rows'"):
        SetRegressor(scale="rows").fit(np.zeros((4, 1)), np.arange(4.0))


def test_features_join_those_that_are_there(data):
    z, f, cov, _ = data
    once = join_features(table(z, cov), f)
    twice = join_features(join_features(table(z, cov), f[:, :1]), f[:, 1:])
    np.testing.assert_array_equal(twice.features, once.features)
