"""Rings: modes with masses of their own, and what a regression on z explains."""

import math

import numpy as np
import pytest
import torch

from distembed.benchmarks.generators import mode_scores
from distembed.benchmarks.rings import explained, parameters
from distembed.data.synthetic.families import MODES, rings


def test_masses_spread_and_the_default_has_none():
    equal, uneven = rings(50, seed=1), rings(50, seed=1, spread=0.5)
    assert torch.equal(equal.mean, uneven.mean)
    assert equal.weights.unique().tolist() == pytest.approx([1 / MODES])
    ratio = uneven.weights.amax(1) / uneven.weights.amin(1)
    assert 1.5 < float(ratio.mean()) <= float(ratio.max()) < 3


def test_a_mode_is_right_by_its_own_mass():
    truth = rings(20, 4_000, seed=2, spread=0.5)
    own = {s.metric: s.value for s in mode_scores("gde", truth.batch(range(20)), truth)}
    assert own["bad_modes"] == 0
    # 1 - exp(-9 / 2) of a mode is within three deviations
    assert own["off_modes"] == pytest.approx(math.exp(-9 / 2), abs=0.002)
    other = rings(20, 4_000, seed=3, spread=0.5).batch(range(20))
    shifted = {s.metric: s.value for s in mode_scores("gde", other, truth)}
    assert shifted["bad_modes"] > 4


def test_parameters_are_those_of_the_modes():
    sets = rings(30, seed=4)
    values = parameters(sets)
    angle = torch.atan2(sets.mean[:, 3, 1], sets.mean[:, 3, 0]).numpy()
    # any mode has the same angle modulo an eighth of a turn
    assert values[:, 1] == pytest.approx(np.cos(8 * angle), abs=1e-6)
    assert values[:, 2] == pytest.approx(np.sin(8 * angle), abs=1e-6)
    assert values[:, 0] == pytest.approx(sets.mean[:, 5].norm(dim=1).numpy())


def test_a_linear_function_of_z_is_explained_and_noise_is_not():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 5))
    y = np.stack([2 * z[:, 0] - z[:, 3] + 1, rng.normal(size=400)], 1)
    shares = explained(z.astype(np.float32), y)
    assert shares[0] > 0.999
    assert abs(shares[1]) < 0.15
