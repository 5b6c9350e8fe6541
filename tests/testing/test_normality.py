"""The sampling distribution of embeddings against exact limits, and negative controls."""

import math

import pytest
import torch

from distembed.batch import SetBatch
from distembed.rng import stream
from distembed.testing import LawError, check_encoder
from distembed.testing.controls import CONTROLS
from distembed.testing.normality import agreement, bias, spread, uniform_atoms


class Functional:
    """An encoder from a function of the batch."""

    latent = 1

    def __init__(self, function):
        self.function = function

    def __call__(self, batch):
        return self.function(batch)


def mean(batch):
    return batch.mean(batch.x)


def variance(batch):
    return batch.mean((batch.x - batch.expand(batch.mean(batch.x))).square())


SIZES = (30, 100, 300)


def test_spread_of_a_mean():
    draw = uniform_atoms((2,))
    result = spread(Functional(mean), draw, SIZES, 1000)
    for m, deviation in zip(SIZES, result.deviation, strict=True):
        # two coordinates of variance 1 / 12; a log deviation over S sets errs by 1 / sqrt(4 S)
        assert abs(math.log(deviation / math.sqrt(2 / 12 / m))) < 4 / math.sqrt(4000)
    assert abs(result.slope.value + 0.5) < 4 * result.slope.error
    assert 0.005 < result.slope.error < 0.02
    assert max(result.kolmogorov) < 0.06
    assert result.p_value > 0.05


def test_a_skewed_functional_becomes_normal():
    def draw(m, rng):
        return torch.randn(m, 1, generator=rng, dtype=torch.float64).exp()

    result = spread(Functional(mean), draw, (3, 1000), 1000)
    assert result.kolmogorov[0] > 0.12 > 0.06 > result.kolmogorov[1]
    # at three atoms it is not normal, which the test detects
    assert spread(Functional(mean), draw, (2, 3), 1000).p_value < 1e-6


def test_the_maximum_has_an_extreme_value_limit():
    encoder = Functional(lambda b: b.dense(b.x)[0].amax(1))
    result = spread(encoder, uniform_atoms((1,)), SIZES, 1000)
    assert abs(result.slope.value + 1) < 0.03 + 4 * result.slope.error
    for m, deviation in zip(SIZES, result.deviation, strict=True):
        exact = math.sqrt(m / ((m + 1) ** 2 * (m + 2)))  # of a Beta(m, 1)
        assert abs(math.log(deviation / exact)) < 4 * 2 / math.sqrt(4000)  # kurtosis 9
    # an exponential is 0.16 from the normal of its mean and deviation, at any m
    assert all(abs(k - 0.16) < 0.03 for k in result.kolmogorov)
    assert result.p_value < 1e-6


def test_bias_of_a_variance():
    reference = SetBatch.from_dense(uniform_atoms((1,))(200, stream("reference")).unsqueeze(0))
    result = bias(Functional(variance), reference, (10, 30, 100, 300), 2000)
    true = float(variance(reference))
    for m, size, error in zip(result.sizes, result.bias, result.error, strict=True):
        assert abs(size - true / m) < 4 * error  # E var_m = var (1 - 1 / m)
    assert abs(result.slope.value + 1) < 4 * result.slope.error < 0.2


def test_a_linear_functional_has_no_bias():
    reference = SetBatch.from_dense(uniform_atoms((1,))(200, stream("reference")).unsqueeze(0))
    assert bias(Functional(mean), reference, SIZES, 100).slope is None


def test_predicted_and_empirical_variance_agree():
    result = agreement(Functional(variance), uniform_atoms((3,)), 200, 2000, predictions=50)
    # kurtosis makes each of 50 predictions err by about 6 %, and 2000 sets by 3.2 %
    assert abs(result.trace - 1) < 0.06
    assert len(result.diagonal) == 3
    assert all(abs(r - 1) < 0.13 for r in result.diagonal)


def test_seeds_repeat_and_differ():
    encoder, draw = Functional(mean), uniform_atoms((1,))
    assert spread(encoder, draw, (5, 9), 20) == spread(encoder, draw, (5, 9), 20)
    assert spread(encoder, draw, (5, 9), 20) != spread(encoder, draw, (5, 9), 20, seed=1)


@pytest.mark.parametrize(
    ("name", "laws"),
    [
        ("sum", {"replicate", "split", "zero"}),
        ("count", {"replicate", "split", "zero"}),
        ("batchnorm", {"replicate", "split", "zero", "independence"}),
        ("padded_mean", {"replicate", "split", "zero", "independence"}),
    ],
)
def test_controls_break_their_laws(name, laws):
    with pytest.raises(LawError) as error:
        check_encoder(CONTROLS[name]((3,), 8), (3,))
    assert set(error.value.report.broken) == laws


def test_a_sum_grows_with_its_set():
    result = spread(CONTROLS["sum"]((3,), 8), uniform_atoms((3,)), SIZES, 300)
    assert result.slope.value > 0.4


def test_a_maximum_obeys_the_laws_and_is_refused_for_its_limit():
    assert check_encoder(CONTROLS["max"]((3,), 4), (3,)).broken == ()
