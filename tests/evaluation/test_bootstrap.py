"""Rank correlations and their bootstrap."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from distembed.evaluation.bootstrap import BootstrapEstimate, mean, paired_p, resamples, spearman
from distembed.rng import stream

ONCE = np.ones((1, 6))


def all_pairs(sets):
    return torch.combinations(torch.arange(sets)).numpy()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.booleans())
def test_spearman_is_scipys(seed, ties):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 15)).round(0 if ties else 9)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return
    estimate = spearman(a, b, all_pairs(6), ONCE)
    assert estimate.value == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    assert estimate.draws[0] == pytest.approx(estimate.value, abs=1e-12)


def test_a_resample_is_a_repetition_of_pairs():
    rng = np.random.default_rng(0)
    pairs = all_pairs(6)
    a, b = rng.normal(size=(2, len(pairs)))
    counts = np.array([[2.0, 0, 1, 3, 0, 0], [1, 1, 1, 1, 1, 1]])
    estimate = spearman(a, b, pairs, counts)
    times = (counts[0, pairs[:, 0]] * counts[0, pairs[:, 1]]).astype(int)
    oracle = spearmanr(np.repeat(a, times), np.repeat(b, times)).statistic
    assert estimate.draws[0] == pytest.approx(oracle, abs=1e-12)
    assert estimate.draws[1] == pytest.approx(estimate.value, abs=1e-12)


def test_resamples_are_taken_in_parts():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 15))
    counts = resamples(6, 50, stream(0))
    whole = spearman(a, b, all_pairs(6), counts)
    parts = spearman(a, b, all_pairs(6), counts, at_once=15 * 7)
    np.testing.assert_array_equal(parts.draws, whole.draws)


def test_near_pairs_only():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 15))
    near = np.sort(b)[6]
    estimate = spearman(a, b, all_pairs(6), ONCE, near)
    assert estimate.value == pytest.approx(spearmanr(a[b <= near], b[b <= near]).statistic)


def test_what_is_not_defined_is_not_a_number():
    pairs = all_pairs(6)
    constant = spearman(np.ones(15), np.arange(15.0), pairs, ONCE)
    assert math.isnan(constant.value)
    part = spearman(np.arange(15.0), np.arange(15.0), pairs, ONCE, near=1.0)
    assert math.isnan(part.value)
    assert all(map(math.isnan, part.interval()))


def test_resamples():
    counts = resamples(20, 500, stream(0))
    assert counts.shape == (500, 20)
    assert (counts.sum(1) == 20).all()
    # each count is Binomial(20, 1/20)
    assert abs(counts.mean() - 1) < 1e-12
    assert counts.var() == pytest.approx(0.95, rel=0.1)
    assert np.array_equal(counts, resamples(20, 500, stream(0)))


def test_intervals_of_a_mean_cover():
    """A percentile interval of 40 normal numbers holds the truth about 94 times in 100."""
    values = np.random.default_rng(0).normal(size=(300, 40))
    counts = resamples(40, 300, stream(0))
    hits = 0
    for row in values:
        low, high = mean(row, counts).interval()
        hits += low <= 0 <= high
    p = 0.935
    assert abs(hits / 300 - p) < 5 * math.sqrt(p * (1 - p) / 300)


def test_paired_p():
    counts = resamples(40, 1000, stream(0))
    rng = np.random.default_rng(0)
    x = rng.normal(size=40) * 10
    # the pairs differ by little beside their spread, but always in one direction
    better = mean(x + 1 + 0.1 * rng.normal(size=40), counts)
    assert paired_p(better, mean(x, counts)) == pytest.approx(2 / 1001)
    assert paired_p(mean(x, counts), mean(x, counts)) == 1
    empty = BootstrapEstimate(0.0, np.full(10, np.nan))
    assert np.isnan(paired_p(empty, empty))


def test_p_is_uniform_where_nothing_differs():
    counts = resamples(50, 400, stream(0))
    values = np.random.default_rng(1).normal(size=(200, 50))
    zero = mean(np.zeros(50), counts)
    p = np.array([paired_p(mean(row, counts), zero) for row in values])
    share = (p < 0.1).mean()
    assert abs(share - 0.1) < 5 * math.sqrt(0.09 / 200)
