"""The training on W2 matches distances to exact W2, and keeps the start where it gains nothing."""

import numpy as np
import pytest
import torch
from torch import nn

from distembed.batch import SetBatch
from distembed.rng import stream
from distembed.sets.collection import Sets
from distembed.training.metric import (
    MetricGain,
    MetricScore,
    MetricSettings,
    MetricTraining,
)
from distembed.training.w2_pairs import HalvedSets, TooFewPairsError

STRETCHED = torch.tensor([2.0, 1.0, 0.2])
TRAINING, HELD_OUT = np.arange(40), np.arange(40, 60)


class Mean(nn.Module):
    """The mean times a factor, and a linear correction."""

    def __init__(self, factor, d=3):
        super().__init__()
        self.factor, self.latent = factor, d
        self.correction = nn.Linear(d, d)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)
        self.unit = torch.tensor(1.0)

    def parts(self, batch):
        mean = batch.mean(batch.x)
        return self.factor * mean, self.correction(mean)


def points(copies=20, sets=60):
    """Sets of copies of one atom: W2 is the distance of the atoms, on any halves."""
    x = torch.randn(sets, 1, 3, generator=stream("points"))
    return Sets.from_batch(SetBatch.from_dense(x.expand(sets, copies, 3).contiguous()))


SETTINGS = MetricSettings()


def training(encoder, sets, seed=0, settings=SETTINGS):
    return MetricTraining(encoder, HalvedSets(lambda batch: batch, sets), seed, settings)


def test_nothing_is_lost_where_the_start_is_exact():
    encoder = Mean(1.0)
    gain = training(encoder, points()).fit(TRAINING, HELD_OUT, 60, 1e-2)
    assert gain.before.loss == pytest.approx(0, abs=1e-9)
    assert gain.before.rank_correlation == pytest.approx(1)
    assert gain.after == gain.before
    assert not any(p.any() for p in encoder.parameters())
    assert "no gain" in str(gain)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_unit_alone_is_no_gain(factor):
    gain = training(Mean(factor), points()).fit(TRAINING, HELD_OUT, 5, 1e-2)
    assert gain.before.loss == pytest.approx(0, abs=1e-9)
    assert not gain


@pytest.mark.slow
def test_a_wrong_shape_is_corrected():
    encoder = Mean(STRETCHED)
    free = MetricSettings(penalty=0.0)
    gain = training(encoder, points(), settings=free).fit(TRAINING, HELD_OUT, 300, 3e-2)
    assert gain
    assert gain.after.loss < 0.05 * gain.before.loss
    assert gain.after.rank_correlation > max(0.99, gain.before.rank_correlation)
    np.testing.assert_allclose(gram(encoder), torch.eye(3), atol=0.05)
    held_back = Mean(STRETCHED)
    training(held_back, points()).fit(TRAINING, HELD_OUT, 300, 3e-2)
    assert gram(held_back)[2, 2] < 0.9, "the penalty does nothing"


def gram(encoder):
    """Squared distances are those of means under this matrix, whatever the rotation."""
    a = torch.eye(3) * encoder.factor + encoder.correction.weight.detach()
    return a.T @ a


def test_a_run_is_a_function_of_its_seed():
    def trained(seed):
        encoder = Mean(STRETCHED)
        training(encoder, points(), seed).fit(TRAINING, HELD_OUT, 20, 1e-2)
        return encoder.correction.weight

    assert (trained(0) == trained(0)).all()
    assert (trained(0) != trained(1)).any()


def test_noise_of_an_embedding_is_not_a_distance():
    """Sets of one distribution: squared distances of means are noise, their products are not."""
    x = torch.randn(400, 64, 3, generator=stream("noise"))
    sets = Sets.from_batch(SetBatch.from_dense(x))
    run = training(Mean(1.0), sets)
    pairs = run.sets.measure(np.arange(400), 200, stream("pairs"))
    zero = type(pairs)(pairs.rows, np.zeros(200))
    error, _ = run._loss(zero, np.arange(200), 1.0, stream("halves"))
    # q has variance 3 (2 / 32)^2 where noise is independent; its mean square is that, over 0.2.
    # The squared distance of the same means would have 5 times as much, with a mean of 6 / 32.
    expected = 3 * (2 / 32) ** 2 / 0.2
    assert 0.6 * expected < float(error.detach()) < 1.6 * expected


def test_too_few_sets_or_no_distance_are_named():
    with pytest.raises(TooFewPairsError, match="takes 8 or more"):
        training(Mean(1.0), points()).fit(TRAINING[:4], HELD_OUT, 5, 1e-2)
    with pytest.raises(TooFewPairsError, match="0 of 40 training sets have 16 atoms or more"):
        training(Mean(1.0), points(copies=4)).fit(TRAINING, HELD_OUT, 5, 1e-2)
    with pytest.raises(TooFewPairsError, match="4 of 4 validation sets have 16 atoms or more"):
        training(Mean(1.0), points()).fit(TRAINING, HELD_OUT[:4], 5, 1e-2)
    with pytest.raises(TooFewPairsError, match="no validation sets; .* 8 or more of 16 atoms"):
        training(Mean(1.0), points()).fit(TRAINING, HELD_OUT[:0], 5, 1e-2)
    same = Sets.from_batch(SetBatch.from_dense(torch.ones(60, 20, 3)))
    with pytest.raises(TooFewPairsError, match="no further apart"):
        training(Mean(1.0), same).fit(TRAINING, HELD_OUT, 5, 1e-2)


@pytest.mark.parametrize(("width", "pairs"), [(3, 16), (256, 8), (5_000, 4)])
def test_wide_atoms_make_smaller_steps(width, pairs):
    sets = Sets.from_batch(SetBatch.from_dense(torch.zeros(3, 2, width)))
    assert training(Mean(1.0), sets)._step_pairs(np.arange(3)) == pairs


def test_an_infinite_distance_is_an_error():
    with pytest.raises(ValueError, match="not finite"):
        training(Mean(float("inf")), points()).fit(TRAINING, HELD_OUT, 5, 1e-2)


def test_a_gain_is_stated_in_one_line():
    gain = MetricGain(MetricScore(1.0, 0.9), MetricScore(0.75, 0.95), 300)
    assert str(gain) == (
        "300 steps on measured W2: the error of distances of held-out sets fell by 25%, and their "
        "rank correlation went from 0.900 to 0.950"
    )
