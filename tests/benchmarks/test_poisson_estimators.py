"""Estimators of P(X = 0) and their risks, against integrals over the prior."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from distembed.benchmarks.poisson import GammaPrior


@pytest.mark.slow
def test_errors_of_estimators_are_their_risks(cells):
    values = cells("poisson")
    for task in ("gamma_m10", "gamma_m100", "gamma_m1000"):
        assert values[task, "bayes", "excess"] == 0
        assert values[task, "bayes", "mse"] < values[task, "rao_blackwell", "mse"]
        for method in ("naive", "rao_blackwell"):
            # squared errors of 800 sets deviate by about twice their mean: 5 * 2 / sqrt(800)
            risk = values[task, method, "risk"]
            assert values[task, method, "mse"] == pytest.approx(risk, rel=0.36)
        for method in ("gde", "gde_poisson", "untrained"):
            assert 0 < values[task, method, "mse"] < 0.1


@pytest.mark.parametrize("m", [10, 100])
def test_closed_forms(m):
    prior = GammaPrior()

    def over_prior(f):
        density = stats.gamma(prior.shape, scale=1 / prior.rate).pdf
        return integrate.quad(lambda rate: f(rate) * density(rate), 0, 60)[0]

    p = np.exp
    risk = prior.risk(m)
    assert risk["naive"] == pytest.approx(over_prior(lambda r: p(-r) * (1 - p(-r)) / m))
    expected = over_prior(lambda r: p(-2 * r) * (p(r / m) - 1))
    assert risk["rao_blackwell"] == pytest.approx(expected)
    for total in (0, 7):

        def likelihood(r, t=total):
            return p(-m * r) * (m * r) ** t / math.factorial(t)

        mean = over_prior(lambda r: p(-r) * likelihood(r)) / over_prior(likelihood)
        bayes = prior.estimators(m)["bayes"](np.array([total]), np.array([0]))
        assert float(bayes[0]) == pytest.approx(mean, rel=1e-5)
