"""Regression, descriptors and intervals that applications share."""

import numpy as np
import pytest

from distembed.apps.descriptors import gene_descriptors
from distembed.apps.intervals import mean_score, r2_score, unit_resamples
from distembed.apps.regression import regress
from distembed.rng import stream


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


def test_inputs_of_a_group_are_left_out_together():
    rng = np.random.default_rng(2)
    genes, contexts = 40, 3
    x, y = rng.normal(size=(genes, 20)), rng.normal(size=(genes, 1))
    x, y = np.tile(x, (contexts, 1)), np.tile(y, (contexts, 1))
    gene = np.tile([f"G{i}" for i in range(genes)], contexts)
    new = rng.normal(size=(50, 20))
    # noise that contexts share looks like a law if another context of the gene is left in
    whole, rows = regress(x, y, new, groups=gene), regress(x, y, new)
    assert whole.std() < 0.3 * rows.std()


def test_units_are_drawn_as_a_whole_and_kinds_multiply():
    first = np.array(["a", "a", "b", "c", "d", ""])
    second = np.array([0, 1, 2, 3, 0, 1])
    one, two = (unit_resamples(6, u, 500, stream(0)) for u in (first, second))
    np.testing.assert_array_equal(one[:, 0], one[:, 1])
    np.testing.assert_array_equal(one[:, 5], 1)
    np.testing.assert_array_equal(one[:, 1:5].sum(1), 4)
    np.testing.assert_array_equal(two[:, [0, 1]], two[:, [4, 5]])
    both = unit_resamples(6, [first, second], 20_000, stream(1))
    # the law of a product of two independent counts of 4 in 4: mean 1, second moment 1.75 ** 2
    np.testing.assert_allclose(both[:, :5].mean(0), 1, atol=5 * (1.75**2 - 1) ** 0.5 / 141)
    assert np.square(both[:, 2]).mean() == pytest.approx(1.75**2, rel=0.1)
    np.testing.assert_array_equal(
        unit_resamples(4, None, 9, stream(3)), unit_resamples(4, np.arange(4), 9, stream(3))
    )


def test_fewer_than_four_units_have_no_resamples():
    assert unit_resamples(9, np.arange(9) % 3, 100, stream(0)).shape == (0, 9)
    assert unit_resamples(9, [np.arange(9), np.arange(9) % 3], 100, stream(0)).shape == (0, 9)
    values = np.arange(9.0)
    score = mean_score("retrieval", "gde", values, units=np.arange(9) % 3)
    assert score.value == 4
    assert score.interval is None


def test_an_interval_over_units_is_that_of_their_means():
    unit = np.repeat(np.arange(30), 4)
    values = np.random.default_rng(0).normal(size=30)
    whole = mean_score("retrieval", "gde", values[unit], units=unit)
    alone = mean_score("retrieval", "gde", values)
    assert (whole.low, whole.high) == pytest.approx((alone.low, alone.high))
    r2 = r2_score("gde", values[unit], 0 * values[unit], np.zeros(1), units=unit)
    assert r2.interval == (0, 0)
