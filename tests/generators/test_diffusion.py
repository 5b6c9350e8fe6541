r"""The diffusion with known denoisers.

Of residuals $u \sim N(\mu, 1)$ the process has $u_t \sim N(\alpha\mu, 1)$ at every t, and from
$E[u | u_t] = \alpha u_t + \sigma^2 \mu$ follows

    E[v | u_t] = (alpha u_t - E[u | u_t]) / sigma = -sigma mu.

The base is the standard normal distribution here, so that atoms are their own residuals.
"""

import math

import pytest
import torch
from generator_fakes import Known, Silent, zero

from distembed.batch import SetBatch
from distembed.generators.diffusion import Diffusion
from distembed.rng import stream
from distembed.testing import check_generator

MEAN = 5.0


def exact(x, angle):
    return -angle.sin() * MEAN * torch.ones_like(x)


FACTOR = {"v": lambda a: 1.0, "epsilon": torch.cos, "x": lambda a: -a.sin()}


def predicts(prediction, scale=1.0, shift=0.0):
    """The exact field plus a constant, as a network of that prediction would give it."""
    return Known(lambda x, a: FACTOR[prediction](a) * (scale * exact(x, a) + shift))


def diffusion(field, d=1, **options):
    made = Diffusion((d,), latent=2, **options)
    made.field, made.base.network, made.base.floor = field, Silent(), 0.0
    return made


@pytest.mark.parametrize("prediction", FACTOR)
@pytest.mark.parametrize(("sampler", "calls"), [("heun", 32), ("ddim", 8), ("ancestral", 100)])
def test_the_exact_denoiser_keeps_the_mean(sampler, calls, prediction):
    n = 60_000 if calls < 100 else 20_000
    made = diffusion(predicts(prediction), sampler=sampler, calls=calls, prediction=prediction)
    x = made.sample(torch.zeros(2, 2), n, stream("draw"))
    assert made.field.calls == calls
    # 0.3 % of 5 is 0.015, and the mean of 40,000 atoms has a standard error of 0.005
    assert float(x.mean()) == pytest.approx(MEAN, rel=0.003)


def test_heun_keeps_the_deviation():
    # the field of a shifted Gaussian does not depend on x: every atom moves by the same amount,
    # and the trapezoid rule errs by h^2 / 12 of the mean
    for calls in (2, 8, 32):
        made = diffusion(Known(exact), calls=calls)
        x = made.sample(torch.zeros(1, 2), 100, stream("draw"))[0, :, 0]
        e = torch.randn(1, 100, 1, generator=stream("draw"))[0, :, 0]
        h = math.pi / calls
        torch.testing.assert_close(x - x.mean(), e - e.mean(), rtol=0, atol=1e-4)
        assert float((x - e).mean()) == pytest.approx(MEAN, rel=h**2 / 11)


def test_the_ancestral_sampler_tends_to_the_deviation():
    gaps = []
    for calls in (20, 200):
        made = diffusion(Known(exact), sampler="ancestral", calls=calls)
        x = made.sample(torch.zeros(1, 2), 40_000, stream("draw"))
        gaps.append(abs(float(x.std()) - 1))
    # a deviation of 40,000 atoms has the standard error 1 / sqrt(80,000)
    assert gaps[1] < 0.02 + 5 / math.sqrt(80_000)
    assert gaps[1] < gaps[0]


def ends_of_training(monkeypatch, value):
    """What the field is shown at times 0 and 1 when all atoms are `value`, by its time."""
    shown = {}

    def look(x, angle):
        shown[round(float(angle[0]) / (math.pi / 2))] = x
        return torch.zeros_like(x)

    batch = SetBatch.from_dense(torch.full((1, 50, 1), value))
    for drawn in (torch.zeros, torch.ones):
        monkeypatch.setattr(torch, "rand", lambda n, drawn=drawn, **_: drawn(n))
        diffusion(Known(look)).loss(batch, torch.zeros(1, 2), stream("loss"))
    monkeypatch.undo()
    return shown


def test_the_last_step_of_training_holds_no_signal(monkeypatch):
    nothing, signal = (ends_of_training(monkeypatch, value) for value in (0.0, 1e4))
    # cos(pi / 2) is 4e-8 in float32
    assert (signal[1] - nothing[1]).abs().max() < 1e4 * 1e-7
    assert nothing[1].std() > 0.5, "and it holds the noise"


def test_the_first_step_of_training_holds_no_noise(monkeypatch):
    shown = ends_of_training(monkeypatch, 3.0)
    torch.testing.assert_close(shown[0], torch.full((50, 1), 3.0))


def test_without_a_field_the_loss_is_the_likelihood():
    batch = SetBatch.from_dense(torch.randn(2, 50, 3, generator=stream("x")))
    made = diffusion(zero(), d=3)
    nll = made.base.negative_log_likelihood(batch, made.base(torch.zeros(2, 2)))
    torch.testing.assert_close(made.loss(batch, torch.zeros(2, 2), stream("loss")), nll)


def test_the_loss_has_its_minimum_at_the_exact_field():
    # |c f - v|^2 has its vertex at E f v / E f^2, which is 1 where f = E[v | u_t]
    n = 40_000
    batch = SetBatch.from_dense(MEAN + torch.randn(1, n, 1, generator=stream("x")))
    losses = []
    for c in (0.0, 1.0, 2.0):
        made = diffusion(Known(lambda x, a, c=c: c * exact(x, a)))
        losses.append(float(made.loss(batch, torch.zeros(1, 2), stream("loss"))))
    curvature = losses[0] - 2 * losses[1] + losses[2]
    vertex = 1 - (losses[2] - losses[0]) / (2 * curvature)
    # what is left of v has variance 1, the field a mean square of 12.5
    assert vertex == pytest.approx(1, abs=5 / math.sqrt(12.5 * n))
    assert curvature / 2 == pytest.approx(12.5, rel=0.05)


@pytest.mark.parametrize(("prediction", "gain"), [("v", 1 / 2), ("epsilon", 1 / 4), ("x", 3 / 4)])
def test_predictions_share_a_scale_of_loss(prediction, gain):
    # c = 1, alpha or -sigma and v = -sigma mu: the exact field gains E[c^2 sigma^2] mu^2 / E[c^2],
    # and a constant error of d in v costs d^2 in every prediction
    n = 100_000
    batch = SetBatch.from_dense(MEAN + torch.randn(1, n, 1, generator=stream("x")))

    def loss(field):
        made = diffusion(field, prediction=prediction)
        return float(made.loss(batch, torch.zeros(1, 2), stream("loss")))

    nothing, right, wrong = (
        loss(f) for f in (zero(), predicts(prediction), predicts(prediction, shift=2.0))
    )
    assert nothing - right == pytest.approx(gain * MEAN**2, rel=0.02)
    # what is left of c v has variance at most 2 E[c^2] / E[c^2], and meets 2 * 2.0
    assert wrong - right == pytest.approx(4.0, abs=5 * 4 * math.sqrt(2 / n))


@pytest.mark.parametrize("prediction", FACTOR)
def test_the_minimum_of_every_prediction_is_the_exact_field(prediction):
    n = 40_000
    batch = SetBatch.from_dense(MEAN + torch.randn(1, n, 1, generator=stream("x")))
    losses = [
        float(
            diffusion(predicts(prediction, scale=c), prediction=prediction).loss(
                batch, torch.zeros(1, 2), stream("loss")
            )
        )
        for c in (0.0, 1.0, 2.0)
    ]
    vertex = 1 - (losses[2] - losses[0]) / (2 * (losses[0] - 2 * losses[1] + losses[2]))
    # E[c^2 v^2] is 6.25 at least of variances of at most 1
    assert vertex == pytest.approx(1, abs=5 / math.sqrt(6.25 * n))


@pytest.mark.parametrize("prediction", ["epsilon", "x"])
def test_every_prediction_keeps_the_promises(prediction):
    check_generator(Diffusion((5,), 3, prediction=prediction), (5,), 3)


@pytest.mark.parametrize("prediction", FACTOR)
@pytest.mark.parametrize("sampler", ["heun", "ddim", "ancestral"])
def test_a_network_of_noise_does_not_blow_up(prediction, sampler):
    # an error of 0.1 in what is predicted is divided by as little as CLOSEST, at an end of time
    rng = stream("errors")
    made = diffusion(
        Known(lambda x, a: 0.1 * torch.randn(x.shape, generator=rng)),
        prediction=prediction,
        sampler=sampler,
    )
    assert made.sample(torch.zeros(1, 2), 2000, stream("draw")).std() < 1.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prediction": "score"}, "'v', 'epsilon', 'x'"),
        ({"sampler": "euler"}, "'heun', 'ddim', 'ancestral'"),
        ({"calls": 5}, "two network calls a step"),
        ({"backbone": "gnn"}, "no backbone 'gnn'; there are: mlp, unet"),
    ],
)
def test_names_that_are_not_known_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Diffusion((2,), latent=2, **options)


def test_a_prepared_base_brings_the_units():
    x = torch.randn(50, 400, 2, generator=stream("x")) * 100 + 1000
    made = diffusion(zero(), d=2)
    made.prepare(SetBatch.from_dense(x), torch.randn(50, 2, generator=stream("z")))
    drawn = made.sample(torch.zeros(1, 2), 20_000, stream("draw"))[0]
    # the standard error of a mean of 20,000 atoms is 100 / sqrt(20,000) = 0.7, as is that of 50
    # sets of 400; that of a deviation is 0.7 times as large
    assert (drawn.mean(0) - 1000).abs().max() < 5
    assert drawn.std(0).numpy() == pytest.approx(100, abs=3.5)
