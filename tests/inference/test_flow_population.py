"""A population whose model is a flow: a curve, calibrated p-values, and what is refused."""

import numpy as np
import pytest

from distembed.inference.population.density import Population
from distembed.inference.population.flow import FlowPopulation, FlowSettings
from distembed.inference.population.selection import PopulationSettings

pytest.importorskip("zuko")


def crescent(count, random):
    """A parabola in the plane with noise of a fifth across it."""
    x = random.standard_normal(count)
    return np.stack([x, x**2 + 0.2 * random.standard_normal(count)], 1)


@pytest.fixture(scope="module")
def fitted():
    return FlowPopulation.from_embeddings(
        crescent(300, np.random.default_rng(0)), settings=FlowSettings(folds=3)
    )


@pytest.mark.slow
def test_a_density_integrates_to_one(fitted):
    x, y = np.meshgrid(np.linspace(-7, 7, 281), np.linspace(-4, 30, 681))
    density = np.exp(fitted.log_density(np.stack([x.ravel(), y.ravel()], 1)))
    assert density.sum() * 0.05 * 0.05 == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_held_out_sets_are_likelier_than_under_a_gaussian(fitted):
    new = crescent(1000, np.random.default_rng(1))
    gaussian = Population.from_embeddings(
        crescent(300, np.random.default_rng(0)), settings=PopulationSettings(components=1)
    )
    assert fitted.log_density(new).mean() > gaussian.log_density(new).mean() + 0.3


@pytest.mark.slow
def test_scores_of_new_sets_are_uniform(fitted):
    p = fitted.unusual(crescent(1000, np.random.default_rng(2)))
    for alpha in (0.05, 0.2, 0.5):
        # the 300 sets of the calibration move it as 1000 new ones do, and more
        error = (alpha * (1 - alpha) * (1 / 300 + 1 / 1000)) ** 0.5
        assert (p <= alpha).mean() == pytest.approx(alpha, abs=4 * error)


@pytest.mark.slow
def test_the_hollow_of_the_curve_is_unusual(fitted):
    assert fitted.unusual([[0.0, 2.5]])[0] < 0.02
    assert fitted.unusual([[1.0, 1.0]])[0] > 0.1


@pytest.mark.slow
def test_draws_are_like_the_sets_and_a_function_of_the_seed(fitted):
    drawn = fitted.sample(4000, 1)
    assert (drawn == fitted.sample(4000, 1)).all()
    across = drawn[:, 1] - drawn[:, 0] ** 2
    assert abs(np.median(across)) < 0.15
    assert np.median(np.abs(across)) < 0.5  # a Gaussian with these moments has 0.9


@pytest.mark.slow
def test_units_change_nothing_but_the_density():
    z = crescent(60, np.random.default_rng(3))
    factor = np.array([8.0, 0.5])  # no rounding, which training would make much of
    one, other = (
        FlowPopulation.from_embeddings(x, settings=FlowSettings(folds=2, steps=25))
        for x in (z, z * factor)
    )
    np.testing.assert_allclose(other.unusual(z * factor), one.unusual(z), atol=0.03)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="use Population"):
        FlowPopulation.from_embeddings(np.zeros((20, 2)))
    with pytest.raises(ValueError, match="NaN"):
        FlowPopulation.from_embeddings(np.full((80, 2), np.nan))
    with pytest.raises(ValueError, match="folds = 1"):
        FlowPopulation.from_embeddings(
            np.random.default_rng(0).normal(size=(80, 2)), settings=FlowSettings(folds=1)
        )


def test_no_fold_has_seen_its_own_sets():
    z = crescent(60, np.random.default_rng(4))
    population = FlowPopulation.from_embeddings(z, settings=FlowSettings(folds=3, steps=2))
    assert sum(map(len, population.scores)) == len(z)
    for density in population.folds:
        assert not np.allclose(density.centre, z.mean(0), atol=1e-6)
    np.testing.assert_allclose(population.density.centre, z.mean(0))
