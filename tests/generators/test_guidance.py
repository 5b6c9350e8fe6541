r"""Classifier-free guidance with fields that are known.

If the residuals of an embedding z are N(m(z), 1), the velocity is $-\sigma m(z)$, and guidance by
w draws from $N(m(\varnothing) + w (m(z) - m(\varnothing)), 1)$.
"""

import math

import pytest
import torch
from generator_fakes import Known, Silent
from torch import nn

from distembed.batch import SetBatch
from distembed.generators.diffusion import Diffusion
from distembed.rng import stream
from distembed.testing import check_generator

LATENT = 3


class Shown(nn.Module):
    """Keeps the embeddings it is shown, and moves every atom towards their sum."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, x, z, t, expand):
        self.shown.append(z.detach())
        mean = expand(z.sum(-1, keepdim=True))
        return (
            -(torch.pi / 2 * t.unsqueeze(-1) if t.ndim else torch.pi / 2 * t).sin()
            * mean
            * (torch.ones_like(x))
        )


def guided(**options):
    made = Diffusion((1,), LATENT, **options)
    made.field, made.base.network, made.base.floor = Shown(), Silent(), 0.0
    return made


def embeddings(n):
    return torch.randn(n, LATENT, generator=stream("z"))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_dropout_rate_is_what_it_says(rate):
    b, m = 4000, 2
    made = guided(dropout=rate)
    z = embeddings(b)
    batch = SetBatch.from_dense(torch.randn(b, m, 1, generator=stream("x")))
    made.loss(batch, z, stream("loss"))
    (shown,) = made.field.shown
    assert shown.shape == z.shape, "one row a set: its atoms cannot differ"
    null, kept = (shown == made.null).all(1), (shown == z).all(1)
    assert (null ^ kept).all(), "whole, or not at all"
    error = math.sqrt(rate * (1 - rate) / b)
    assert float(null.double().mean()) == pytest.approx(rate, abs=5 * error)
    # independent sets: neighbours are dropped together at the squared rate
    pairs = (null[1:] & null[:-1]).double().mean()
    assert float(pairs) == pytest.approx(rate**2, abs=5 * rate * math.sqrt(3 / b))


def test_the_draw_comes_from_the_rng():
    made, z = guided(dropout=0.5), embeddings(100)
    batch = SetBatch.from_dense(torch.randn(100, 2, 1, generator=stream("x")))
    for seed in (0, 0, 1):
        made.loss(batch, z, stream(seed, "loss"))
    one, again, other = made.field.shown
    assert (one == again).all()
    assert (one != other).any()


def test_validation_drops_nothing():
    made, z = guided(dropout=0.5).eval(), embeddings(50)
    batch = SetBatch.from_dense(torch.randn(50, 2, 1, generator=stream("x")))
    made.loss(batch, z, stream("loss"))
    assert (made.field.shown[0] == z).all()


def test_the_base_is_never_dropped():
    # with the field at zero nothing of the loss depends on what was dropped
    z = embeddings(20)
    batch = SetBatch.from_dense(torch.randn(20, 4, 1, generator=stream("x")))
    made = Diffusion((1,), LATENT, dropout=0.5)
    made.field = Known(lambda x, a: torch.zeros_like(x))
    plain = made.base.negative_log_likelihood(batch, made.base(z))
    torch.testing.assert_close(made.loss(batch, z, stream("loss")), plain)


@pytest.mark.parametrize("w", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("prediction", ["v", "epsilon", "x"])
def test_guidance_extrapolates_from_the_average_set(w, prediction):
    made = guided(dropout=0.1, guidance=w, prediction=prediction, sampler="ddim", calls=64)
    field = made.field

    def predicted(x, z, t, expand):  # c(t) v
        angle = torch.pi / 2 * t
        return {"v": 1, "epsilon": angle.cos(), "x": -angle.sin()}[prediction] * field(
            x, z, t, expand
        )

    made.field = Fake(predicted)
    z = embeddings(4)
    x = made.sample(z, 1, stream("draw"))[:, 0, 0]
    e = torch.randn(4, 1, 1, generator=stream("draw"))[:, 0, 0]
    null, mean = made.null.detach().sum(), z.sum(1)
    expected = null + w * (mean - null) + math.cos(math.pi / 128) ** 64 * e
    torch.testing.assert_close(x, expected, rtol=2e-3, atol=2e-3)


class Fake(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, *args):
        return self.f(*args)


@pytest.mark.parametrize(("w", "times"), [(1.0, 1), (3.0, 2)])
def test_guidance_of_one_asks_the_network_once(w, times):
    made = guided(dropout=0.1, guidance=w, calls=6)
    made.sample(embeddings(2), 3, stream("draw"))
    assert len(made.field.shown) == 6 * times


def test_guidance_leaves_location_and_covariance_to_the_base():
    # the field is silent: what is left is the Gaussian of z, at any w
    draws = []
    for w in (1.0, 4.0):
        torch.manual_seed(0)
        made = Diffusion((2,), LATENT, dropout=0.1, guidance=w)
        made.field = Known(lambda x, a: torch.zeros_like(x))
        with torch.no_grad():
            made.base.weight.normal_(0, 0.5, generator=stream("weight"))
        draws.append(made.sample(embeddings(3), 5, stream("draw")))
    torch.testing.assert_close(*draws)
    assert draws[0].mean(1).std(0).min() > 0.1


def test_promises_with_dropout():
    check_generator(Diffusion((2,), LATENT, dropout=0.5), (2,), LATENT)


def test_without_dropout_there_is_no_null_embedding():
    assert "null" not in dict(Diffusion((2,), LATENT).named_parameters())
    assert Diffusion((2,), LATENT, dropout=0.2).null.shape == (LATENT,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance": 2.0}, "trained without embeddings"),
        ({"dropout": 1.0}, r"in \[0, 1\)"),
        ({"dropout": -0.1}, r"in \[0, 1\)"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Diffusion((2,), LATENT, **options)
