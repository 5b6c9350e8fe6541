"""From latent distances to W2: what the map obeys, recovers, and refuses."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.geometry.attachment import MeasuredPairs
from distembed.geometry.deviation import heterogeneity
from distembed.geometry.distance import Calibration, latent_distances
from distembed.geometry.relation import Relation

SHAPES = {
    "linear": lambda d: d,
    "root": np.sqrt,
    "square": np.square,
    "saturating latent distance": lambda d: np.arctanh(d / 5.5),
}


def distances(pairs=200, seed=0):
    return np.random.default_rng(seed).uniform(0.2, 5, pairs)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(10, 200))
@settings(max_examples=40, deadline=None)
def test_a_multiple_is_recovered_exactly(scale, unit, pairs):
    d = unit * distances(pairs)
    calibration = Calibration.from_pairs(d, (scale * d) ** 2)
    anywhere = unit * np.array([0.0, 1e-3, 0.7, 4.0, 1e3])
    np.testing.assert_allclose(calibration(anywhere), scale * anywhere, rtol=1e-9)
    assert calibration.error < 1e-9
    assert calibration.pairs == pairs
    assert calibration.ground == "model"


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_other_shapes_are_approximated(shape):
    d = distances(400)
    calibration = Calibration.from_pairs(d, shape(d) ** 2)
    # pieces of a curve: the error is largest where its slope is a small share of the mean slope
    assert calibration.error < 0.03
    assert max(calibration.deciles[:4]) < 0.35
    assert max(calibration.deciles[4:]) < 0.05


@given(st.integers(0, 10**6), st.sampled_from(sorted(SHAPES)), st.floats(1, 1e4))
@settings(max_examples=60, deadline=None)
def test_it_is_of_degree_one_at_infinity(seed, shape, factor):
    rng, d = np.random.default_rng(seed), distances(60, seed)
    calibration = Calibration.from_pairs(d, SHAPES[shape](d) ** 2 + rng.normal(0, 0.5, 60))
    largest = calibration.relation.largest
    assert largest in d
    np.testing.assert_allclose(
        calibration(factor * largest), factor * calibration(largest), rtol=1e-9
    )


@given(st.integers(0, 10**6), st.sampled_from(sorted(SHAPES)))
@settings(max_examples=60, deadline=None)
def test_it_increases_from_zero(seed, shape):
    rng, d = np.random.default_rng(seed), distances(60, seed)
    calibration = Calibration.from_pairs(d, SHAPES[shape](d) ** 2 + rng.normal(0, 0.5, 60))
    grid = np.linspace(0, 20, 500).reshape(20, 25)
    for curve in (calibration, calibration.low, calibration.high):
        assert curve(grid).shape == grid.shape
        assert curve(0.0) == 0
        assert (np.diff(curve(grid).ravel()) > 0).all()


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
@settings(max_examples=40, deadline=None)
def test_units(seed, w2_unit, latent_unit):
    rng, d = np.random.default_rng(seed), distances(100, seed)
    y = d**3 + rng.normal(0, 2, 100)
    one, other = (
        Calibration.from_pairs(u * d, v**2 * y) for u, v in ((1, 1), (latent_unit, w2_unit))
    )
    grid = np.array([0.05, 1.0, 3.0, 40.0])
    np.testing.assert_allclose(other(latent_unit * grid), w2_unit * one(grid), rtol=1e-6)
    np.testing.assert_allclose(other.ratios, one.ratios, rtol=1e-4, atol=1e-5)


def test_a_set_far_outside_keeps_its_distance():
    """A power law fitted to saturating distances turned a W2 of 99.5 into 0.23 here."""
    d = distances()
    calibration = Calibration.from_pairs(d, (0.2 + 0.01 * d) ** 2)
    power_law = 0.2 * (100 / 1.0) ** 0.05
    assert power_law < 0.3 < 4 < calibration(100.0)


def test_what_is_beyond_is_said():
    d = distances()
    calibration = Calibration.from_pairs(d, (2 * d) ** 2)
    largest = calibration.relation.largest
    latent = np.array([[0.0, largest], [1.01 * largest, 7 * largest]])
    assert calibration.beyond(latent).tolist() == [[False, False], [True, True]]
    sentence = calibration.warning(latent)
    assert sentence.startswith("2 of 4 pairs are further apart than the calibration was fitted")
    assert f"above {largest:.3g}, that of W2 = {2 * largest:.3g}" in sentence
    assert calibration.warning(latent[0]) == ""
    assert Calibration().warning(latent) == ""


def test_the_error_is_measured_on_pairs_that_were_not_used():
    d = distances(pairs=1000)
    w2 = 3 * d
    w2[1::2] *= 1.25  # these pairs are not fitted
    calibration = Calibration.from_pairs(d, w2**2)
    assert calibration(1.0) == pytest.approx(3, rel=1e-9)
    assert calibration.error == pytest.approx(0.25)
    np.testing.assert_allclose(calibration.deciles, np.full(10, 0.25))
    np.testing.assert_allclose(calibration.ratios, np.full(500, 1.25), rtol=0.05)


def test_the_error_of_each_decile():
    d = np.linspace(0.1, 5, 1000)
    w2 = np.where(np.arange(1000) % 4 == 1, 1 + 0.2 / d, 1) * d
    w2[1::2] = (d * (1 + 0.1 / d))[1::2]  # an error of 0.1, whatever the distance
    calibration = Calibration.from_pairs(d, w2**2)
    middles = np.median(d[1::2].reshape(10, 50), axis=1)
    np.testing.assert_allclose(calibration.deciles, 0.1 / middles, rtol=0.05)
    assert Calibration.from_pairs(d[:59], w2[:59] ** 2).deciles == ()


def test_a_state_is_the_calibration():
    d = distances()
    calibration = Calibration.from_pairs(d, d**2 + np.sin(9 * d))
    assert len(calibration.ratios) == 100
    assert Calibration.from_state(*calibration.state()) == calibration
    config, tensors = calibration.state()
    with pytest.raises(ValueError, match="does not increase"):
        Calibration.from_state(config | {"values": config["values"][::-1]}, tensors)


def noisy_pairs(tau=0.1, noise=1.0, pairs=1000, seed=0):
    """Pairs whose W2 is 2 d, up to a factor of deviation tau and noise of a constant variance."""
    rng = np.random.default_rng(seed)
    d = rng.uniform(0.5, 2, pairs)
    truth = (2 * d) ** 2 * (1 + tau * rng.standard_normal(pairs))
    halves = truth + noise * 2**0.5 * rng.standard_normal((2, pairs))
    mean, gap = halves.mean(0), (halves[0] - halves[1]) / 2
    exact = MeasuredPairs.exact(d, mean)
    return replace(exact, w2_gap=gap, low=mean - 0.5, high=mean + 0.5), np.sqrt(truth) / (2 * d)


def test_noise_with_negative_values_does_not_bend_it():
    pairs, _ = noisy_pairs(noise=3.0, pairs=4000)
    assert (pairs.w2_squared < 0).mean() > 0.05
    calibration = Calibration.from_measured(pairs)
    # the ratio estimator: noise 3 over a mean of 4 * 1.75 and 2000 pairs is 1 % of W2^2
    assert calibration(2.0) == pytest.approx(4, rel=0.05)
    assert calibration(1.2) == pytest.approx(2.4, rel=0.05)


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_ratios_are_free_of_the_noise_of_the_measurement(noise):
    pairs, truth = noisy_pairs(tau=0.1, noise=noise)
    calibration = Calibration.from_measured(pairs)
    spread = np.std(np.square(calibration.ratios))
    # the size of the true deviations; tau is an upper limit, and noise adds to its error
    assert 0.085 < spread < 0.14
    if noise == 1.0:
        raw = pairs.w2_squared / calibration.relation.squared(pairs.latent_squared)
        assert np.std(raw) > 3 * np.std(truth**2)


def test_heterogeneity_is_an_upper_limit_of_its_confidence():
    """The limit exceeds the true deviation for 84 % of samples, if pairs are independent."""
    rng, tau, exceeds = np.random.default_rng(3), 0.1, []
    for _ in range(400):
        variance = rng.uniform(0.0, 0.02, 60)
        deviation = rng.normal(0, np.sqrt(tau**2 + variance))
        exceeds.append(heterogeneity(deviation, variance, 60) > tau)
    # the sum of squares is skewed, so the confidence is a few percent off its normal one
    assert np.mean(exceeds) == pytest.approx(0.84, abs=0.03 + 4 * (0.84 * 0.16 / 400) ** 0.5)
    assert heterogeneity(np.zeros(5), np.ones(5), 5) == 0
    assert heterogeneity(np.full(5, 0.1), np.ones(5), 200) == 0


def test_bounds_enclose_the_estimate_and_do_not_move_it():
    pairs, _ = noisy_pairs(tau=0.05, noise=0.2)
    calibration = Calibration.from_measured(pairs)
    without = Calibration.from_measured(
        replace(pairs, low=pairs.w2_squared, high=pairs.w2_squared)
    )
    assert calibration.relation == without.relation
    assert calibration.ratios == without.ratios
    grid = np.linspace(0.1, 3, 40)
    assert (calibration.low(grid) < calibration(grid)).all()
    assert (calibration(grid) < calibration.high(grid)).all()
    # bounds half a unit of W2^2 apart, at the largest distance
    np.testing.assert_allclose(
        np.diff([c(1.9) ** 2 for c in (calibration.low, calibration, calibration.high)]),
        0.5,
        atol=0.05,
    )


@pytest.mark.parametrize("pairs", [0, 1, 9])
def test_fewer_than_ten_pairs_are_refused(pairs):
    d = distances(pairs)
    with pytest.raises(ValueError, match=f"{pairs} pairs of distinct sets are too few"):
        Calibration.from_pairs(d, d**2)
    Calibration.from_pairs(distances(10), distances(10) ** 2)


def test_sets_that_do_not_differ_are_refused():
    d = distances()
    with pytest.raises(ValueError, match="no further apart"):
        Calibration.from_pairs(d, -np.ones_like(d))


def test_the_identity():
    d = distances()
    assert (Calibration()(d) == d).all()
    assert Calibration().pairs == 0
    assert (Calibration(Relation.linear(2.0))(d) == 2 * d).all()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_latent_distances(a, b, d):
    rng = np.random.default_rng(a + 10 * b)
    first, second = rng.normal(size=(a, d)) + 1e3, rng.normal(size=(b, d)) + 1e3
    expected = np.sqrt(((first[:, None] - second[None]) ** 2).sum(-1))
    np.testing.assert_allclose(latent_distances(first, second), expected, rtol=1e-12)
    own = latent_distances(first)
    assert (own == own.T).all()
    assert not own.diagonal().any()
