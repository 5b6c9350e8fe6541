"""The straight path."""

import numpy as np
import pytest

from distembed.geometry.path import straight_path


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
