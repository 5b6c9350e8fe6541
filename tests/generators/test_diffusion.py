r"""The diffusion as a flow with time reversed, with exact denoisers.

Of residuals $u \sim N(\mu, 1)$ the process has $u_s \sim N(\alpha\mu, 1)$ at every s, and from
$E[u | u_s] = \alpha u_s + \sigma^2 \mu$ follows

    E[v | u_s] = (alpha u_s - E[u | u_s]) / sigma = -sigma mu.

The base is the standard normal distribution here, so that atoms are their own residuals.
"""

import math

import pytest
import torch
from generator_fakes import ExactField, Zero

from distembed.batch import SetBatch
from distembed.generators.diffusion import diffusion
from distembed.rng import stream

MEAN = 5.0


def exact(x, angle):
    return -angle.sin() * MEAN * torch.ones_like(x)


def make(field, **options):
    model = diffusion((1,), latent=2, base_network=True, **options)
    model.field.field, model.base.network, model.base.floor = field, Zero(), 0.0
    return model


def test_the_loss_is_that_of_v_prediction():
    # Salimans and Ho, 2022, section 4, with the draws of the flow and s = 1 - t
    torch.manual_seed(0)
    model = diffusion((2,), latent=3, width=16, depth=1)
    batch = SetBatch.from_dense(torch.randn(4, 9, 2, generator=stream("x")) * 2 + 1)
    z = torch.randn(4, 3, generator=stream("z"))
    gaussian = model.base(z)
    u, rng = gaussian.whiten(batch).detach(), stream("loss")
    e = torch.randn(u.shape, generator=rng)
    s = 1 - torch.rand(len(u), generator=rng)
    alpha, sigma = (torch.pi / 2 * s).cos()[:, None], (torch.pi / 2 * s).sin()[:, None]
    v, prediction = (
        alpha * e - sigma * u,
        model.field.field(alpha * u + sigma * e, z, s, batch.expand),
    )
    error = ((prediction - v).square() - v.square()).mean(1)
    expected = model.base.negative_log_likelihood(batch, gaussian) + batch.mean(error)
    # cos(pi / 2 - x) is sin(x) up to float32 rounding
    torch.testing.assert_close(
        model.loss(batch, z, stream("loss")), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("sampler", "calls"), [("heun", 32), ("ddim", 8), ("ancestral", 100)])
def test_the_exact_denoiser_keeps_the_mean(sampler, calls):
    n = 60_000 if calls < 100 else 20_000
    model = make(ExactField(exact), sampler=sampler, calls=calls)
    x = model.sample(torch.zeros(2, 2), n, stream("draw"))
    assert model.field.field.calls == calls
    # 0.3 % of 5 is 0.015, and the mean of 40,000 atoms has a standard error of 0.005
    assert float(x.mean()) == pytest.approx(MEAN, rel=0.003)


def test_heun_keeps_the_deviation():
    # the field of a shifted Gaussian does not depend on x: every atom moves by the same amount,
    # and the trapezoid rule errs by h^2 / 12 of the mean
    for calls in (2, 8, 32):
        model = make(ExactField(exact), calls=calls)
        x = model.sample(torch.zeros(1, 2), 100, stream("draw"))[0, :, 0]
        e = torch.randn(1, 100, 1, generator=stream("draw"))[0, :, 0]
        h = math.pi / calls
        torch.testing.assert_close(x - x.mean(), e - e.mean(), rtol=0, atol=1e-4)
        assert float((x - e).mean()) == pytest.approx(MEAN, rel=h**2 / 11)


def test_the_ancestral_sampler_tends_to_the_deviation():
    gaps = []
    for calls in (20, 200):
        model = make(ExactField(exact), sampler="ancestral", calls=calls)
        x = model.sample(torch.zeros(1, 2), 40_000, stream("draw"))
        gaps.append(abs(float(x.std()) - 1))
    # a deviation of 40,000 atoms has the standard error 1 / sqrt(80,000)
    assert gaps[1] < 0.02 + 5 / math.sqrt(80_000)
    assert gaps[1] < gaps[0]


def ends_of_training(monkeypatch, value):
    """Return the inputs of the field at times 0 and 1 when all atoms are `value`, by its time."""
    inputs = {}

    def record(x, angle):
        inputs[round(float(angle[0]) / (math.pi / 2))] = x
        return torch.zeros_like(x)

    batch = SetBatch.from_dense(torch.full((1, 50, 1), value))
    for uniform in (torch.zeros, torch.ones):
        monkeypatch.setattr(torch, "rand", lambda n, uniform=uniform, **_: uniform(n))
        make(ExactField(record)).loss(batch, torch.zeros(1, 2), stream("loss"))
    monkeypatch.undo()
    return inputs


def test_the_last_step_of_training_holds_no_signal(monkeypatch):
    nothing, signal = (ends_of_training(monkeypatch, value) for value in (0.0, 1e4))
    # cos(pi / 2) is 4e-8 in float32
    assert (signal[1] - nothing[1]).abs().max() < 1e4 * 1e-7
    assert nothing[1].std() > 0.5, "and it holds the noise"


def test_the_first_step_of_training_holds_no_noise(monkeypatch):
    inputs = ends_of_training(monkeypatch, 3.0)
    torch.testing.assert_close(inputs[0], torch.full((50, 1), 3.0))
