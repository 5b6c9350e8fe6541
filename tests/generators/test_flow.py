r"""The flow with exact velocity fields.

On the path $u_t = \cos\theta\, e + \sin\theta\, u$ with residuals $u \sim N(0, s^2)$ the velocity
$v = \cos\theta\, u - \sin\theta\, e$ is jointly Gaussian with $u_t$, so that

    E[v | u_t] = cov(v, u_t) / var(u_t) u_t
               = cos sin (s^2 - 1) / (cos^2 + s^2 sin^2) u_t.
"""

import math

import numpy as np
import pytest
import torch
from generator_fakes import ExactField, Zero, zero_field

from distembed.batch import SetBatch
from distembed.generators.flow import Flow, flow
from distembed.generators.samplers import Sampling
from distembed.rng import stream


def exact(s):
    """The velocity of residuals of deviation s, a number or one a dimension."""

    def field(x, angle):
        c, d = angle.cos(), angle.sin()
        return c * d * (s**2 - 1) / (c**2 + s**2 * d**2) * x

    return ExactField(field)


def make(field, d=1, **options):
    model = flow((d,), latent=2, base_network=True, **options)
    model.field, model.base.network = field, Zero()
    return model


def base_scale(model):
    return model.base(torch.zeros(1, 2)).scale[0].detach()


def test_a_zero_field_draws_the_base():
    d, n = 3, 20_000
    model = make(zero_field(), d)
    with torch.no_grad():
        model.base.weight.normal_(0, 0.3, generator=stream("weight"))
    z = torch.randn(2, 2, generator=stream("z"))
    g = model.base(z)
    x = model.sample(z, n, stream("draw"))
    e = torch.randn(2, n, d, generator=stream("draw"))
    torch.testing.assert_close(x, g.colour(e))
    cov = g.scale @ g.scale.mT
    for b in range(2):
        # standard errors of a mean, sqrt(c_ii / n), and of a covariance,
        # sqrt((c_ii c_jj + c_ij^2) / n)
        variance = cov[b].diagonal()
        off = (x[b].mean(0) - g.location[b]).abs() / (variance / n).sqrt()
        assert off.max() < 5
        error = ((torch.outer(variance, variance) + cov[b].square()) / n).sqrt()
        assert ((torch.cov(x[b].T) - cov[b]).abs() / error).max() < 5


def heun(s, steps):
    """The factor by which Heun's method multiplies e, the equation being linear."""

    def slope(k):
        c, d = math.cos(k * h), math.sin(k * h)
        return c * d * (s**2 - 1) / (c**2 + s**2 * d**2)

    h, factor = math.pi / 2 / steps, 1.0
    for k in range(steps):
        first = slope(k)
        factor *= 1 + h / 2 * (first + slope(k + 1) * (1 + h * first))
    return factor


@pytest.mark.parametrize("s", [0.4, 0.7, 1.5, 2.5])
@pytest.mark.parametrize("calls", [2, 16, 64])
def test_the_exact_field_turns_noise_into_the_residual(s, calls):
    model = make(exact(s), calls=calls)
    x = model.sample(torch.zeros(1, 2), 50, stream("draw"))[0, :, 0]
    e = torch.randn(1, 50, 1, generator=stream("draw"))[0, :, 0] * float(base_scale(model))
    assert model.field.calls == calls
    # float32: one rounding of 6e-8 for each of a few operations a call
    torch.testing.assert_close(x, heun(s, calls // 2) * e, rtol=1e-5, atol=1e-6)
    if calls == 64:  # of second order: 16 times closer than 16 calls, which are within 3 %
        assert heun(s, 8) == pytest.approx(s, rel=0.03)
        torch.testing.assert_close(x, s * e, rtol=0.03 / 10, atol=1e-6)


@pytest.mark.parametrize("s", [0.5, 2.0])
def test_16_calls_reach_the_floor(s):
    sets, n = 40, 1000
    model = make(exact(s))
    x = model.sample(torch.zeros(sets, 2), n, stream("draw"))[:, :, 0].double()
    one, two = s * float(base_scale(model)) * torch.randn(2, sets, n, generator=stream("truth"))

    def w2(a, b):  # in one dimension: sorted atoms meet
        return (a.double().sort(1).values - b.double().sort(1).values).square().mean(1).sqrt()

    # over 40 sets the mean of each W2, whose deviation is about its half, has an error of 8 %
    assert w2(x, one).mean() < 1.3 * w2(two, one).mean()


def test_dimensions_with_scales_of_their_own():
    s = torch.tensor([0.5, 1.0, 2.0])
    model = make(exact(s), d=3)
    x = model.sample(torch.zeros(1, 2), 100, stream("draw"))[0]
    e = torch.randn(1, 100, 3, generator=stream("draw"))[0]
    factor = x / e / base_scale(model).diagonal()
    torch.testing.assert_close(factor, s.expand(100, 3), rtol=0.02, atol=0)


def test_with_an_exact_base_any_number_of_calls_is_exact():
    # s = 1: the field is zero
    models = [make(exact(1.0), calls=c) for c in (2, 64)]
    draws = [model.sample(torch.zeros(2, 2), 9, stream("draw")) for model in models]
    torch.testing.assert_close(draws[0], draws[1])


def batch_of(s, d=1, n=20_000):
    return SetBatch.from_dense(s * torch.randn(2, n, d, generator=stream("residuals")))


def test_without_a_field_the_loss_is_the_likelihood():
    batch, z = batch_of(1.5), torch.zeros(2, 2)
    model = make(zero_field())
    g = model.base(z)
    nll = model.base.negative_log_likelihood(batch, g)
    torch.testing.assert_close(model.loss(batch, z, stream("loss")), nll)


@pytest.mark.parametrize("s", [0.5, 2.0])
def test_the_loss_has_its_minimum_at_the_exact_field(s):
    # scaled by c the field scores c^2 E f^2 - 2 c E f v + nll, least at c = 1 if f = E[v | u]
    scale = float(base_scale(make(zero_field())))
    batch, z = batch_of(s * scale), torch.zeros(2, 2)
    field = exact(s)
    losses = []
    for c in (0.0, 1.0, 2.0):
        model = make(ExactField(lambda x, a, c=c: c * field.f(x, a)))
        losses.append(float(model.loss(batch, z, stream("loss")).mean()))
    curvature = losses[0] - 2 * losses[1] + losses[2]
    vertex = 1 - (losses[2] - losses[0]) / (2 * curvature)
    # a regression slope over 40,000 atoms: residual deviation / signal deviation / sqrt(N);
    # the velocity has a deviation of at most max(s, 1), the field one of sqrt(curvature / 2)
    error = max(s, 1) / math.sqrt(curvature / 2) / math.sqrt(40_000)
    assert vertex == pytest.approx(1, abs=5 * error)
    assert error < 0.05
    assert losses[1] < losses[0]


def test_the_loss_has_its_minimum_at_the_exact_field_of_a_shift():
    # u ~ N(mu, 1) has E[v | u_t] = cos(theta) mu; the base is N(0, 1)
    n, shift = 40_000, 5.0
    batch = SetBatch.from_dense(shift + torch.randn(1, n, 1, generator=stream("x")))
    losses = []
    for c in (0.0, 1.0, 2.0):
        model = make(ExactField(lambda x, a, c=c: c * shift * a.cos() * torch.ones_like(x)))
        model.base.floor = 0.0
        losses.append(float(model.loss(batch, torch.zeros(1, 2), stream("loss"))))
    curvature = losses[0] - 2 * losses[1] + losses[2]
    vertex = 1 - (losses[2] - losses[0]) / (2 * curvature)
    # the remainder of v has variance 1, the field a mean square of 12.5
    assert vertex == pytest.approx(1, abs=5 / math.sqrt(12.5 * n))
    assert curvature / 2 == pytest.approx(12.5, rel=0.05)


def test_a_prepared_base_restores_the_units():
    x = torch.randn(50, 400, 2, generator=stream("x")) * 100 + 1000
    model = make(zero_field(), d=2)
    model.prepare(SetBatch.from_dense(x), torch.randn(50, 2, generator=stream("z")))
    atoms = model.sample(torch.zeros(1, 2), 20_000, stream("draw"))[0]
    # the standard error of a mean of 20,000 atoms is 100 / sqrt(20,000) = 0.7, as is that of 50
    # sets of 400; that of a deviation is 0.7 times as large
    assert (atoms.mean(0) - 1000).abs().max() < 5
    assert atoms.std(0).numpy() == pytest.approx(100, abs=3.5)


def test_sampling_may_be_replaced_after_training():
    model = make(zero_field())
    model.sampling = Sampling("ddim", calls=5)
    model.sample(torch.zeros(1, 2), 3, stream("draw"))
    assert model.field.calls == 5


def test_images_come_back_as_images():
    model = Flow((1, 4, 4), latent=2)
    assert model.sample(torch.zeros(3, 2), 5, stream("draw")).shape == (3, 5, 1, 4, 4)
    assert np.isfinite(model.sample(torch.zeros(3, 2), 5, stream("draw")).numpy()).all()
