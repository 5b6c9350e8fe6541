"""When a sampler counts as arrived, and the velocity that one race is run on."""

import math

import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from distembed.benchmarks import solvers
from distembed.benchmarks.solvers import MODES, WIDTH, Curve, Reached, ring_velocity
from distembed.rng import stream


def test_the_first_calls_from_which_on_the_error_stays_low():
    # within 10 % of 1.0 by luck at 2 calls, then again and for good from 8 on
    errors = {2: 1.05, 4: 1.5, 8: 1.08, 16: 1.01, 400: 1.0}
    curve = Curve.of(lambda calls: (errors[calls], calls / 10), tuple(errors))
    assert curve.reach(curve.errors[-1]) == Reached(8, 0.8)
    assert curve.reach(1.4) == Reached(2, 0.2)
    assert curve.reach(0.92) == Reached(16, 1.6)
    assert curve.reach(0.5) is None


def test_the_velocity_on_a_ring_follows_from_the_density():
    # Tweedie: the expected noise is -cos(theta) times the score, and both ends add up to u
    turn = 2 * math.pi * torch.arange(MODES, dtype=torch.float64) / MODES
    radius = math.sqrt(2 * (1 - WIDTH**2))
    mean = radius * torch.stack([turn.cos(), turn.sin()], 1)
    for t in (0.2, 0.5, 0.9):
        sin, cos = math.sin(math.pi / 2 * t), math.cos(math.pi / 2 * t)
        deviation = math.sqrt(cos**2 + (WIDTH * sin) ** 2)
        parts = Independent(Normal(sin * mean, torch.full_like(mean, deviation)), 1)
        density = MixtureSameFamily(Categorical(torch.ones(MODES, dtype=torch.float64)), parts)
        u = torch.randn(50, 2, generator=stream("u"), dtype=torch.float64).requires_grad_()
        (score,) = torch.autograd.grad(density.log_prob(u).sum(), u)
        noise = -cos * score
        clean = (u - cos * noise) / sin
        wanted = (cos * clean - sin * noise).detach()
        found = ring_velocity(u.detach(), torch.tensor(t, dtype=torch.float64))
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_the_ring_is_standardised_and_races_are_complete(monkeypatch):
    x = solvers._on_ring(torch.randn(20_000, 2, generator=stream("e")), stream("modes"))
    # squares of standard numbers have variance 2 at most: five standard errors of their mean
    off = x.T @ x / len(x) - torch.eye(2)
    assert off.abs().max() < 5 * math.sqrt(2 / len(x))
    monkeypatch.setattr(solvers, "DRAWN", 300)
    rows = {(m, k): v for m, k, v in solvers.race_on_a_ring(True, 0)}
    assert {m for m, _ in rows} == {"floor", *solvers.SAMPLERS}
    assert rows["heun", "long_run_error"] < 1.3 * rows["floor", "long_run_error"]
    assert rows["ancestral", "fewer_calls"] >= 1
