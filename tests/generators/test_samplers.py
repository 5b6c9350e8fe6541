r"""Solvers with velocities that are known.

Residuals from a mixture, $u \sim \sum_k \pi_k N(\mu_k, s_k^2)$, have on the arc

    u_t | k ~ N(sin mu_k, cos^2 + sin^2 s_k^2),
    E[v | u_t, k] = cos mu_k + cos sin (s_k^2 - 1) / (cos^2 + sin^2 s_k^2) (u_t - sin mu_k),

and $E[v | u_t]$ is their average by the posterior of k.
"""

import math

import pytest
import torch
from generator_fakes import Known, Silent, zero

from distembed.generators.diffusion import Diffusion
from distembed.generators.flow import Flow
from distembed.generators.samplers import SAMPLERS, ancestral, check_calls, ddim, heun
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
    """Where the flow takes noise: it keeps order, so F(u) is the normal share of e."""
    low, high = torch.full_like(e, -10), torch.full_like(e, 10)
    for _ in range(60):
        middle = (low + high) / 2
        share = torch.special.ndtr((middle.unsqueeze(-1) - MODE) / WIDTH) @ SHARE.double()
        below = share < torch.special.ndtr(e)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low


def w2(a, b):  # in one dimension: sorted atoms meet
    return (a.sort(-1).values - b.sort(-1).values).square().mean(-1).sqrt()


def known(kind, **options):
    made = kind((1,), latent=2, **options)
    sign = 1 if kind is Flow else -1  # a diffusion's time, and velocity, point the other way
    made.field = Known(lambda x, a: sign * exact(x, a if kind is Flow else torch.pi / 2 - a))
    made.base.network, made.base.floor = Silent(), 0.0
    return made


@pytest.mark.parametrize("kind", [Flow, Diffusion])
def test_16_calls_reach_the_floor_on_a_mixture(kind):
    sets, n = 100, 1000
    made = known(kind, calls=16)
    drawn = made.sample(torch.zeros(sets, 2), n, stream("draw"))[..., 0]
    assert made.field.calls == 16
    one, two = truth(stream("truth"), 2, sets, n)
    # over 100 sets each mean has an error of some 5 %
    assert w2(drawn, one).mean() < 1.3 * w2(two, one).mean()


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
    few, many = ((sampler(v, e, calls, None) - right).norm() for calls in (256, 512))
    # what comes after the leading term is a share of about 1 / steps
    assert float(few / many) == pytest.approx(2**order, rel=0.05)


def test_heun_makes_no_error_where_ddim_shrinks():
    e = torch.randn(1, 50, 1, generator=stream("noise"))
    still = zero().f
    torch.testing.assert_close(heun(still, e, 2, None), e)
    for calls in (4, 32):
        factor = math.cos(math.pi / 2 / calls) ** calls
        torch.testing.assert_close(ddim(still, e, calls), factor * e, rtol=1e-5, atol=0)
    assert factor == pytest.approx(0.962, abs=5e-4)


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
    u = ancestral(zero().f, e, calls, stream("fresh"))
    assert variance < 0.9, "at ten calls it is visibly too small"
    assert float(u.var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / n))


def test_a_straight_path_has_length_one():
    e = torch.randn(1, 5, 2, generator=stream("noise"))
    torch.testing.assert_close(heun(lambda u, t: torch.ones_like(u), e, 4, None, 1.0), e + 1)
    arc = heun(lambda u, t: torch.ones_like(u), e, 4)
    torch.testing.assert_close(arc, e + math.pi / 2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_asks_as_often_as_it_says(name):
    asked = []

    def velocity(u, t):
        asked.append(float(t))
        return torch.zeros_like(u)

    u = SAMPLERS[name](velocity, torch.zeros(2, 3, 1), 6, stream("fresh"))
    assert u.shape == (2, 3, 1)
    assert len(asked) == 6
    assert asked[0] == 0
    assert asked == sorted(asked)


@pytest.mark.parametrize(("calls", "sampler"), [(0, "ddim"), (5, "heun"), (-2, "heun")])
def test_calls_that_cannot_be_are_refused(calls, sampler):
    with pytest.raises(ValueError, match="two network calls a step"):
        check_calls(calls, sampler)
