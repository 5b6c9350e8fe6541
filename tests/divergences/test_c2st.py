"""The nearest-neighbour test between samples."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.divergences.c2st import neighbour_accuracy
from distembed.rng import stream


def cloud(sets, m, key, shift=0.0):
    x = torch.randn(sets, m, 3, generator=stream(key), dtype=torch.float64)
    return SetBatch.from_dense(x + shift)


def test_equal_distributions_score_a_half():
    sets, m = 200, 40
    accuracy = neighbour_accuracy(cloud(sets, m, "a"), cloud(sets, m, "b"))
    # exchangeable labels: a neighbour is of the same sample for m - 1 of the 2 m - 1 others
    expected = (m - 1) / (2 * m - 1)
    assert abs(float(accuracy.mean()) - expected) < 5 * float(accuracy.std()) / sets**0.5


def test_samples_apart_score_one_and_copies_score_zero():
    a = cloud(3, 20, "a")
    assert neighbour_accuracy(a, cloud(3, 20, "b", shift=50)).tolist() == [1, 1, 1]
    # the nearest other point of a copy is its original
    assert neighbour_accuracy(a, a).tolist() == [0, 0, 0]


def test_order_does_not_matter_and_sides_are_equal():
    a, b = cloud(4, 15, "a"), cloud(4, 15, "b", shift=1)
    turned = SetBatch.from_list([b.select([i]).x.flip(0) for i in range(4)])
    assert neighbour_accuracy(a, b).equal(neighbour_accuracy(turned, a))


def test_unequal_sets_are_refused():
    with pytest.raises(ValueError, match="subsample"):
        neighbour_accuracy(cloud(2, 5, "a"), cloud(2, 6, "b"))
