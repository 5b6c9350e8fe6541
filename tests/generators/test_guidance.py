r"""Classifier-free guidance with exact fields.

If the residuals of an embedding z are N(m(z), 1), the velocity is $\cos\theta\, m(z)$, and
guidance by w draws from $N(m(\varnothing) + w (m(z) - m(\varnothing)), 1)$.
"""

import math

import pytest
import torch
from generator_fakes import Zero, zero_field
from torch import nn

from distembed.batch import SetBatch
from distembed.generators.flow import flow
from distembed.rng import stream

LATENT = 3


class Recorder(nn.Module):
    """The field of residuals with the sum of z as their mean; records the embeddings."""

    def __init__(self):
        super().__init__()
        self.conditions = []

    def forward(self, x, z, t, expand):
        self.conditions.append(z.detach())
        angle = torch.pi / 2 * (t.unsqueeze(-1) if t.ndim else t)
        return angle.cos() * expand(z.sum(-1, keepdim=True)) * torch.ones_like(x)


def guided(**options):
    model = flow((1,), LATENT, base_network=True, **options)
    model.field, model.base.network, model.base.floor = Recorder(), Zero(), 0.0
    return model


def embeddings(n):
    return torch.randn(n, LATENT, generator=stream("z"))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_dropout_rate_is_the_option(rate):
    b, m = 4000, 2
    model = guided(dropout=rate)
    z = embeddings(b)
    batch = SetBatch.from_dense(torch.randn(b, m, 1, generator=stream("x")))
    model.loss(batch, z, stream("loss"))
    (condition,) = model.field.conditions
    assert condition.shape == z.shape, "one row a set: its atoms cannot differ"
    null, unchanged = (condition == model.null).all(1), (condition == z).all(1)
    assert (null ^ unchanged).all(), "whole, or not at all"
    error = math.sqrt(rate * (1 - rate) / b)
    assert float(null.double().mean()) == pytest.approx(rate, abs=5 * error)
    # independent sets: neighbours are dropped together at the squared rate
    pairs = (null[1:] & null[:-1]).double().mean()
    assert float(pairs) == pytest.approx(rate**2, abs=5 * rate * math.sqrt(3 / b))


def test_the_draw_comes_from_the_rng():
    model, z = guided(dropout=0.5), embeddings(100)
    batch = SetBatch.from_dense(torch.randn(100, 2, 1, generator=stream("x")))
    for seed in (0, 0, 1):
        model.loss(batch, z, stream(seed, "loss"))
    one, again, other = model.field.conditions
    assert (one == again).all()
    assert (one != other).any()


def test_validation_drops_nothing():
    model, z = guided(dropout=0.5).eval(), embeddings(50)
    batch = SetBatch.from_dense(torch.randn(50, 2, 1, generator=stream("x")))
    model.loss(batch, z, stream("loss"))
    assert (model.field.conditions[0] == z).all()


def test_the_base_is_never_dropped():
    # with the field at zero nothing of the loss depends on what was dropped
    z = embeddings(20)
    batch = SetBatch.from_dense(torch.randn(20, 4, 1, generator=stream("x")))
    model = flow((1,), LATENT, dropout=0.5)
    model.field = zero_field()
    plain = model.base.negative_log_likelihood(batch, model.base(z))
    torch.testing.assert_close(model.loss(batch, z, stream("loss")), plain)


@pytest.mark.parametrize("w", [0.0, 1.0, 2.5])
def test_guidance_extrapolates_from_the_average_set(w):
    model, z = guided(dropout=0.1, guidance=w, sampler="ddim", calls=64), embeddings(4)
    x = model.sample(z, 1, stream("draw"))[:, 0, 0]
    e = torch.randn(4, 1, 1, generator=stream("draw"))[:, 0, 0]
    null, mean = model.null.detach().sum(), z.sum(1)
    expected = null + w * (mean - null) + math.cos(math.pi / 128) ** 64 * e
    torch.testing.assert_close(x, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("w", "times"), [(1.0, 1), (3.0, 2)])
def test_guidance_of_one_evaluates_the_network_once(w, times):
    model = guided(dropout=0.1, guidance=w, calls=6)
    model.sample(embeddings(2), 3, stream("draw"))
    assert len(model.field.conditions) == 6 * times


def test_guidance_leaves_location_and_covariance_to_the_base():
    # the field is zero: atoms are those of the Gaussian of z, at any w
    draws = []
    for w in (1.0, 4.0):
        torch.manual_seed(0)
        model = flow((2,), LATENT, dropout=0.1, guidance=w, base_network=True)
        model.field = zero_field()
        with torch.no_grad():
            model.base.weight.normal_(0, 0.5, generator=stream("weight"))
        draws.append(model.sample(embeddings(3), 5, stream("draw")))
    torch.testing.assert_close(*draws)
    assert draws[0].mean(1).std(0).min() > 0.1


def test_without_dropout_there_is_no_null_embedding():
    assert "null" not in dict(flow((2,), LATENT).named_parameters())
    assert flow((2,), LATENT, dropout=0.2).null.shape == (LATENT,)
