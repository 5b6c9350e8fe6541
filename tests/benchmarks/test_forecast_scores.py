"""The simulated law is the one that is stated, and the score of forecasts is proper."""

import numpy as np
import pytest
from scipy.stats import norm

from distembed.benchmarks.branching import Branching
from distembed.benchmarks.forecast import energy_score


def test_cells_are_of_the_law_that_is_stated():
    units, n, t = Branching(np.array([0.3]), np.array([0.8])), 40_000, 1.2
    x = units.atoms(0, t, n, np.random.default_rng(0))
    undecided = np.exp(-0.8 * t)
    mean = (1 - undecided) * 0.8 * t
    height = undecided * (0.3 - 0.5) + (1 - undecided) * (2 * 0.3 - 1) * 0.8 * t
    assert np.allclose(x.mean(0), [mean, height], atol=5 * x.std(0) / np.sqrt(n))
    # the upper fate is above the line halfway to the undecided, but for the tail of both normals
    far = 0.8 * t
    share = undecided * norm.sf((far / 2 + 0.2) / 0.3) + (1 - undecided) * (
        0.3 * norm.cdf(far / 2 / 0.3) + 0.7 * norm.sf(1.5 * far / 0.3)
    )
    above = (x[:, 1] > far / 2).mean()
    assert above == pytest.approx(share, abs=5 * np.sqrt(share / n))


def test_sets_have_their_unit_and_time():
    sets = Branching.drawn(3, 0).sets(10, 1)
    assert sets.meta["unit"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert sets.meta["time"].tolist() == [0.5, 1.0, 1.5] * 3
    assert sets.sizes.tolist() == [10] * 9


def test_the_energy_score_is_smallest_for_the_true_law():
    rng = np.random.default_rng(0)
    real, true = rng.normal(size=(2000, 2)), rng.normal(size=(500, 2))
    others = (true + [0.7, 0], 2 * true, 0.4 * true, np.zeros((2, 2)))
    assert all(energy_score(true, real) < energy_score(x, real) for x in others)
    # E|X - y| - E|X - X'| / 2 of three points, by hand
    assert energy_score(np.array([[0.0], [4.0]]), np.array([[1.0], [1.0]])) == 0.0
    assert energy_score(np.array([[0.0], [4.0], [8.0]]), np.array([[0.0]])) == pytest.approx(
        4 - (4 + 8 + 4) / 3 / 2
    )
