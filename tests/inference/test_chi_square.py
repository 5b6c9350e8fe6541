"""Weighted sums of chi-squares against closed forms, in the centre and far in the tails."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import ndtr

from distembed.inference.chi_square.roots import falling_root
from distembed.inference.chi_square.weighted_sum import ChiSquareSum

DIGITS = 1e-11  # relative; the integral has about 1e-13, scipy's tails 1e-12


def problem(seed, rows=6, terms=5):
    rng = np.random.default_rng(seed)
    weights = 10 ** rng.uniform(-3, 1, (rows, terms))
    shifts = rng.normal(0, 2, (rows, terms)) * rng.integers(0, 2, (rows, 1))
    return weights, shifts, rng


@pytest.mark.parametrize("terms", [1, 2, 7, 60])
@pytest.mark.parametrize("square", [0.0, 2.5, 90.0])
def test_equal_weights_are_a_chi_square(terms, square):
    law = stats.ncx2(terms, square) if square else stats.chi2(terms)
    share = np.array([1e-4, 0.1, 0.5, 0.9, 1 - 1e-9, 1 + 1e-9, 1.3, 2.0, 4.0])
    q = share * law.mean()
    found = ChiSquareSum(np.full((len(q), terms), 3.0), np.sqrt(3 * square / terms)).tails(3 * q)
    # scipy's own small tails of a non-central chi-square are differences: compare what it has
    seen = law.cdf(q) > (1e-280 if not square else 1e-12)
    np.testing.assert_allclose(found.below[seen], law.cdf(q)[seen], rtol=DIGITS)
    seen = law.sf(q) > (1e-280 if not square else 1e-10)
    np.testing.assert_allclose(found.above[seen], law.sf(q)[seen], rtol=1e-9)
    np.testing.assert_allclose(found.below + found.above, 1, atol=1e-15)
    assert (found.error < 1e-8).all()


@pytest.mark.parametrize("q", [1e-6, 0.3, 3.0, 8.0, 60.0, 600.0, 1400.0])
def test_pairs_of_equal_weights_are_mixtures_of_exponentials(q):
    a, b = 2.0, 0.7  # sum of two exponentials of means 2a and 2b
    found = ChiSquareSum([[a, a, b, b]]).tails(q)
    above = (a * np.exp(-q / (2 * a)) - b * np.exp(-q / (2 * b))) / (a - b)
    below = -(a * np.expm1(-q / (2 * a)) - b * np.expm1(-q / (2 * b))) / (a - b)
    density = (np.exp(-q / (2 * a)) - np.exp(-q / (2 * b))) / (2 * (a - b))
    np.testing.assert_allclose(found.above, above, rtol=DIGITS)
    # the closed form of a small tail cancels to q^2 / 8 a b
    below = q**2 / (8 * a * b) * (1 - q * (1 / a + 1 / b) / 6) if q < 1e-3 else below
    np.testing.assert_allclose(found.below, below, rtol=DIGITS)
    np.testing.assert_allclose(found.density, density, rtol=1e-9)


def test_the_oscillating_integral_of_imhof_agrees():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        w, b = rng.dirichlet(np.ones(6)), rng.normal(size=6)
        q = float((w * (1 + b**2)).sum() * rng.uniform(0.4, 2))

        def wave(u, w=w, b=b, q=q):
            wu = w * u
            angle = 0.5 * (np.arctan(wu) + b**2 * wu / (1 + wu**2)).sum() - 0.5 * q * u
            size = np.prod((1 + wu**2) ** 0.25) * np.exp(0.5 * ((b * wu) ** 2 / (1 + wu**2)).sum())
            return np.sin(angle) / (u * size)

        value, _ = integrate.quad(wave, 0, np.inf, limit=2000, epsabs=1e-10)
        found = ChiSquareSum(w, np.sqrt(w) * b).above(q)[0]
        # its tail beyond the last subinterval is what quad is not sure of
        assert found == pytest.approx(0.5 + value / np.pi, abs=2e-8)


def test_many_small_weights_tend_to_a_gamma():
    """With one loud pair and a background of n small ones the law is known in the limit."""
    q, gaps = np.array([1.2, 3.0, 9.0]), []
    for n in (100, 1000):
        weights = np.concatenate([np.full(4, 0.5), np.full(n, 1 / n)])
        found = ChiSquareSum(np.tile(weights, (3, 1))).above(q)
        gaps.append(np.abs(found - stats.gamma(2).sf(q - 1)).max())
    assert gaps[1] < gaps[0] / 7  # the variance 2 / n of the background moves it by O(1 / n)
    assert gaps[1] < 2e-3


@given(st.integers(0, 10**6), st.floats(1e-6, 1e6))
@settings(max_examples=15, deadline=None)
def test_a_scale_scales_and_terms_have_no_order(seed, scale):
    weights, shifts, rng = problem(seed)
    law = ChiSquareSum(weights, shifts)
    q = law.mean * rng.uniform(0.1, 4, len(law))
    order = rng.permutation(weights.shape[1])
    other = ChiSquareSum(scale * weights[:, order], np.sqrt(scale) * shifts[:, order])
    one, two = law.tails(q), other.tails(scale * q)
    np.testing.assert_allclose(two.below, one.below, rtol=1e-9)
    np.testing.assert_allclose(two.above, one.above, rtol=1e-9)
    np.testing.assert_allclose(two.density * scale, one.density, rtol=1e-9)
    np.testing.assert_allclose(other.score(scale * q), law.score(q), atol=1e-6)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_tails_rise_and_fall_and_scores_with_them(seed):
    weights, shifts, _ = problem(seed, 1)
    grid = np.geomspace(1e-4, 30, 120) * ChiSquareSum(weights, shifts).mean
    law = ChiSquareSum(np.tile(weights, (120, 1)), np.tile(shifts, (120, 1)))
    found = law.tails(grid)
    assert (np.diff(found.below) >= -1e-12).all()
    assert (np.diff(found.above) <= 1e-12).all()
    assert (np.diff(law.score(grid)) > 0).all()
    # the density is the slope; Richardson's rule cancels the error in h^2 of differences
    h = 1e-3 * np.minimum(grid, np.sqrt(law.variance))
    wide, narrow = ((law.below(grid + k) - law.below(grid - k)) / (2 * k) for k in (2 * h, h))
    slope = (4 * narrow - wide) / 3
    bulk = (found.below > 1e-3) & (found.above > 1e-3)
    np.testing.assert_allclose(found.density[bulk], slope[bulk], rtol=1e-6)


def test_moments_are_those_of_the_cumulant_function():
    weights, shifts, _ = problem(3)
    law = ChiSquareSum(weights, shifts)
    for order, known in ((1, 1.0), (2, 2.0), (3, 8.0), (4, 48.0)):
        central = known * (weights**order).sum(1)
        shifted = known * order * (weights ** (order - 1) * shifts**2).sum(1)
        np.testing.assert_allclose(law.cumulant(order), central + shifted)
    kind = stats.ncx2(5, 5 * 0.49).stats(moments="mvs")
    one = ChiSquareSum(np.ones((1, 5)), 0.7)
    found = [one.mean, one.variance, one.cumulant(3) / one.variance**1.5]
    np.testing.assert_allclose(np.ravel(found), kind)


@pytest.mark.parametrize("p", [1e-12, 1e-3, 0.4, 0.5, 0.9])
@pytest.mark.parametrize("upper", [False, True])
def test_quantiles_invert_both_tails(p, upper):
    weights, shifts, _ = problem(5, terms=3)
    law = ChiSquareSum(weights, shifts)
    found = law.tails(law.quantile(p, upper))
    np.testing.assert_allclose(found.above if upper else found.below, p, rtol=1e-9)
    single = ChiSquareSum([[2.0]]).quantile(p, upper)
    known = stats.chi2(1).isf(p) if upper else stats.chi2(1).ppf(p)
    np.testing.assert_allclose(single, 2 * known, rtol=1e-9)


@pytest.mark.parametrize(("terms", "most"), [(1, 8e-3), (5, 2e-3), (30, 1e-4)])
def test_the_saddlepoint_errs_no_more_than_it_says(terms, most):
    q = np.geomspace(1e-6, 40, 200) * terms
    law = ChiSquareSum(np.ones((200, terms)))
    found, known = ndtr(law.score(q)), stats.chi2(terms).cdf(q)
    assert 0 < np.abs(found - known).max() < most
    small = known < 0.5
    ratio = np.where(small, found, ndtr(-law.score(q))) / np.where(small, known, law.above(q))
    assert np.abs(ratio - 1).max() < 0.12
    # at the mean another formula serves: no step there
    left, mean, right = ChiSquareSum(np.ones((3, terms))).score(np.array([0.99, 1, 1.01]) * terms)
    assert mean == pytest.approx((left + right) / 2, abs=1e-3)
    np.testing.assert_allclose(law.score(q, exact=True)[50:150], stats.norm.ppf(known)[50:150])


def test_terms_without_noise_shift_and_missing_ones_are_missing():
    law = ChiSquareSum([[1.0, 1.0, 0.0]] * 3, [[0.0, 0.0, 2.0]] * 3)
    found = law.tails([3.0, 4.0, 6.0])
    np.testing.assert_allclose(found.below, [0, 0, -np.expm1(-1)], rtol=1e-12)
    np.testing.assert_allclose(law.quantile(0.3), 4 - 2 * np.log(0.7))
    still = ChiSquareSum([[0.0]] * 2, [[2.0]] * 2)
    assert still.below([3.9, 4.0]).tolist() == [0, 1]
    assert still.quantile(0.2).tolist() == [4, 4]
    gone = ChiSquareSum([[np.nan, 1.0], [1.0, 1.0]])
    assert np.isnan(gone.below(1.0)).tolist() == [True, False]
    assert np.isnan(gone.score(1.0)).tolist() == [True, False]
    assert np.isnan(gone.quantile(0.5)).tolist() == [True, False]


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="weights are variances"):
        ChiSquareSum([[-1.0, 1.0]])
    with pytest.raises(ValueError, match="strictly between"):
        ChiSquareSum([[1.0]]).quantile(0.0)
    with pytest.raises(ValueError, match=r"expected \(P, K\)"):
        ChiSquareSum(np.ones((2, 2, 2)))


@given(st.floats(0.1, 3), st.floats(0, 50))
@settings(max_examples=30, deadline=None)
def test_roots_of_falling_functions(power, goal):
    low, high = np.zeros(3), np.array([100.0, 100.0, 1.0])
    found = falling_root(lambda x, rows: goal**power - x**power, low, high, 1e-9)
    np.testing.assert_allclose(found, np.minimum(goal, high), atol=1e-6)
