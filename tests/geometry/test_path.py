"""Straight paths and weighted means of embeddings."""

import numpy as np
import pytest

from distembed.geometry.path import barycenter, straight_path


def test_it_begins_and_ends_where_it_should():
    z0, z1 = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    path = straight_path(z0, z1, steps=7)
    assert path.shape == (7, 5)
    assert path.dtype == np.float32
    assert (path[0] == z0).all()
    assert (path[-1] == z1).all()


def test_its_steps_are_equal():
    z0, z1 = np.random.default_rng(1).normal(size=(2, 3))
    gaps = np.diff(straight_path(z0, z1, steps=11), axis=0)
    np.testing.assert_allclose(gaps, np.tile((z1 - z0) / 10, (10, 1)), atol=1e-6)


@pytest.mark.parametrize("steps", [1, 0, -3])
def test_too_few_steps(steps):
    with pytest.raises(ValueError, match=f"steps = {steps}; .*two ends"):
        straight_path([0.0], [1.0], steps)


@pytest.mark.parametrize(
    ("z0", "z1"), [([0.0], [0.0, 1.0]), ([[0.0]], [[1.0]]), (0.0, 1.0)], ids=str
)
def test_ends_that_are_not_two_vectors(z0, z1):
    with pytest.raises(ValueError, match="each is one embedding"):
        straight_path(z0, z1)


def test_positions_outside_of_the_ends_extrapolate():
    z0, z1 = np.random.default_rng(0).normal(size=(2, 5))
    path = straight_path(z0, z1, t=[-0.5, 0.25, 2.0])
    gap = z1 - z0
    expected = [z0 - gap / 2, z0 + gap / 4, z1 + gap]
    np.testing.assert_allclose(path, expected, rtol=1e-6)


@pytest.mark.parametrize("t", [[], 0.5, [[0.5]], [0.0, np.nan]], ids=str)
def test_what_are_no_positions(t):
    with pytest.raises(ValueError, match="a list of finite positions"):
        straight_path([0.0], [1.0], t=t)


def test_a_barycenter_minimises_the_weighted_squares():
    rng = np.random.default_rng(0)
    z, w = rng.normal(size=(5, 3)), rng.dirichlet(np.ones(5))
    mean = barycenter(z, w).astype(float)
    gradient = 2 * (w[:, None] * (mean - z)).sum(0)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    np.testing.assert_allclose(barycenter(z), z.mean(0), rtol=1e-5)
    np.testing.assert_allclose(barycenter(z[:2], [0.7, 0.3]), straight_path(*z[:2], t=[0.3])[0])


def test_a_sum_other_than_one_is_logged(caplog):
    z = np.eye(2)
    assert barycenter(z, [3.0, 1.0]).tolist() == [0.75, 0.25]
    assert "sum to 4" in caplog.text
    caplog.clear()
    barycenter(z, [0.1, 0.9])
    assert not caplog.text


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "one weight for each"),
        ([2.0, -1.0], "not negative"),
        ([0.0, 0.0], "not all zero"),
        ([np.nan, 1.0], "are finite"),
    ],
    ids=str,
)
def test_weights_of_a_barycenter(weights, message):
    with pytest.raises(ValueError, match=message):
        barycenter(np.eye(2), weights)


def test_a_barycenter_of_nothing():
    with pytest.raises(ValueError, match="one row a set"):
        barycenter(np.zeros((0, 3)))
