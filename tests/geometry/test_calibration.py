"""From latent distances to W2: power laws are recovered, and nonsense is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.geometry.distance import Calibration, latent_distances


def distances(pairs=200, seed=0):
    return np.random.default_rng(seed).uniform(0.2, 5, pairs)


@given(st.floats(1e-3, 1e3), st.floats(0.3, 3), st.floats(1e-3, 1e3))
@settings(max_examples=40, deadline=None)
def test_a_power_law_is_recovered(scale, power, unit):
    d = unit * distances()
    w2 = scale * d**power
    calibration = Calibration.from_pairs(d, w2**2)
    # exact data: what is left is where the solver stops, at relative changes of 1e-8
    np.testing.assert_allclose(calibration(d), w2, rtol=1e-4)
    assert calibration.power == pytest.approx(power, abs=1e-4)
    assert calibration.error < 1e-4
    assert calibration.pairs == len(d)
    assert calibration.ground == "model"


def test_the_error_is_measured_on_pairs_that_were_not_used():
    d = distances(pairs=1000)
    w2 = 3 * d
    validation = np.arange(len(d)) % 5 == 4
    w2[validation] *= 1.25  # these pairs are not fitted
    calibration = Calibration.from_pairs(d, w2**2)
    assert calibration.scale == pytest.approx(3, rel=1e-4)
    assert calibration.error == pytest.approx(0.25, rel=1e-3)
    np.testing.assert_allclose(calibration.low_ratios, np.full(200, 1.25), rtol=1e-3)


def test_bounds_are_kept_and_do_not_move_the_fit():
    d = distances(pairs=1000)
    calibration = Calibration.from_pairs(d, d**2, bounds=(0.81 * d**2 - 1, 1.21 * d**2))
    assert calibration.scale == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(calibration.high_ratios, np.full(200, 1.1), rtol=1e-3)
    assert min(calibration.low_ratios) == 0  # of near pairs, whose square may be nothing
    assert max(calibration.low_ratios) < 0.9


@pytest.mark.parametrize("pairs", [160, 250, 399, 2000])
def test_ratios_are_enough_for_an_interval(pairs):
    d = distances(pairs)
    calibration = Calibration.from_pairs(d, d**2)
    assert 79 <= len(calibration.low_ratios) == len(calibration.high_ratios) <= pairs / 2
    assert Calibration.from_state(*calibration.state()) == calibration


def test_noise_with_negative_values_does_not_bend_it():
    rng = np.random.default_rng(0)
    d = rng.uniform(0.05, 2, 4000)
    noisy = (2 * d) ** 2 + rng.normal(0, 0.5, len(d))
    assert (noisy < 0).mean() > 0.05
    calibration = Calibration.from_pairs(d, noisy)
    # a least-squares level: noise 0.5 against a root mean square of 4 E d^4 = 3.2^2 over 3200
    # pairs has a relative error of 0.5 / sqrt(10 * 3200) = 0.3 % in W2^2
    assert calibration.scale == pytest.approx(2, rel=5 * 0.003)
    assert calibration.power == pytest.approx(1, abs=0.03)


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


def test_it_keeps_order_and_shape():
    calibration = Calibration.from_pairs(distances(), 2 * distances() ** 0.7)
    d = np.sort(distances(20, seed=1)).reshape(4, 5)
    assert calibration(d).shape == (4, 5)
    assert (np.diff(calibration(d).ravel()) > 0).all()
    assert calibration(0.0) == 0


def test_the_identity():
    d = distances()
    assert (Calibration()(d) == d).all()
    assert Calibration().pairs == 0


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
