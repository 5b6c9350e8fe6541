"""When a sampler counts as arrived, and the exact velocity of a ring."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from distembed.benchmarks.samplers import Arrival, Curve, Ring
from distembed.generators.samplers import SAMPLERS
from distembed.rng import stream

RING = Ring()


def test_the_first_calls_from_which_on_the_error_stays_low():
    # within 10 % of 1.0 by luck at 2 calls, then again and for good from 8 on
    errors = {2: 1.05, 4: 1.5, 8: 1.08, 16: 1.01, 400: 1.0}
    curve = Curve.of(lambda calls: (errors[calls], calls / 10), tuple(errors))
    assert curve.reach(curve.errors[-1]) == Arrival(8, 0.8)
    assert curve.reach(1.4) == Arrival(2, 0.2)
    assert curve.reach(0.92) == Arrival(16, 1.6)
    assert curve.reach(0.5) is None


def test_the_velocity_on_a_ring_follows_from_the_density():
    # Tweedie: the expected noise is -cos(theta) times the score, and both ends add up to u
    turn = 2 * math.pi * torch.arange(RING.modes, dtype=torch.float64) / RING.modes
    radius = math.sqrt(2 * (1 - RING.width**2))
    mean = radius * torch.stack([turn.cos(), turn.sin()], 1)
    for t in (0.2, 0.5, 0.9):
        sin, cos = math.sin(math.pi / 2 * t), math.cos(math.pi / 2 * t)
        deviation = math.sqrt(cos**2 + (RING.width * sin) ** 2)
        parts = Independent(Normal(sin * mean, torch.full_like(mean, deviation)), 1)
        weights = Categorical(torch.ones(RING.modes, dtype=torch.float64))
        density = MixtureSameFamily(weights, parts)
        u = torch.randn(50, 2, generator=stream("u"), dtype=torch.float64).requires_grad_()
        (score,) = torch.autograd.grad(density.log_prob(u).sum(), u)
        noise = -cos * score
        clean = (u - cos * noise) / sin
        expected = (cos * clean - sin * noise).detach()
        velocity = RING.velocity(u.detach(), torch.tensor(t, dtype=torch.float64))
        torch.testing.assert_close(velocity, expected, rtol=1e-9, atol=1e-9)


def test_the_ring_is_standardised():
    x = RING.atoms(torch.randn(20_000, 2, generator=stream("e")), stream("modes"))
    # squares of standard numbers have variance 2 at most: five standard errors of their mean
    off = x.T @ x / len(x) - torch.eye(2)
    assert off.abs().max() < 5 * math.sqrt(2 / len(x))


@pytest.mark.slow
def test_the_rows(cells):
    values = cells("samplers")
    exact = {(m, k): v for (t, m, k), v in values.items() if t == "exact velocity"}
    assert {m for m, _ in exact} == {"floor", *SAMPLERS}
    # 300 atoms, 16 calls: the exact flow is nearly there
    assert exact["heun", "long_run_error"] < 1.5 * exact["floor", "long_run_error"]
    assert exact["ancestral", "fewer_calls"] >= 1
    trained = {m for t, m, _ in values if t == "trained networks"}
    assert trained == {"gde", "floor", *(f"diffusion_{name}" for name in SAMPLERS)}
