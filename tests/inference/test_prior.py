"""The posterior of embeddings under a Gaussian prior, against formulas and simulations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.geometry.distance import latent_distances
from distembed.inference.prior import GaussianPrior, PriorSettings, expected_distances

L = 3


def random_covariance(random, count=None, d=L):
    a = random.normal(size=(*([] if count is None else [count]), d, 2 * d))
    return a @ np.swapaxes(a, -1, -2) / (2 * d)


def problem(seed, sets=5):
    random = np.random.default_rng(seed)
    prior = GaussianPrior(
        random.normal(size=L), random_covariance(random), random_covariance(random)
    )
    sizes = random.integers(2, 300, sets).astype(float)
    z = random.multivariate_normal(prior.mean, prior.cov, sets)
    return prior, z, random_covariance(random, sets) / sizes[:, None, None], sizes


def of_formula(prior, z, cov, sizes):
    """Posterior moments axis by axis, for sets of the population."""
    variances, axes = np.linalg.eigh(prior.cov)
    means, sums = [], []
    for x, own, m in zip(z, cov, sizes, strict=True):
        v = (m * own + (L + 2) * prior.noise / m) / (m + L + 2)
        mean, total = prior.mean.copy(), 0.0
        for s, axis in zip(variances, axes.T, strict=True):
            noise = axis @ v @ axis
            mean += s / (s + noise) * (axis @ (x - prior.mean)) * axis
            total += s * noise / (s + noise)
        means.append(mean)
        sums.append(total)
    return np.stack(means), np.array(sums)


@given(st.integers(0, 10**6))
def test_posterior_of_sets_of_the_population(seed):
    prior, z, cov, sizes = problem(seed)
    posterior = prior.posterior(z, cov, sizes)
    inside = posterior.inflation == 1
    mean, variance = of_formula(prior, z, cov, sizes)
    np.testing.assert_allclose(posterior.mean[inside], mean[inside], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(posterior.variance[inside], variance[inside], rtol=1e-8)


@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_no_unit_and_no_basis_matters(seed, unit):
    prior, z, cov, sizes = problem(seed)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(L, L)))[0] * unit
    moved = GaussianPrior(
        turn @ prior.mean, turn @ prior.cov @ turn.T, turn @ prior.noise @ turn.T
    )
    plain, other = (
        prior.posterior(z, cov, sizes),
        moved.posterior(z @ turn.T, turn @ cov @ turn.T, sizes),
    )
    np.testing.assert_allclose(other.mean, plain.mean @ turn.T, rtol=1e-6, atol=1e-8 * unit)
    np.testing.assert_allclose(other.variance, plain.variance * unit**2, rtol=1e-6)
    assert (other.inflation == plain.inflation).all()


def test_without_noise_nothing_moves():
    prior, z, _, sizes = problem(0)
    exact = GaussianPrior(prior.mean, prior.cov, np.zeros((L, L)))
    posterior = exact.posterior(z, np.zeros((len(z), L, L)), sizes)
    np.testing.assert_allclose(posterior.mean, z, rtol=1e-12)
    assert not posterior.variance.any()


def test_more_atoms_are_more_certain():
    prior, z, _, _ = problem(1, sets=1)
    sizes = np.array([1.0, 4.0, 16.0, 1e4, 1e8])
    missing = np.full((5, L, L), np.nan)
    posterior = prior.posterior(np.repeat(z, 5, 0), missing, sizes)
    assert (np.diff(posterior.variance) < 0).all()
    np.testing.assert_allclose(posterior.mean[-1], z[0], rtol=1e-6)


@pytest.mark.parametrize("direction", [[1.0, 0.0], [0.0, 1.0]])
def test_a_set_outside_the_population_is_hardly_moved(direction):
    """Training sets vary along the first axis only; the prior does not deny the second."""
    z = np.stack([np.linspace(-1, 1, 200), np.zeros(200)], 1)
    prior = GaussianPrior.from_embeddings(z, np.full(200, 100.0), np.eye(2) / 10)
    for distance in (30.0, 1e3, 1e5):
        far = distance * np.array([direction])
        posterior = prior.posterior(far, np.full((1, 2, 2), np.nan), [10.0])
        assert posterior.inflation[0] > 1
        np.testing.assert_allclose(posterior.mean, far, rtol=0.02)


def test_moments_of_noisy_embeddings():
    """S and mu are recovered, and expected squared distances are right on average."""
    random = np.random.default_rng(0)
    sets = 4000
    truth = GaussianPrior(random.normal(size=L), random_covariance(random), np.eye(L))
    sizes = random.choice([2.0, 5.0, 50.0], sets)
    zeta = random.multivariate_normal(truth.mean, truth.cov, sets)
    z = zeta + random.normal(size=(sets, L)) / np.sqrt(sizes)[:, None]
    prior = GaussianPrior.from_embeddings(z, sizes, truth.noise)
    total = truth.cov + np.eye(L) * np.mean(1 / sizes)
    # the variance of an entry of a sample covariance of normal vectors; five standard errors
    error = 5 * np.sqrt((np.outer(np.diag(total), np.diag(total)) + total**2) / sets)
    assert (np.abs(prior.cov - truth.cov) < error).all()
    cov = np.broadcast_to(np.eye(L), (sets, L, L)) / sizes[:, None, None]
    posterior = prior.posterior(z, cov, sizes)
    assert (posterior.inflation > 1).mean() < 0.01
    half = sets // 2
    for m in (2.0, 5.0, 50.0):
        some = np.flatnonzero((sizes[:half] == m) & (sizes[half:] == m))
        true = np.square(zeta[some] - zeta[some + half]).sum(1)
        expected = np.square(posterior.mean[some] - posterior.mean[some + half]).sum(1)
        expected += posterior.variance[some] + posterior.variance[some + half]
        gap = expected - true
        assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(len(some)) + 0.02 * true.mean()
        unbiased = np.square(z[some] - z[some + half]).sum(1) - 2 * L / m
        assert gap.std() < (unbiased - true).std()


def test_expected_distances_add_variances():
    random = np.random.default_rng(2)
    a, b = random.normal(size=(4, L)), random.normal(size=(3, L))
    t, u = random.uniform(size=4), random.uniform(size=3)
    d = latent_distances(a, b)
    expected = d**2 + t[:, None] + u
    expected_distances(d, t, u)
    np.testing.assert_allclose(d**2, expected)


@pytest.mark.parametrize(
    ("z", "noise", "message"),
    [
        (np.eye(2), np.full((2, 2), np.nan), "could not be estimated"),
        (np.ones((5, 2)), np.eye(2), "no further apart"),
    ],
)
def test_what_cannot_be_fitted_is_named(z, noise, message):
    with pytest.raises(ValueError, match=message):
        GaussianPrior.from_embeddings(z, np.ones(len(z)), noise, PriorSettings())


@pytest.mark.parametrize(("deviations", "outside"), [(3.0, False), (4.0, False), (6.0, True)])
def test_it_takes_much_to_count_as_outside(deviations, outside):
    """The evidence of four deviations is e^6: heavy tails of few atoms have as much."""
    prior = GaussianPrior(np.zeros(1), np.eye(1), np.zeros((1, 1)))
    rare = PriorSettings(outside=1e-4)
    posterior = prior.posterior([[deviations]], np.zeros((1, 1, 1)), [10.0], rare)
    assert (posterior.inflation[0] > 1) == outside
    often = prior.posterior([[4.0]], np.zeros((1, 1, 1)), [10.0])
    assert often.inflation[0] > 1
