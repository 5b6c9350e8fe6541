r"""The flow with known velocity fields.

On the path $u_t = \cos\theta\, e + \sin\theta\, u$ with residuals $u \sim N(0, s^2)$ the velocity
$v = \cos\theta\, u - \sin\theta\, e$ is jointly Gaussian with $u_t$, so that

    E[v | u_t] = cov(v, u_t) / var(u_t) u_t
               = cos sin (s^2 - 1) / (cos^2 + s^2 sin^2) u_t.
"""

import math

import numpy as np
import pytest
import torch
from generator_fakes import Known, Silent, zero

from distembed.batch import SetBatch
from distembed.generators.coupling import POOL, matched
from distembed.generators.flow import Flow
from distembed.rng import stream
from distembed.testing import check_generator


def exact(s):
    """The velocity of residuals of deviation s, a number or one a dimension."""

    def field(x, angle):
        c, d = angle.cos(), angle.sin()
        return c * d * (s**2 - 1) / (c**2 + s**2 * d**2) * x

    return Known(field)


def flow(field, d=1, **options):
    made = Flow((d,), latent=2, **options)
    made.field, made.base.network = field, Silent()
    return made


def base_scale(made):
    return made.base(torch.zeros(1, 2)).scale[0].detach()


def test_a_zero_field_draws_the_base():
    d, n = 3, 20_000
    made = flow(zero(), d)
    with torch.no_grad():
        made.base.weight.normal_(0, 0.3, generator=stream("weight"))
    z = torch.randn(2, 2, generator=stream("z"))
    g = made.base(z)
    x = made.sample(z, n, stream("draw"))
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
    made = flow(exact(s), calls=calls)
    x = made.sample(torch.zeros(1, 2), 50, stream("draw"))[0, :, 0]
    e = torch.randn(1, 50, 1, generator=stream("draw"))[0, :, 0] * float(base_scale(made))
    assert made.field.calls == calls
    # float32: one rounding of 6e-8 for each of a few operations a call
    torch.testing.assert_close(x, heun(s, calls // 2) * e, rtol=1e-5, atol=1e-6)
    if calls == 64:  # of second order: 16 times closer than 16 calls, which are within 3 %
        assert heun(s, 8) == pytest.approx(s, rel=0.03)
        torch.testing.assert_close(x, s * e, rtol=0.03 / 10, atol=1e-6)


@pytest.mark.parametrize("s", [0.5, 2.0])
def test_16_calls_reach_the_floor(s):
    sets, n = 40, 1000
    made = flow(exact(s))
    drawn = made.sample(torch.zeros(sets, 2), n, stream("draw"))[:, :, 0].double()
    one, two = s * float(base_scale(made)) * torch.randn(2, sets, n, generator=stream("truth"))

    def w2(a, b):  # in one dimension: sorted atoms meet
        return (a.double().sort(1).values - b.double().sort(1).values).square().mean(1).sqrt()

    # over 40 sets the mean of each W2, whose deviation is about its half, has an error of 8 %
    assert w2(drawn, one).mean() < 1.3 * w2(two, one).mean()


def test_dimensions_with_scales_of_their_own():
    s = torch.tensor([0.5, 1.0, 2.0])
    made = flow(exact(s), d=3)
    x = made.sample(torch.zeros(1, 2), 100, stream("draw"))[0]
    e = torch.randn(1, 100, 3, generator=stream("draw"))[0]
    factor = x / e / base_scale(made).diagonal()
    torch.testing.assert_close(factor, s.expand(100, 3), rtol=0.02, atol=0)


def test_an_exact_base_needs_no_call_to_be_right():
    # s = 1: the field is zero, and two calls do what a thousand do
    few, many = (flow(exact(1.0), calls=c) for c in (2, 64))
    draws = [f.sample(torch.zeros(2, 2), 9, stream("draw")) for f in (few, many)]
    torch.testing.assert_close(draws[0], draws[1])


def batch_of(s, d=1, n=20_000):
    return SetBatch.from_dense(s * torch.randn(2, n, d, generator=stream("residuals")))


def test_without_a_field_the_loss_is_the_likelihood():
    batch, z = batch_of(1.5), torch.zeros(2, 2)
    made = flow(zero())
    g = made.base(z)
    nll = made.base.negative_log_likelihood(batch, g)
    torch.testing.assert_close(made.loss(batch, z, stream("loss")), nll)


@pytest.mark.parametrize("s", [0.5, 2.0])
def test_the_loss_has_its_minimum_at_the_exact_field(s):
    # scaled by c the field scores c^2 E f^2 - 2 c E f v + nll, least at c = 1 if f = E[v | u]
    scale = float(base_scale(flow(zero())))
    batch, z = batch_of(s * scale), torch.zeros(2, 2)
    right = exact(s)
    losses = []
    for c in (0.0, 1.0, 2.0):
        made = flow(Known(lambda x, a, c=c: c * right.f(x, a)))
        losses.append(float(made.loss(batch, z, stream("loss")).mean()))
    curvature = losses[0] - 2 * losses[1] + losses[2]
    vertex = 1 - (losses[2] - losses[0]) / (2 * curvature)
    # a regression slope over 40,000 atoms: residual deviation / signal deviation / sqrt(N);
    # the velocity has a deviation of at most max(s, 1), the field one of sqrt(curvature / 2)
    error = max(s, 1) / math.sqrt(curvature / 2) / math.sqrt(40_000)
    assert vertex == pytest.approx(1, abs=5 * error)
    assert error < 0.05
    assert losses[1] < losses[0]


def test_the_flow_does_not_move_the_base():
    # residuals are detached: the base has the gradient of its likelihood alone
    torch.manual_seed(0)
    made = Flow((2,), latent=3)
    batch = SetBatch.from_dense(torch.randn(4, 9, 2, generator=stream("x")) * 2 + 1)
    z = torch.randn(4, 3, generator=stream("z"))
    gradients = []
    for loss in (
        made.loss(batch, z, stream("loss")),
        made.base.negative_log_likelihood(batch, made.base(z)),
    ):
        made.zero_grad()
        loss.sum().backward()
        gradients.append([p.grad.clone() for p in made.base.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)
    assert any(g.any() for g in gradients[0])


def test_images_come_back_as_images():
    made = Flow((1, 4, 4), latent=2)
    assert made.sample(torch.zeros(3, 2), 5, stream("draw")).shape == (3, 5, 1, 4, 4)
    assert np.isfinite(made.sample(torch.zeros(3, 2), 5, stream("draw")).numpy()).all()


def test_matched_noise_of_one_dimension_is_sorted():
    batch = SetBatch.from_dense(torch.randn(3, POOL, 1, generator=stream("x")))
    e = matched(batch, batch.flat, stream("pool")).view(3, POOL)
    u = batch.flat.view(3, POOL)
    for b in range(3):  # as many atoms as points: each gets its own, in the same order
        assert (e[b][u[b].argsort()].diff() > 0).all()


def test_noise_is_matched_inside_one_set_only():
    x = torch.randn(2, 20, 2, generator=stream("x"))
    x[1] += 100
    batch, moved = SetBatch.from_dense(x), SetBatch.from_dense(x + torch.tensor([[[0.0]], [[7]]]))
    one, other = (matched(b, b.flat, stream("pool")).view(2, 20, 2) for b in (batch, moved))
    torch.testing.assert_close(one[0], other[0])
    # a set that is far away still starts from noise about zero
    assert one[1].abs().max() < 6


def test_matched_noise_is_standard_normal_under_the_weights():
    sets = 400
    x = torch.randn(30, 2, generator=stream("x")) * 2 + 1
    w = torch.rand(30, generator=stream("w"))
    w[:5] = 0
    batch = SetBatch.from_list([x] * sets, [w] * sets)
    e = matched(batch, batch.flat, stream("pool"))
    mean, square = batch.mean(e), batch.mean(e.square())
    for found, right in ((mean, 0.0), (square, 1.0)):
        error = found.std(0) / math.sqrt(sets)
        assert ((found.mean(0) - right).abs() / error).max() < 5
    unweighted = e.view(sets, 30, 2)[:, 5:].mean(1)
    assert unweighted.mean(0).abs().max() > 5 * unweighted.std() / math.sqrt(sets), (
        "weights matter: equal ones would have been seen"
    )


def test_the_pool_does_not_grow_with_the_set():
    # an atom in two halves meets the same coupling: promised for any generator
    check_generator(Flow((2,), 3, coupling="ot"), (2,), 3)


def test_straight_paths_are_straight():
    made = flow(Known(lambda x, a: torch.full_like(x, 3.0)), coupling="ot", calls=2)
    e = torch.randn(1, 50, 1, generator=stream("draw")) * base_scale(made)
    x = made.sample(torch.zeros(1, 2), 50, stream("draw"))
    torch.testing.assert_close(x - e, (3 * base_scale(made)).expand(1, 50, 1))


def test_matched_pairs_are_shorter_and_pass_the_truth_on():
    # u ~ N(m, 1): the line between matched points is a translation by m, which the loss knows
    m, sets = 3.0, 50
    batch = SetBatch.from_dense(m + torch.randn(sets, POOL, 1, generator=stream("x")))
    left = {}
    for coupling in ("independent", "ot"):
        made = flow(Known(lambda x, a: torch.full_like(x, m)), coupling=coupling)
        made.base.floor = 0.0
        nll = made.base.negative_log_likelihood(batch, made.base(torch.zeros(sets, 2)))
        gain = made.loss(batch, torch.zeros(sets, 2), stream("loss")) - nll
        left[coupling] = float(gain.mean())
    # |f - v|^2 - |v|^2 = m^2 - 2 m v, with v = m on average; an arc turns by cos and sin instead
    assert left["ot"] == pytest.approx(-(m**2), abs=5 * 2 * m * math.sqrt(2 / (sets * POOL)))
    assert left["independent"] == pytest.approx(m**2 - 2 * m * m * 2 / math.pi, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coupling": "sinkhorn"}, "'independent', 'ot'"),
        ({"backbone": "gnn"}, "no backbone 'gnn'; there are: mlp, unet"),
    ],
)
def test_names_that_are_not_known_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Flow((2,), latent=2, **options)
