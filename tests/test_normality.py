"""Influence functions in closed form, and limits that are known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from distembed.batch import SetBatch
from distembed.inference.influence import influence, predicted_covariance
from distembed.protocols import EncoderTraits
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


def total(batch):
    """A function of the weights that nothing normalises."""
    weighted = batch.w[:, None] * batch.x
    return weighted.new_zeros(len(batch), 1).index_add(0, batch.owner, weighted)


def ragged(seed, sizes=(1, 4, 30)):
    rng = stream(seed, "ragged")
    sets = [torch.randn(m, 1, generator=rng, dtype=torch.float64) for m in sizes]
    weights = [torch.rand(m, generator=rng, dtype=torch.float64) + 0.1 for m in sizes]
    return SetBatch.from_list(sets, weights)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_influence_in_closed_form(seed):
    batch = ragged(seed)
    x, mu = batch.x, batch.expand(mean(batch))
    exact = {
        mean: x - mu,
        variance: (x - mu).square() - batch.expand(variance(batch)),
        total: x - mu,  # projected: mass is kept
    }
    for function, expected in exact.items():
        psi = influence(Functional(function), batch)
        assert [len(p) for p in psi] == batch.sizes.tolist()
        torch.testing.assert_close(torch.cat(psi), expected, rtol=0, atol=1e-12)
        centre = batch.mean(torch.cat(psi))
        torch.testing.assert_close(centre, torch.zeros_like(centre), rtol=0, atol=1e-12)


def test_influence_is_the_slope_of_a_mixture_with_an_atom():
    batch = ragged(1, (6,))
    encoder = Functional(lambda b: variance(b).sqrt().exp())
    (psi,) = influence(encoder, batch)
    e = 1e-6
    for i in range(6):
        sides = []
        for sign in (1, -1):
            w = (1 - sign * e) * batch.w
            w[i] += sign * e
            sides.append(encoder(batch.replace(w=w)))
        torch.testing.assert_close((sides[0] - sides[1])[0] / (2 * e), psi[i], rtol=1e-8, atol=0)


def test_predicted_covariance_of_a_mean():
    x = torch.randn(3, 50, 2, generator=stream("cov"), dtype=torch.float64)
    found = predicted_covariance(Functional(mean), SetBatch.from_dense(x))
    expected = torch.stack([a.T.cov(correction=0) / 50 for a in x])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_weights_count_by_their_squares():
    batch = SetBatch.from_list([[[0.0], [1.0]]], [[3.0, 1.0]])
    # mean 1/4; influences -1/4 and 3/4
    expected = (0.75 * 0.25) ** 2 + (0.25 * 0.75) ** 2
    found = predicted_covariance(Functional(mean), batch)
    assert float(found) == pytest.approx(expected, abs=1e-12)


def test_the_encoder_itself_is_left_alone():
    class Linear(nn.Module):
        latent = 2

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 2)

        def forward(self, batch):
            return batch.mean(self.layer(batch.x))

    encoder = Linear()
    psi = influence(encoder, ragged(0))
    assert psi[0].dtype == torch.float64
    assert encoder.training
    assert encoder.layer.weight.dtype == torch.float32
    assert encoder.layer.weight.requires_grad
    assert encoder.layer.weight.grad is None


def test_an_encoder_without_a_derivative_is_refused():
    class Plain(Functional):
        traits = EncoderTraits(smooth=False)

    with pytest.raises(ValueError, match="Plain has no derivative by the weights"):
        influence(Plain(mean), ragged(0))
    with pytest.raises(ValueError, match="Functional has no derivative by the weights"):
        influence(Functional(lambda b: b.x[b.offsets[:-1]]), ragged(0))


SIZES = (30, 100, 300)


def test_spread_of_a_mean_is_known():
    draw = uniform_atoms((2,))
    found = spread(Functional(mean), draw, SIZES, 1000)
    for m, deviation in zip(SIZES, found.deviation, strict=True):
        # two coordinates of variance 1 / 12; a log deviation over S sets errs by 1 / sqrt(4 S)
        assert abs(math.log(deviation / math.sqrt(2 / 12 / m))) < 4 / math.sqrt(4000)
    assert abs(found.slope.value + 0.5) < 4 * found.slope.error
    assert 0.005 < found.slope.error < 0.02
    assert max(found.kolmogorov) < 0.06
    assert found.p_value > 0.05


def test_a_skewed_functional_becomes_normal():
    def draw(m, rng):
        return torch.randn(m, 1, generator=rng, dtype=torch.float64).exp()

    found = spread(Functional(mean), draw, (3, 1000), 1000)
    assert found.kolmogorov[0] > 0.12 > 0.06 > found.kolmogorov[1]
    # at three atoms it is not normal, and the test is able to say so
    assert spread(Functional(mean), draw, (2, 3), 1000).p_value < 1e-6


def test_the_maximum_has_an_extreme_value_limit():
    encoder = Functional(lambda b: b.dense(b.x)[0].amax(1))
    found = spread(encoder, uniform_atoms((1,)), SIZES, 1000)
    assert abs(found.slope.value + 1) < 0.03 + 4 * found.slope.error
    for m, deviation in zip(SIZES, found.deviation, strict=True):
        exact = math.sqrt(m / ((m + 1) ** 2 * (m + 2)))  # of a Beta(m, 1)
        assert abs(math.log(deviation / exact)) < 4 * 2 / math.sqrt(4000)  # kurtosis 9
    # an exponential is 0.16 from the normal of its mean and deviation, at any m
    assert all(abs(k - 0.16) < 0.03 for k in found.kolmogorov)
    assert found.p_value < 1e-6


def test_bias_of_a_variance_is_exact():
    reference = SetBatch.from_dense(uniform_atoms((1,))(200, stream("reference")).unsqueeze(0))
    found = bias(Functional(variance), reference, (10, 30, 100, 300), 2000)
    true = float(variance(reference))
    for m, size, error in zip(found.sizes, found.bias, found.error, strict=True):
        assert abs(size - true / m) < 4 * error  # E var_m = var (1 - 1 / m)
    assert abs(found.slope.value + 1) < 4 * found.slope.error < 0.2


def test_a_linear_functional_has_no_bias():
    reference = SetBatch.from_dense(uniform_atoms((1,))(200, stream("reference")).unsqueeze(0))
    assert bias(Functional(mean), reference, SIZES, 100).slope is None


def test_predicted_variance_agrees():
    found = agreement(Functional(variance), uniform_atoms((3,)), 200, 2000, predictions=50)
    # kurtosis makes each of 50 predictions err by about 6 %, and 2000 sets by 3.2 %
    assert abs(found.trace - 1) < 0.06
    assert len(found.diagonal) == 3
    assert all(abs(r - 1) < 0.13 for r in found.diagonal)


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
    found = spread(CONTROLS["sum"]((3,), 8), uniform_atoms((3,)), SIZES, 300)
    assert found.slope.value > 0.4


def test_a_maximum_obeys_the_laws_and_is_refused_for_its_limit():
    assert check_encoder(CONTROLS["max"]((3,), 4), (3,)).broken == ()
