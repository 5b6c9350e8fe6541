"""Regression, descriptors and intervals that applications share."""

import numpy as np
import pytest

from distembed.apps.descriptors import gene_descriptors
from distembed.apps.intervals import mean_score, r2_score
from distembed.apps.regression import regress


def test_a_linear_law_is_recovered_in_any_unit():
    rng = np.random.default_rng(0)
    x, slopes = rng.normal(size=(60, 3)), rng.normal(size=(3, 2))
    new = rng.normal(size=(5, 3))
    for unit in (1.0, 1e-3, 1e4):
        forecast = regress(unit * x, x @ slopes + 4, unit * new)
        np.testing.assert_allclose(forecast, new @ slopes + 4, atol=1e-3)


def test_noise_is_forecast_by_its_mean():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(400, 20)), rng.normal(5, 1, (400, 1))
    # the mean of 400 has an error of 0.05; leave-one-out shrinks 20 slopes of noise
    assert np.abs(regress(x, y, rng.normal(size=(50, 20))) - 5).mean() < 0.25


def test_descriptors_are_components_of_training_genes_and_their_products():
    rng = np.random.default_rng(0)
    vectors = {f"G{i}": rng.normal(size=5) for i in range(4)}
    names = np.array(["G0", "G1", "G2", "G3", "none"])
    train = np.array([True, True, True, False, True])
    x = gene_descriptors(vectors, names, train)
    # three genes span two axes, whose products are three
    assert x.shape == (5, 5)
    np.testing.assert_allclose(
        x[:, 2:], np.stack([x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2], 1)
    )
    np.testing.assert_allclose(x[-1], 0, atol=1e-12)
    np.testing.assert_allclose(x[:3, :2].std(0), 1)
    changed = gene_descriptors({**vectors, "G3": vectors["G3"] + 1}, names, train)
    np.testing.assert_allclose(changed[:3], x[:3])
    assert not np.allclose(changed[3], x[3])


def test_intervals_contain_the_value_and_shrink_with_units():
    rng = np.random.default_rng(0)
    few, many = (mean_score("retrieval", "gde", rng.normal(size=n)) for n in (40, 4000))
    for score in (few, many):
        assert score.low < score.value < score.high
    assert (few.high - few.low) > 5 * (many.high - many.low)
    # the normal interval of a mean of unit variance is 2 * 1.96 / sqrt(n) wide
    assert many.high - many.low == pytest.approx(2 * 1.96 / np.sqrt(4000), rel=0.15)


def test_r2_is_one_zero_and_negative_as_defined():
    y = np.random.default_rng(0).normal(size=(30, 2))
    centre = np.array([0.5, -0.5])
    assert r2_score("gde", y, y, centre).value == 1
    assert r2_score("gde", y, np.tile(centre, (30, 1)), centre).value == pytest.approx(0)
    worse = r2_score("gde", y, y + 10, centre)
    assert worse.value < -10
    assert worse.low <= worse.value <= worse.high
