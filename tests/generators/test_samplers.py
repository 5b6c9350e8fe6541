r"""Solvers with known velocities.

Residuals from a mixture, $u \sim \sum_k \pi_k N(\mu_k, s_k^2)$, have on the trigonometric path

    u_t | k ~ N(sin mu_k, cos^2 + sin^2 s_k^2),
    E[v | u_t, k] = cos mu_k + cos sin (s_k^2 - 1) / (cos^2 + sin^2 s_k^2) (u_t - sin mu_k),

and $E[v | u_t]$ is their average by the posterior of k.
"""

import math

import pytest
import torch
from generator_fakes import ExactField, Zero, zero_field

from distembed.generators.diffusion import diffusion
from distembed.generators.flow import flow
from distembed.generators.samplers import SAMPLERS, ancestral, ddim, heun
from distembed.rng import stream

SHARE, MODE, WIDTH = torch.tensor([0.3, 0.7]), torch.tensor([-1.4, 0.6]), torch.tensor([0.2, 0.3])


def exact(x, angle):
    c, s = angle.cos(), angle.sin()
    x = x.unsqueeze(-1)
    share, mode, width = SHARE.to(x), MODE.to(x), WIDTH.to(x)
    variance = c**2 + (s * width) ** 2
    log = share.log() - variance.log() / 2 - (x - s * mode).square() / (2 * variance)
    each = c * mode + c * s * (width**2 - 1) / variance * (x - s * mode)
    return (log.softmax(-1) * each).sum(-1)


def of_mixture(u, t):
    return exact(u, torch.pi / 2 * t)


def truth(rng, *shape):
    k = torch.multinomial(SHARE, math.prod(shape), True, generator=rng).view(shape)
    return MODE[k] + WIDTH[k] * torch.randn(shape, generator=rng)


def quantile(e):
    """Return the end of the flow of noise e: it keeps the order, so F(u) = Phi(e)."""
    low, high = torch.full_like(e, -10), torch.full_like(e, 10)
    for _ in range(60):
        middle = (low + high) / 2
        share = torch.special.ndtr((middle.unsqueeze(-1) - MODE) / WIDTH) @ SHARE.double()
        below = share < torch.special.ndtr(e)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low


def w2(a, b):  # in one dimension: sorted atoms meet
    return (a.sort(-1).values - b.sort(-1).values).square().mean(-1).sqrt()


def test_16_calls_of_a_flow_reach_the_floor_on_a_mixture():
    reach_the_floor(flow((1,), latent=2, calls=16), ExactField(exact))


def test_16_calls_of_a_diffusion_reach_the_floor_on_a_mixture():
    # time, and with it the sign of the velocity, is reversed
    model = diffusion((1,), latent=2, calls=16)
    model.field.field = ExactField(lambda x, a: -exact(x, torch.pi / 2 - a))
    reach_the_floor(model, model.field)


def reach_the_floor(model, field, sets=100, n=1000):
    model.field, model.base.network, model.base.floor = field, Zero(), 0.0
    x = model.sample(torch.zeros(sets, 2), n, stream("draw"))[..., 0]
    one, two = truth(stream("truth"), 2, sets, n)
    # over 100 sets each mean has an error of about 5 %
    assert w2(x, one).mean() < 1.3 * w2(two, one).mean()


@pytest.mark.parametrize(("sampler", "order"), [(heun, 2), (ddim, 1)])
@pytest.mark.parametrize("velocity", ["gaussian", "mixture"])
def test_order(sampler, order, velocity):
    e = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)
    if velocity == "gaussian":  # N(0, s^2) is linear: e goes to s e
        s = 0.5

        def v(u, t):
            c, d = (torch.pi / 2 * t).cos(), (torch.pi / 2 * t).sin()
            return c * d * (s**2 - 1) / (c**2 + s**2 * d**2) * u

        right = s * e
    else:
        v, right = of_mixture, quantile(e)
    coarse, fine = ((sampler(v, e, calls, None) - right).norm() for calls in (256, 512))
    # the next term of the error is a fraction of about 1 / steps of the leading one
    assert float(coarse / fine) == pytest.approx(2**order, rel=0.05)


def test_heun_is_exact_where_ddim_shrinks():
    e = torch.randn(1, 50, 1, generator=stream("noise"))
    zero = zero_field().f
    torch.testing.assert_close(heun(zero, e, 2, None), e)
    for calls in (4, 32):
        factor = math.cos(math.pi / 2 / calls) ** calls
        torch.testing.assert_close(ddim(zero, e, calls), factor * e, rtol=1e-5, atol=0)
    assert factor == pytest.approx(0.962, abs=5e-4)


def test_a_path_is_a_quarter_of_a_circle_long():
    e = torch.randn(1, 5, 2, generator=stream("noise"))
    torch.testing.assert_close(heun(lambda u, t: torch.ones_like(u), e, 4), e + math.pi / 2)


def test_ancestral_variance_in_closed_form():
    # of N(0, 1), v = 0: E[u | u_t] = b u_t, and a step from (a, b) to (a', b') multiplies by the
    # posterior mean's factor and adds the posterior variance (Ho et al., 2020, eq. 7)
    calls, n, variance = 10, 100_000, 1.0
    for k in range(calls):
        (a, b), (c, d) = (
            (math.cos(math.pi / 2 * i / calls), math.sin(math.pi / 2 * i / calls))
            for i in (k, k + 1)
        )
        added = a**2 - (b / d * c) ** 2
        factor = b / d * c**2 / a**2 + d * added / a**2 * b
        variance = factor**2 * variance + added * c**2 / a**2
    e = torch.randn(1, n, 1, generator=stream("noise"))
    u = ancestral(zero_field().f, e, calls, stream("fresh"))
    assert variance < 0.9, "at ten calls it is visibly too small"
    assert float(u.var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / n))


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_makes_the_requested_number_of_calls(name):
    times = []

    def velocity(u, t):
        times.append(float(t))
        return torch.zeros_like(u)

    u = SAMPLERS[name](velocity, torch.zeros(2, 3, 1), 6, stream("fresh"))
    assert u.shape == (2, 3, 1)
    assert len(times) == 6
    assert times[0] == 0
    assert times == sorted(times)


@pytest.mark.parametrize("name", SAMPLERS)
def test_errors_of_the_velocity_do_not_blow_up(name):
    rng = stream("errors")

    def velocity(u, t):
        return 0.1 * torch.randn(u.shape, generator=rng)

    e = torch.randn(1, 2000, 1, generator=stream("noise"))
    assert SAMPLERS[name](velocity, e, 32, stream("fresh")).std() < 1.2
