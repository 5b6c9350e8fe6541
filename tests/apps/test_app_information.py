"""Mutual information: laws, closed forms, and the permutation within strata."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.apps.lineage.information import (
    contrastive_bits,
    neighbour_bits,
    permuted_bits,
    permuted_within,
    retrieval,
)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(0, 2**31))
def test_a_permutation_stays_within_its_strata(strata, seed):
    strata = np.array(strata)
    drawn = permuted_within(strata, np.random.default_rng(seed))
    assert sorted(drawn.tolist()) == list(range(len(strata)))
    assert (strata[drawn] == strata).all()


def test_permutations_within_a_stratum_are_uniform():
    rng = np.random.default_rng(0)
    strata = np.array([0, 1, 0, 0])
    first = [int(permuted_within(strata, rng)[0]) for _ in range(3000)]
    count = np.bincount(first, minlength=4)
    assert count[1] == 0
    # five standard deviations of a binomial count
    assert np.abs(count[[0, 2, 3]] - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95])
def test_the_neighbour_estimate_is_that_of_a_gaussian(rho):
    rng = np.random.default_rng(1)
    values = []
    for _ in range(8):
        x = rng.normal(size=(600, 1))
        y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=(600, 1))
        values.append(neighbour_bits(x, y))
        assert neighbour_bits(y, x) == pytest.approx(values[-1], abs=1e-12)
        assert neighbour_bits(7 * x, 7 * y) == pytest.approx(values[-1], abs=1e-12)
    error = np.std(values, ddof=1) / np.sqrt(8)
    # 0.02 bits is the published bias of the estimator at this number of points
    assert abs(np.mean(values) + 0.5 * np.log2(1 - rho**2)) < 5 * error + 0.02


def test_the_contrastive_bound_lies_between_chance_and_the_logarithm_of_the_pairs():
    score = np.random.default_rng(2).normal(size=(32, 32))
    assert contrastive_bits(score) <= 5
    assert contrastive_bits(1000 * np.eye(32)) == pytest.approx(5)
    assert contrastive_bits(score + np.arange(32)[:, None]) == pytest.approx(
        contrastive_bits(score)
    )
    assert contrastive_bits(np.zeros((32, 32))) == 0


def test_retrieval_counts_others_behind_and_half_of_ties():
    score = np.array([[2.0, 1.0, 3.0], [0.0, 0.0, 0.0], [5.0, 1.0, 9.0]])
    assert retrieval(score).tolist() == [0.5, 0.5, 1.0]


def test_a_permuted_estimate_is_that_of_permuted_vectors():
    rng = np.random.default_rng(3)
    x, y, strata = rng.normal(size=(40, 3)), rng.normal(size=(40, 2)), rng.integers(0, 3, 40)
    value, null = permuted_bits(x, y, strata, 4, np.random.default_rng(7))
    assert value == neighbour_bits(x, y)
    again = np.random.default_rng(7)
    direct = [neighbour_bits(x, y[permuted_within(strata, again)]) for _ in range(4)]
    np.testing.assert_allclose(null, direct, atol=1e-12)


def test_too_few_pairs_are_refused():
    with pytest.raises(ValueError, match="3 pairs.*at least 4"):
        neighbour_bits(np.zeros((3, 1)), np.zeros((3, 1)))
