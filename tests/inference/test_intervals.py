"""Intervals of distances cover what they are for, at zero, near it and far from it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distembed.geometry.distance import Calibration
from distembed.geometry.relation import Relation
from distembed.inference.calibrated import (
    calibration_band,
    conformal_ratios,
    w2_interval,
)
from distembed.inference.intervals import IntervalSettings, limit_interval, unbiased_squared

SPECTRA = {
    "one": np.ones(1),
    "even": np.ones(8),
    "falling": 4 * 2.0 ** -np.arange(8),
    "spike": np.r_[4, np.full(15, 0.05)],
}
PAIRS = 1500


def known(calibration, ratios):
    """The calibration, with ratios of pairs whose W2 is known."""
    return replace(calibration, ratios=tuple(ratios))


def linear(scale, largest=1e6):
    """A calibration in proportion, without bounds of its own."""
    relation = Relation.linear(scale, largest)
    return Calibration(relation, relation, relation, pairs=200)


def observe(spectrum, delta, toward, seed, pairs=PAIRS):
    """Noisy embeddings of sets at distance delta, with their covariances in turned axes."""
    rng = np.random.default_rng(seed)
    size = len(spectrum)
    turn = np.linalg.qr(rng.normal(size=(size, size)))[0]
    axis = {"loud": np.eye(size)[0], "quiet": np.eye(size)[-1], "all": np.full(size, size**-0.5)}
    half = np.sqrt(spectrum / 2)
    z1, z2 = half * rng.normal(size=(2, pairs, size))
    cov = turn @ np.diag(spectrum / 2) @ turn.T
    covs = np.broadcast_to(cov, (pairs, size, size))
    return (z1 + delta * axis[toward]) @ turn.T, z2 @ turn.T, covs, covs


def scale(spectrum):
    return (2 * (spectrum**2).sum()) ** 0.25


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("factor", [0, 0.7, 3, 20])
@pytest.mark.slow
def test_limit_intervals_cover_the_limit(name, factor):
    spectrum = SPECTRA[name]
    delta = factor * scale(spectrum)
    for toward in ("loud", "quiet") if len(set(spectrum)) > 1 else ("all",):
        found = limit_interval(*observe(spectrum, delta, toward, 7))
        covered = ((found.low <= delta) & (delta <= found.high)).mean()
        error = np.sqrt(0.95 * 0.05 / PAIRS)
        # one term: the saddlepoint takes a tail of 0.025 for 0.028 at most
        assert covered > 0.95 - 4 * error - 0.003
        # exact at zero, and to first order far out; between, uneven noise may cover more
        if factor in (0, 20) or toward == "all":
            assert covered < 0.95 + 4 * error + (0.005 if name == "one" else 0)
        assert (found.low <= found.high).all()
        assert (found.high > 0).all()


@pytest.mark.parametrize("toward", ["loud", "all", "quiet"])
def test_the_worst_direction_covers_all_of_them(toward):
    spectrum = SPECTRA["spike"]
    for factor in (0.5, 1, 2):
        delta = factor * scale(spectrum)
        args = observe(spectrum, delta, toward, 3)
        found = limit_interval(*args, direction="worst")
        covered = (found.low <= delta) & (delta <= found.high)
        assert covered.mean() > 0.95 - 4 * np.sqrt(0.95 * 0.05 / PAIRS)
    assert np.mean(found.high - found.low) > np.mean(np.ptp(ends(limit_interval(*args)), 0))


def ends(interval):
    return np.stack([interval.low, interval.high])


def test_far_out_it_is_the_delta_method():
    z1, z2, v1, v2 = observe(SPECTRA["falling"], 300.0, "all", 1, 50)
    found = limit_interval(z1, z2, v1, v2)
    d = z1 - z2
    length = np.linalg.norm(d, axis=1)
    error = np.sqrt(np.einsum("pi,pij,pj->p", d, v1 + v2, d)) / length
    np.testing.assert_allclose(found.high - found.low, 2 * 1.95996 * error, rtol=0.01)


def test_one_dimension_in_closed_form():
    """One coordinate of known sign: the tails are normal, and the exact integral agrees."""
    v = np.full((3, 1, 1), 0.5)
    d = np.array([[0.2], [1.0], [4.0]])
    found = limit_interval(d, 0 * d, v, v, settings=IntervalSettings(exact=True))

    def misses(delta, d, upper):
        below = stats.ncx2(1, delta**2).cdf(d**2) if delta else stats.chi2(1).cdf(d**2)
        share = 0.025 * delta**2 / (delta**2 + np.sqrt(2))
        return below - share if upper else 0.05 - share - (1 - below)

    for k in range(3):
        x = float(d[k, 0])
        high, low = float(found.high[k]), float(found.low[k])
        assert misses(high, x, True) == pytest.approx(0, abs=1e-4)
        assert low == 0 or misses(low, x, False) == pytest.approx(0, abs=1e-4)
    assert found.low[0] == 0
    assert found.low[2] > 0


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
@settings(max_examples=15, deadline=None)
def test_units_and_axes_do_not_matter(seed, unit):
    z1, z2, v1, v2 = observe(SPECTRA["falling"], 2.0, "all", seed, 5)
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    moved = rng.normal(size=8)
    args = [unit * (z @ turn + moved) for z in (z1, z2)]
    args += [unit**2 * turn.T @ v @ turn for v in (v1, v2)]
    one, two = ends(limit_interval(z1, z2, v1, v2)), ends(limit_interval(*args))
    np.testing.assert_allclose(two, unit * one, rtol=1e-3, atol=1e-4 * unit)
    swapped = ends(limit_interval(z2, z1, v2, v1))
    np.testing.assert_allclose(swapped, one, rtol=1e-3, atol=1e-4)
    wider = ends(limit_interval(z1, z2, v1, v2, 0.99))
    assert (wider[0] <= one[0] + 1e-3).all()
    assert (wider[1] >= one[1] - 1e-3).all()


def test_the_unbiased_square_is_unbiased_and_its_error_true():
    pairs = 20_000
    for delta in (0.0, 3.0):
        z1, z2, v1, v2 = observe(SPECTRA["falling"], delta, "all", 5, pairs)
        found = unbiased_squared(z1, z2, v1, v2)
        spread = found.value.std()
        assert found.value.mean() == pytest.approx(delta**2, abs=4 * spread / pairs**0.5)
        signal = 4 * delta**2 * SPECTRA["falling"].mean()
        exact = signal + 2 * (SPECTRA["falling"] ** 2).sum()
        assert spread**2 == pytest.approx(exact, rel=4 * (12 / pairs) ** 0.5)
    # mu' V mu is estimated, and cut at zero: right on average where the signal is clear
    assert np.mean(found.error**2) >= exact * 0.98
    assert (found.value < 0).any()


def test_missing_and_exact_embeddings():
    z = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
    v = np.zeros((3, 2, 2))
    v[2] = np.nan
    found = limit_interval(z, np.zeros((3, 2)), v, v)
    np.testing.assert_array_equal(found.low, [0, 5, np.nan])
    np.testing.assert_array_equal(found.high, [0, 5, np.nan])
    assert np.isnan(unbiased_squared(z, z, v, v).value).tolist() == [False, False, True]
    w2 = w2_interval(z, 0 * z, v, v, known(linear(2.0), np.ones(99)))
    np.testing.assert_array_equal(w2.high, [0, 10, np.nan])
    # noise in one coordinate only: the other is known
    v = np.diag([1.0, 0.0])[None] / 2
    found = limit_interval([[0.5, 3.0]], [[0.0, 0.0]], v, v)
    assert found.low[0] == pytest.approx(3)
    assert 3.5 < found.high[0] < 5


def test_no_pairs_are_no_error():
    empty = limit_interval(*np.empty((2, 0, 3)), *np.empty((2, 0, 3, 3)))
    assert empty.low.shape == empty.high.shape == (0,)


@pytest.mark.parametrize("n", [39, 100, 777])
def test_conformal_coverage_is_exact(n):
    """The share of a uniform ratio between two order statistics is a Beta variable."""
    rng = np.random.default_rng(n)
    k = int((n + 1) * 0.05 / 2 + 1e-9)
    inside = [np.diff(conformal_ratios(r, 0.95))[0] for r in rng.random((800, n))]
    spread = stats.beta(n + 1 - 2 * k, 2 * k)
    assert np.mean(inside) == pytest.approx(spread.mean(), abs=4 * spread.std() / 800**0.5)
    assert spread.mean() >= 0.95


@pytest.mark.parametrize("delta", [1.0, 4.0, 15.0])
def test_w2_intervals_cover_w2_at_their_level(delta):
    spectrum, pairs = SPECTRA["falling"], 1500
    rng, calibration = np.random.default_rng(2), linear(3.0)
    args = observe(spectrum, delta, "all", 11, pairs)
    ratios = np.exp(0.2 * rng.normal(size=(2, pairs)))
    truth = calibration(delta) * ratios[0]
    found = w2_interval(*args, known(calibration, ratios[1]))
    covered = ((found.low <= truth) & (truth <= found.high)).mean()
    # the order statistics of 1500 ratios move by one standard error too; near zero, where the
    # sampling error is not normal on the scale of logarithms, it may cover more
    error = np.sqrt(2 * 0.95 * 0.05 / pairs)
    assert covered > 0.95 - 4 * error
    assert covered < 0.95 + 4 * error or delta < 4
    # narrower than if half of what may be missed were left to either error
    limit, (least, most) = limit_interval(*args, 0.975), conformal_ratios(ratios[1], 0.975)
    bonferroni = most * calibration(limit.high) - least * calibration(limit.low)
    assert np.median(found.high - found.low) < np.median(bonferroni)


def test_each_error_alone_is_its_own_interval():
    z, v = np.array([[3.0, 4.0]]), np.zeros((1, 2, 2))
    ratios = np.linspace(0.5, 1.5, 199)
    low, high = conformal_ratios(ratios, 0.95)
    found = w2_interval(z, 0 * z, v, v, known(linear(2.0), ratios))
    np.testing.assert_allclose(ends(found)[:, 0], [10 * low, 10 * high], rtol=1e-5)
    args = observe(SPECTRA["falling"], 5.0, "all", 4, 20)
    found, limit = w2_interval(*args, known(linear(2.0), np.ones(99))), limit_interval(*args)
    np.testing.assert_allclose(ends(found), 2 * ends(limit), rtol=1e-6, atol=1e-6)


def test_bounds_of_the_calibration_widen_an_interval():
    args = observe(SPECTRA["falling"], 15.0, "all", 4, 20)
    narrow = known(linear(2.0), np.ones(99))
    wide = replace(narrow, low=Relation.linear(1.5, 1e6), high=Relation.linear(2.2, 1e6))
    one, two = ends(w2_interval(*args, narrow)), ends(w2_interval(*args, wide))
    np.testing.assert_allclose(two, one * [[0.75], [1.1]])
    # without sampling error the bounds are the interval
    z, v = np.array([[3.0, 4.0]]), np.zeros((1, 2, 2))
    np.testing.assert_allclose(ends(w2_interval(z, 0 * z, v, v, wide))[:, 0], [7.5, 11.0])
    np.testing.assert_allclose(calibration_band(wide, [5.0, 10.0]), [[7.5, 15.0], [11.0, 22.0]])


def test_beyond_the_largest_distance_there_is_no_upper_end():
    args = observe(SPECTRA["falling"], 30.0, "all", 4, 20)
    ratios = np.linspace(0.8, 1.2, 199)
    inside = w2_interval(*args, known(linear(2.0), ratios))
    found = w2_interval(*args, known(linear(2.0, largest=10.0), ratios))
    assert np.isinf(found.high).all()
    # no smaller than the least of a pair at the largest distance
    np.testing.assert_allclose(found.low, 20 * conformal_ratios(ratios, 0.95)[0])
    assert (found.low < inside.low).all()
    assert found.warning.startswith("20 of 20 pairs are further apart")
    assert inside.warning == ""


def test_nonsense_is_refused():
    z, v = np.zeros((2, 3)), np.zeros((2, 3, 3))
    with pytest.raises(ValueError, match="no calibration"):
        w2_interval(z, z, v, v, known(Calibration(), np.ones(100)))
    with pytest.raises(ValueError, match=r"38 held-out pairs.*needs 39"):
        conformal_ratios(np.ones(38), 0.95)
    with pytest.raises(ValueError, match="finite and not negative"):
        conformal_ratios([1.0, -1.0], 0.5)
    with pytest.raises(ValueError, match="level is 95"):
        limit_interval(z, z, v, v, 95)
    with pytest.raises(ValueError, match="no direction 'up'"):
        limit_interval(z, z, v, v, direction="up")
    with pytest.raises(ValueError, match=r"expected \(P, L\) twice"):
        limit_interval(z, z[:1], v, v)


def test_ratios_of_zero_leave_an_interval_from_zero():
    """Training pairs whose W2 is zero within its error say nothing against a distance of zero."""
    z, v = np.full((3, 1), [[5.0]]), np.full((3, 1, 1), 0.01)
    some = np.r_[np.zeros(10), np.linspace(0.5, 1.5, 89)]  # 10 of 99: the 2.5 % quantile is zero
    w2 = w2_interval(z, 0 * z, v, v, known(linear(2.0), some))
    np.testing.assert_array_equal(w2.low, 0)
    without = w2_interval(z, 0 * z, v, v, known(linear(2.0), np.sort(some)[10:]))
    assert (without.low > 0).all()
    assert np.isfinite(w2.high).all()
    most = np.r_[np.zeros(60), np.linspace(0.5, 1.5, 39)]  # and here the median is zero too
    w2 = w2_interval(z, 0 * z, v, v, known(linear(2.0), most))
    np.testing.assert_array_equal(w2.low, 0)
    assert np.isfinite(w2.high).all()
    estimate = 2 * np.sqrt(unbiased_squared(z, 0 * z, v, v).value)  # of W2, free of noise
    assert (w2.high >= conformal_ratios(most, 0.95)[1] * estimate).all()


def test_ratios_that_are_all_zero_give_no_interval():
    z, v = np.ones((1, 1)), np.full((1, 1, 1), 0.01)
    with pytest.raises(ValueError, match="zero within its error"):
        w2_interval(z, 0 * z, v, v, known(linear(2.0), np.zeros(99)))
