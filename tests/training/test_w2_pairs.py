"""Measured W2 of pairs: exact for point masses, unbiased for samples of one distribution."""

import numpy as np
import torch

from distembed.batch import SetBatch
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.training.w2_pairs import HalvedSets

TRAINING = np.arange(40)


def halved(sets):
    return HalvedSets(lambda batch: batch, sets)


def test_w2_of_point_masses_is_the_distance_of_their_atoms():
    x = torch.randn(60, 1, 3, generator=stream("points"))
    sets = Sets.from_batch(SetBatch.from_dense(x.expand(60, 20, 3).contiguous()))
    pairs = halved(sets).measure(TRAINING, 100, stream("pairs"))
    assert pairs.rows.shape == (100, 2)
    assert set(pairs.rows.flatten()) <= set(TRAINING)
    assert (pairs.rows[:, 0] != pairs.rows[:, 1]).all()
    atoms = x[:, 0]
    expected = (atoms[pairs.rows[:, 0]] - atoms[pairs.rows[:, 1]]).square().sum(1)
    np.testing.assert_allclose(pairs.w2_squared, expected.numpy(), rtol=1e-5)


def test_samples_of_one_distribution_are_at_distance_zero_on_average():
    x = torch.randn(200, 32, 2, generator=stream("one distribution"))
    sets = Sets.from_batch(SetBatch.from_dense(x))
    y = halved(sets).measure(np.arange(200), 100, stream("pairs")).w2_squared
    # the 100 pairs are of 200 different sets but for chance; four standard errors
    assert abs(y.mean()) < 4 * y.std() / 10
    assert y.std() > 0
