"""The population of sets: laws of the mixture, calibrated p-values, what is flagged."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from distembed.inference.population.density import Population
from distembed.inference.population.mixture import Mixture, Prior
from distembed.inference.population.selection import PopulationSettings


def components(count):
    return PopulationSettings(components=count)


def clumps(n, latent, random, gap=2.0):
    z = 0.4 * random.standard_normal((n, latent))
    z[:, 0] += gap * random.choice([-1, 1], n)
    return z


def noises(n, latent, random):
    factor = random.standard_normal((n, latent, latent))
    return factor @ factor.transpose(0, 2, 1) * random.choice([0.02, 1.0], n)[:, None, None]


def example(random, components=3, latent=2):
    means = random.standard_normal((components, latent))
    weights = random.dirichlet(np.ones(components))
    return Mixture(weights, means, noises(components, latent, random) + 0.1 * np.eye(latent))


def test_density_overlap_and_draws_in_closed_form():
    random = np.random.default_rng(0)
    mixture, noise = example(random), noises(7, 2, random)
    z = random.standard_normal((7, 2))

    def exact(point, c):
        parts = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
        return np.log(sum(w * multivariate_normal(m, v + c).pdf(point) for w, m, v in parts))

    expected = [exact(point, c) for point, c in zip(z, noise, strict=True)]
    np.testing.assert_allclose(mixture.log_density(z, noise), expected)
    np.testing.assert_allclose(mixture.log_density(z), [exact(point, 0) for point in z])
    drawn = mixture.sample(40_000, random)
    one = noise[:1]
    observed = drawn + random.multivariate_normal(np.zeros(2), one[0], len(drawn))
    for points, blur in ((drawn, None), (observed, one)):
        density = np.exp(mixture.log_density(points, blur))
        error = density.std() / math.sqrt(len(density))
        assert abs(density.mean() - np.exp(mixture.log_overlap(blur)[0])) < 4 * error


@pytest.mark.parametrize("noisy", [False, True])
def test_every_step_raises_the_objective(noisy):
    random = np.random.default_rng(1)
    z, mixture = clumps(60, 2, random), example(random)
    noise = noises(60, 2, random) if noisy else None
    prior = Prior(4, np.array([0.3, 0.6]))
    values = []
    for _ in range(30):
        values.append(mixture.log_density(z, noise).sum() + prior.log_density(mixture))
        mixture = prior.step(mixture, z, *mixture._joint(z, noise))
    assert (np.diff(values) > -1e-9).all()
    assert values[-1] > values[0] + 1
    assert mixture.weights.sum() == pytest.approx(1)


def test_one_gaussian_without_noise_is_the_shrunk_moments():
    random = np.random.default_rng(2)
    z = random.standard_normal((50, 3)) * [1, 2, 3]
    mixture = Mixture.fit(z, 1, None, random)
    cov = np.cov(z.T, bias=True)
    np.testing.assert_allclose(mixture.means[0], z.mean(0), atol=1e-12)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(mixture.covariances[0][off], (cov * 50 / 55)[off])
    np.testing.assert_allclose(mixture.covariances[0].diagonal(), z.var(0), rtol=0.01)


def test_noise_is_taken_out():
    random = np.random.default_rng(3)
    truth = clumps(400, 2, random)
    variance = random.choice([0.01, 0.5], 400)
    observed = truth + np.sqrt(variance)[:, None] * random.standard_normal((400, 2))
    noise = np.eye(2) * variance[:, None, None]
    denoised = Population.from_embeddings(observed, settings=components(2), noise=noise)
    blind = Population.from_embeddings(observed, settings=components(2))

    def spread(population):
        cov = population.mixture.covariances * np.outer(population.scale, population.scale)
        return cov.diagonal(axis1=1, axis2=2).mean()

    assert spread(blind) > 0.36
    assert spread(denoised) == pytest.approx(0.16, rel=0.15)


@pytest.mark.parametrize(("sets", "latent"), [(40, 6), (120, 2)])
@pytest.mark.slow
def test_p_values_of_held_out_sets_are_uniform(sets, latent):
    fits = 9
    random = np.random.default_rng(4)
    p = np.stack([
        Population.from_embeddings(
            clumps(sets, latent, random), settings=components(2), rng=s
        ).unusual(clumps(200, latent, random))
        for s in range(fits)
    ])  # fmt: skip
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        shares = (p <= level).mean(1)  # sets of one fit are not independent
        error = shares.std(ddof=1) / math.sqrt(fits)
        assert abs(shares.mean() - level) < 4 * error + 1 / (sets + 1)


def test_p_values_with_noise_do_not_depend_on_the_noise():
    """Small sets are not unusual for being small, nor large ones usual for being large."""
    random = np.random.default_rng(5)

    def draw(n):
        variance = random.choice([0.01, 2.0], n)
        z = clumps(n, 2, random) + np.sqrt(variance)[:, None] * random.standard_normal((n, 2))
        return z, np.eye(2) * variance[:, None, None]

    shares = []
    for s in range(5):
        z, noise = draw(150)
        population = Population.from_embeddings(z, settings=components(2), noise=noise, rng=s)
        z, noise = draw(400)
        low = population.unusual(z, noise) <= 0.1
        small = noise[:, 0, 0] > 1
        shares.append([low[small].mean(), low[~small].mean()])
    np.testing.assert_allclose(np.mean(shares, 0), 0.1, atol=0.04)


def test_flags_another_family_and_the_gap_between_clumps():
    random = np.random.default_rng(6)
    z = clumps(200, 3, random)
    population = Population.from_embeddings(z)
    assert len(population.mixture.weights) >= 2
    single = Population.from_embeddings(z, settings=components(1))
    gap = np.zeros((1, 3))
    assert population.unusual(gap)[0] < 0.02
    assert single.unusual(gap)[0] > 0.5
    other = clumps(100, 3, random)
    other[:, 2] += 3
    assert np.mean(population.unusual(other) <= 0.05) > 0.9


def test_chooses_one_component_for_one_gaussian():
    random = np.random.default_rng(7)
    z = random.standard_normal((100, 4)) @ random.standard_normal((4, 4))
    population = Population.from_embeddings(z)
    assert len(population.mixture.weights) == 1
    assert set(population.held_out) >= {1, 2, 3}


def test_units_change_nothing_but_the_density():
    random = np.random.default_rng(8)
    z, new, factor = clumps(60, 2, random), clumps(20, 2, random), np.array([10.0, 0.5])
    one, other = (
        Population.from_embeddings(x, settings=components(2)) for x in (z, z * factor + 5)
    )
    np.testing.assert_allclose(other.unusual(new * factor + 5), one.unusual(new))
    np.testing.assert_allclose(
        other.log_density(new * factor + 5), one.log_density(new) - math.log(5), rtol=1e-6
    )


def test_draws_are_like_the_sets():
    random = np.random.default_rng(9)
    z = clumps(500, 2, random)
    population = Population.from_embeddings(z)
    drawn = population.sample(4000, 1)
    np.testing.assert_array_equal(drawn, population.sample(4000, 1))
    assert not np.array_equal(drawn[:5], population.sample(5, torch.Generator().manual_seed(2)))
    np.testing.assert_allclose(drawn.mean(0), z.mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(z.T), atol=0.15)
    assert np.mean(np.abs(drawn[:, 0]) < 0.5) < 0.01


def test_round_trip_through_its_state_is_exact():
    random = np.random.default_rng(10)
    population = Population.from_embeddings(clumps(40, 2, random))
    back = Population.from_state(*population.state())
    z = clumps(10, 2, random)
    np.testing.assert_array_equal(back.unusual(z), population.unusual(z))
    np.testing.assert_array_equal(back.log_density(z), population.log_density(z))
    np.testing.assert_array_equal(back.sample(5, 0), population.sample(5, 0))
    assert back.held_out == population.held_out


def test_a_constant_coordinate_and_copies_are_survived():
    z = np.repeat(np.random.default_rng(11).standard_normal((10, 2)), 4, 0)
    z[:, 1] = 3.0
    population = Population.from_embeddings(z)
    assert np.isfinite(population.log_density(z)).all()
    assert population.unusual([[0.0, 4.0]])[0] == pytest.approx(1 / 41)


def test_refusals():
    z = np.random.default_rng(0).standard_normal((30, 2))
    with pytest.raises(ValueError, match="too few for a population"):
        Population.from_embeddings(z[:19])
    with pytest.raises(ValueError, match="one embedding"):
        Population.from_embeddings(np.ones((30, 2)))
    with pytest.raises(ValueError, match="NaN"):
        Population.from_embeddings(np.full((30, 2), np.nan))
    with pytest.raises(ValueError, match="components = 0"):
        Population.from_embeddings(z, settings=components(0))
    with pytest.raises(ValueError, match="folds"):
        Population.from_embeddings(z, settings=PopulationSettings(folds=1))
    with pytest.raises(ValueError, match="one covariance a set"):
        Population.from_embeddings(z, noise=np.eye(2))
    with pytest.raises(ValueError, match="single atom"):
        Population.from_embeddings(z, noise=np.full((30, 2, 2), np.nan))
    population = Population.from_embeddings(z)
    with pytest.raises(ValueError, match="expected"):
        population.unusual(np.zeros((2, 3)))
