"""Conformal quantiles: exact coverage over permutations, of sets and of groups."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.heads.conformal import conformal_quantile
from distembed.heads.estimators import SetRegressor

LEVELS = st.sampled_from([0.5, 0.6, 0.75, 0.8, 0.9, 2 / 3])


@pytest.mark.parametrize("level", [0.5, 0.6, 2 / 3, 0.8])
def test_coverage_over_all_orders_is_the_next_possible_share(level):
    scores = [0.3, 1.0, 2.5, 4.0, 7.0]
    orders = list(permutations(scores))
    hits = sum(last <= conformal_quantile(rest, level) for *rest, last in orders)
    # ceil(level (K + 1)) of the K + 1 ranks are covered
    assert hits * 5 == np.ceil(level * 5 - 1e-12) * len(orders)


@given(LEVELS, st.lists(st.integers(1, 4), min_size=3, max_size=7), st.integers(0, 2**32 - 1))
def test_groups_are_covered_with_the_level_when_each_in_turn_is_new(level, sizes, seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    scores = rng.normal(size=len(sizes))[groups] + rng.normal(size=len(groups))
    # the groups are exchangeable, and so each is the new one equally often
    shares = []
    for k in range(len(sizes)):
        q = conformal_quantile(scores[groups != k], level, groups[groups != k])
        shares.append((scores[groups == k] <= q).mean())
    assert np.mean(shares) >= level - 1e-9


@given(LEVELS, st.lists(st.floats(0, 10), min_size=1, max_size=20), st.randoms())
def test_order_and_scale(level, scores, random):
    q = conformal_quantile(scores, level)
    shuffled = random.sample(scores, len(scores))
    assert conformal_quantile(shuffled, level) == q
    assert conformal_quantile([2 * s for s in scores], level) == 2 * q
    assert conformal_quantile(scores, level, np.arange(len(scores))) == q


def test_too_few_groups_have_no_end():
    assert conformal_quantile(np.ones(30), 0.9, np.repeat(np.arange(8), [23] + [1] * 7)) == np.inf
    assert conformal_quantile(np.ones(9), 0.9) == 1.0


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_that_is_no_probability(level):
    with pytest.raises(ValueError, match="coverage is between 0 and 1"):
        conformal_quantile([1.0], level)


def test_no_scores():
    with pytest.raises(ValueError, match="calibration=0.25"):
        conformal_quantile([], 0.9)


def test_a_held_out_group_is_not_fitted_to():
    rng = np.random.default_rng(0)
    z, groups = rng.normal(size=(60, 2)), np.repeat(np.arange(20), 3)
    y = z[:, 0] + rng.normal(size=60)
    head = SetRegressor(calibration=0.3).fit(z, y, groups)
    held_out = np.isin(groups, head.calibration_groups_)
    assert len(np.unique(groups[held_out])) == 6
    other = np.where(held_out, y + 100, y)
    again = SetRegressor(calibration=0.3).fit(z, other, groups)
    np.testing.assert_array_equal(head.predict(z), again.predict(z))
    assert again.conformity_scores_.min() > head.conformity_scores_.max()


def test_intervals_cover_new_sets_at_the_level():
    # coverage given the calibration sets is Beta(k, K + 1 - k); over R repeats its mean has
    # variance of at most 1 / (4 (K + 2) R), and that of T test sets at most 1 / (4 T R)
    repeats, tests, level, calibrated = 200, 50, 0.8, 24
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(repeats):
        z = rng.normal(size=(48 + tests, 1))
        y = z[:, 0] ** 2 + rng.standard_t(3, size=len(z))  # a linear head is wrong here
        head = SetRegressor(penalties=(0.1,), folds=2, calibration=0.5).fit(z[:48], y[:48])
        low, high = head.predict_interval(z[48:], level)
        hits.append(((low <= y[48:]) & (y[48:] <= high)).mean())
    expected = np.ceil(level * (calibrated + 1)) / (calibrated + 1)
    error = np.sqrt((1 / (calibrated + 2) + 1 / tests) / (4 * repeats))
    assert abs(np.mean(hits) - expected) < 5 * error
