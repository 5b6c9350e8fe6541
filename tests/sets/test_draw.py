"""Draws without replacement: different numbers in range, every subset as likely, both branches."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.rng import stream
from distembed.sets import draw
from distembed.sets.draw import ranks, without_replacement

groups = st.lists(
    st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=8
)


@given(groups, st.integers(0, 99))
def test_numbers_are_different_and_in_range(pairs, seed):
    sizes, counts = np.array(pairs, np.int64).reshape(-1, 2).T
    drawn = without_replacement(sizes, counts, stream(seed))
    assert len(drawn) == counts.sum()
    for n, m, part in zip(sizes, counts, np.split(drawn, np.cumsum(counts))[:-1], strict=True):
        assert len(set(part)) == m
        assert ((part >= 0) & (part < n)).all()
    assert np.array_equal(drawn, without_replacement(sizes, counts, stream(seed)))


@pytest.mark.parametrize("how", [draw._permuted, draw._rejected])
def test_every_subset_is_as_likely(how):
    """Chi-square of the C(5, 2) = 10 subsets of the second of two groups."""
    times = 4000
    sizes, counts = np.tile([3, 5], times), np.tile([1, 2], times)
    drawn = np.sort(how(sizes, counts, stream("subsets")).reshape(times, 3)[:, 1:], axis=1)
    seen = [(drawn == pair).all(1).sum() for pair in combinations(range(5), 2)]
    expected = times / 10
    chi2 = sum((n - expected) ** 2 / expected for n in seen)
    assert chi2 < 27.9  # a tenth of a per cent of chi-square with 9 degrees of freedom


def test_a_huge_group_is_not_touched_as_a_whole():
    drawn = without_replacement(np.array([10**15]), np.array([1000]), stream(0))
    assert len(np.unique(drawn)) == 1000
    assert abs(drawn.mean() / 10**15 - 0.5) < 5 / 12**0.5 / 1000**0.5


def test_ranks_count_within_groups():
    assert ranks(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
