"""Influence functions and the covariances that they predict, in closed form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_fakes import Functional, ragged
from torch import nn

from distembed.batch import SetBatch
from distembed.inference.influence import influence, predicted_covariance
from distembed.rng import stream


def mean(batch):
    return batch.mean(batch.x)


def variance(batch):
    return batch.mean((batch.x - batch.expand(batch.mean(batch.x))).square())


def total(batch):
    """Weighted sum, which is not normalised."""
    weighted = batch.w[:, None] * batch.x
    return weighted.new_zeros(len(batch), 1).index_add(0, batch.owner, weighted)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_influence_in_closed_form(seed):
    batch = ragged(seed, (1, 4, 30), d=1)
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
    batch = ragged(1, (6,), d=1)
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
    result = predicted_covariance(Functional(mean), SetBatch.from_dense(x))
    expected = torch.stack([a.T.cov(correction=0) / 50 for a in x])
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-14)


def test_weights_count_by_their_squares():
    batch = SetBatch.from_list([[[0.0], [1.0]]], [[3.0, 1.0]])
    # mean 1/4; influences -1/4 and 3/4
    expected = (0.75 * 0.25) ** 2 + (0.25 * 0.75) ** 2
    result = predicted_covariance(Functional(mean), batch)
    assert float(result) == pytest.approx(expected, abs=1e-12)


def test_the_encoder_itself_is_left_alone():
    class Linear(nn.Module):
        latent = 2

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 2)

        def forward(self, batch):
            return batch.mean(self.layer(batch.x))

    encoder = Linear()
    psi = influence(encoder, ragged(0, (1, 4, 30), d=1))
    assert psi[0].dtype == torch.float64
    assert encoder.training
    assert encoder.layer.weight.dtype == torch.float32
    assert encoder.layer.weight.requires_grad
    assert encoder.layer.weight.grad is None


def test_an_encoder_without_a_derivative_is_refused():
    class Plain(Functional):
        pass

    with pytest.raises(ValueError, match="Plain has no derivative by the weights"):
        influence(Plain(mean, smooth=False), ragged(0, (1, 4, 30), d=1))
    with pytest.raises(ValueError, match="Functional has no derivative by the weights"):
        influence(Functional(lambda b: b.x[b.offsets[:-1]]), ragged(0, (1, 4, 30), d=1))
