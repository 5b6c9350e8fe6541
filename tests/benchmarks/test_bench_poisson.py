"""The bench of Poisson zeros, in a size that a test can run, and its closed forms."""

import json
import math

import numpy as np
import pytest
from scipy import integrate, stats

from distembed.benchmarks import poisson
from distembed.benchmarks.poisson import METHODS, RATE, SHAPE, TASKS


@pytest.mark.filterwarnings("ignore:The generator:UserWarning")
def test_the_record(monkeypatch):
    settings = {"steps": 2, "every": 2, "batch": 4, "target": 4, "warmup": 1}
    monkeypatch.setattr(poisson, "CONFIG", poisson.CONFIG.model_copy(update=settings))
    monkeypatch.setattr(poisson, "TRAIN_SETS", 40)
    monkeypatch.setattr(poisson, "TEST_SETS", 2000)
    result = poisson.bench(seeds=1, log=[].append)
    cells = {(r["task"], r["method"], r["metric"]): r["value"] for r in result["rows"]}
    assert all(np.isfinite(value) for value in cells.values())
    for task in TASKS:
        assert cells[task, "bayes", "excess"] == 0
        assert cells[task, "bayes", "mse"] < cells[task, "rao_blackwell", "mse"]
        for method in ("naive", "rao_blackwell"):
            # squared errors of 2000 sets deviate by about twice their mean: 5 * 2 / sqrt(2000)
            expected = cells[task, method, "risk"]
            assert cells[task, method, "mse"] == pytest.approx(expected, rel=0.25)
        for method in ("gde", "gde_poisson", "untrained"):
            assert 0 < cells[task, method, "mse"] < 0.1
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("n", [10, 100])
def test_closed_forms(n):
    def over_prior(f):
        density = stats.gamma(SHAPE, scale=1 / RATE).pdf
        return integrate.quad(lambda rate: f(rate) * density(rate), 0, 60)[0]

    p = np.exp
    risk = poisson.risk(n)
    assert risk["naive"] == pytest.approx(over_prior(lambda r: p(-r) * (1 - p(-r)) / n))
    expected = over_prior(lambda r: p(-2 * r) * (p(r / n) - 1))
    assert risk["rao_blackwell"] == pytest.approx(expected)
    for total in (0, 7):

        def likelihood(r, t=total):
            return p(-n * r) * (n * r) ** t / math.factorial(t)

        mean = over_prior(lambda r: p(-r) * likelihood(r)) / over_prior(likelihood)
        found = METHODS["bayes"](np.array([total]), np.array([0]), n)
        assert float(found[0]) == pytest.approx(mean, rel=1e-5)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"no task 'x'; there are: n10, n100, n1000"):
        poisson.bench(tasks=["x"], log=print)
