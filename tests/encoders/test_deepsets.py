"""Deep sets beside the laws."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.encoders.deepsets import DeepSets
from distembed.rng import stream


def atoms(b=6, m=50, d=3, key="deepsets"):
    x = torch.randn(b, m, d, generator=stream(key), dtype=torch.float64)
    return SetBatch.from_dense(x)


@pytest.mark.parametrize("feedback", [None, "mean"])
def test_without_feedback_features_of_an_atom_ignore_its_set(feedback):
    batch = atoms()
    encoder = DeepSets((3,), 8, pooling="mean", feedback=feedback).double()
    encoder.head = torch.nn.Identity()
    # the pooled features of a mixture of two sets are the mean of theirs where atoms are features
    # by themselves
    pair, mixed = batch.select([0, 1]), SetBatch.from_list([batch.select([0, 1]).x])
    gap = (encoder(pair).mean(0) - encoder(mixed)[0]).norm() / encoder(mixed).norm()
    assert (gap > 1e-4) == (feedback is not None)


def test_nothing_bounds_z():
    encoder = DeepSets((3,), 8)
    near = encoder(SetBatch.from_list([torch.ones(4, 3)])).norm()
    far = encoder(SetBatch.from_list([1e4 * torch.ones(4, 3)])).norm()
    assert far > 1e3 * near
