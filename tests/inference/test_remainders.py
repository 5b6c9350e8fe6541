"""Intervals for distances with remainders: exact without noise, and of their level with it."""

import numpy as np
import pytest

from distembed.geometry.distance import Calibration
from distembed.geometry.remainder import add_remainders
from distembed.inference.calibrated import w2_interval
from distembed.inference.intervals import limit_interval
from distembed.inference.remainders import with_remainders

L = 6


def pairs_of(count, apart, length, seed=0):
    """The means of pairs of embeddings, at a distance, with positive remainders."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(count, L))
    step = rng.normal(size=(count, L))
    second = first + apart * step / np.linalg.norm(step, axis=1, keepdims=True)
    first[:, -1] += length
    second[:, -1] += length
    return first, second


def distance(first, second):
    squared = ((first - second) ** 2).sum(1)
    return np.sqrt(add_remainders(squared, first[:, -1], second[:, -1]))


def test_embeddings_without_noise_have_intervals_of_no_width():
    first, second = pairs_of(20, 5.0, 8.0)
    exact = np.zeros((20, L, L))
    limit = limit_interval(first, second, exact, exact)
    interval, estimate = with_remainders(limit, first, second, exact, exact)
    for end in (interval.low, interval.high, estimate):
        np.testing.assert_allclose(end, distance(first, second), rtol=1e-6)


@pytest.mark.parametrize(("apart", "length"), [(0.0, 20.0), (4.0, 3.0), (4.0, 20.0), (10.0, 5.0)])
def test_intervals_cover_the_distance_of_the_limits(apart, length):
    count = 400
    first, second = pairs_of(count, apart, length)
    rng = np.random.default_rng(1)
    root = rng.normal(size=(count, 2, L, L)) * 0.3
    cov = root @ root.swapaxes(2, 3)
    noise = np.einsum("pskl,psl->psk", root, rng.normal(size=(count, 2, L)))
    z1, z2 = first + noise[:, 0], second + noise[:, 1]
    limit = limit_interval(z1, z2, cov[:, 0], cov[:, 1])
    interval, _ = with_remainders(limit, z1, z2, cov[:, 0], cov[:, 1])
    truth = distance(first, second)
    inside = (interval.low <= truth * (1 + 1e-9)) & (truth <= interval.high)
    # three standard errors of 400 pairs below the level
    assert inside.mean() > 0.95 - 3 * (0.95 * 0.05 / count) ** 0.5


def test_the_error_of_the_remainders_is_not_left_out():
    """Far apart and with one noisy length, the interval is the one of that length."""
    first, second = np.array([[0.0, 10.0]]), np.array([[1000.0, 10.0]])
    cov = np.zeros((1, 2, 2))
    noisy = cov.copy()
    noisy[0, 1, 1] = 4.0
    limit = limit_interval(first, second, cov, cov)
    interval, estimate = with_remainders(limit, first, second, noisy, cov)
    half = 1.959964 * 2 * 10 * 2  # the derivative of 2 u v by u is 2 v
    np.testing.assert_allclose(interval.high**2 - estimate**2, half, rtol=1e-2)
    np.testing.assert_allclose(estimate**2 - interval.low**2, half, rtol=1e-2)


def test_w2_intervals_are_around_the_calibrated_distance():
    first, second = pairs_of(30, 5.0, 8.0)
    exact = np.zeros((30, L, L))
    d = np.linspace(1, 20, 100)
    calibration = Calibration.from_pairs(d, 9 * d**2)
    interval = w2_interval(first, second, exact, exact, calibration, remainder=True)
    np.testing.assert_allclose(interval.low, 3 * distance(first, second), rtol=1e-5)
    np.testing.assert_allclose(interval.high, 3 * distance(first, second), rtol=1e-5)
    plain = w2_interval(first, second, exact, exact, calibration)
    assert (plain.high < interval.low).all()
