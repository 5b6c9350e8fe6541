"""The test by permutations of a column against numbers: closed forms, laws, and its level."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from distembed.inference.tests.explained import explained, ranks


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_of_ranks_it_is_the_statistic_of_kruskal_and_wallis():
    y, groups = normal(30, 3), np.arange(30) % 3
    share = explained(ranks(y), groups, ordered=False, permutations=1).share
    for c in range(3):
        h = stats.kruskal(*(y[groups == k, c] for k in range(3))).statistic
        assert share[c] == pytest.approx(h / 29, rel=1e-10)


def test_along_a_number_it_is_the_square_of_spearmans_correlation():
    y, x = normal(25, 2), normal(25, seed=1)
    share = explained(ranks(y), x, ordered=True, permutations=1).share
    expected = [stats.spearmanr(x, y[:, c]).statistic ** 2 for c in range(2)]
    np.testing.assert_allclose(share, expected, rtol=1e-10)


def test_of_all_columns_it_is_the_share_between_groups():
    z, groups = normal(20, 4), np.repeat([0, 1], 10)
    centred = z - z.mean(0)
    between = sum(10 * (centred[groups == k].mean(0) ** 2).sum() for k in (0, 1))
    result = explained(z, groups, ordered=False, permutations=1)
    assert result.total == pytest.approx(between / (centred**2).sum(), rel=1e-10)


def test_the_p_value_is_the_share_of_all_assignments():
    y, groups = np.array([0.3, 1.0, 2.2, 3.1, 5.0]), np.array([0, 0, 0, 1, 1])

    def gap(order):
        own = groups[list(order)]
        return abs(y[own == 1].mean() - y[own == 0].mean())

    exact = np.mean([gap(o) >= gap(range(5)) - 1e-12 for o in permutations(range(5))])
    count = 4000
    result = explained(y[:, None], groups, ordered=False, permutations=count)
    assert exact == pytest.approx(0.1)
    # of one column it is the p-value of all columns, adjusted or not
    assert result.p[0] == result.p_adjusted[0] == result.p_total
    # five standard errors of a share
    assert abs(result.p_total - exact) < 5 * np.sqrt(exact * (1 - exact) / count) + 1 / count


@given(st.integers(0, 2**20))
def test_it_depends_on_neither_units_nor_rotations_nor_names_of_groups(seed):
    rng = np.random.default_rng(seed)
    z, groups = rng.normal(size=(12, 3)), rng.permutation(np.arange(12) % 3)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    names = np.array([7, -1, 3])[groups]
    one = explained(z, groups, ordered=False, permutations=19)
    other = explained(5 * z @ turn + 2, names, ordered=False, permutations=19)
    assert other.total == pytest.approx(one.total, rel=1e-9)
    assert other.p_total == one.p_total


def test_a_column_that_is_constant_in_blocks_is_permuted_between_blocks():
    blocks = np.repeat(np.arange(6), 5)
    groups = blocks % 2
    z = np.array([0, 1, 0.5, 2, 0.1, 1.1])[blocks, None] + 1e-3 * normal(30, 1, seed=1)
    result = explained(z, groups, ordered=False, blocks=blocks)
    means = np.stack([z[blocks == b].mean(0) for b in range(6)])
    alone = explained(means, np.arange(6) % 2, ordered=False)
    assert (result.scheme, alone.scheme) == ("blocks", "sets")
    assert result.total == pytest.approx(alone.total, rel=1e-10)
    assert result.p_total == alone.p_total
    # of the 20 assignments of six patients two are as extreme, and of 30 sets almost none:
    # five standard errors of a share
    assert abs(result.p_total - 0.1) < 5 * np.sqrt(0.09 / 999) + 0.001
    assert explained(z, groups, ordered=False).p_total == 0.001


def test_a_column_that_varies_in_blocks_is_permuted_within_them():
    blocks = np.repeat(np.arange(8), 4)
    groups = np.tile([0, 0, 1, 1], 8)
    effect = 100 * normal(8, 1)[blocks]
    z = effect + 0.5 * groups[:, None] + 0.3 * normal(32, 1, seed=1)
    result = explained(z, groups, ordered=False, blocks=blocks)
    assert result.scheme == "within blocks"
    assert result.p_total < 0.01 < explained(z, groups, ordered=False).p_total
    # block means are of no account, to the last bit of the permutations
    moved = explained(z + 3 * effect, groups, ordered=False, blocks=blocks)
    assert moved.total == pytest.approx(result.total, rel=1e-6)
    assert moved.p_total == result.p_total


def test_the_adjusted_p_value_is_that_of_the_largest_share_of_all():
    y = normal(16, 3)
    groups = np.repeat([0, 1], 8)
    y[:, 1] += 3 * groups
    twice = np.concatenate([y, y], axis=1)
    one, two = (explained(part, groups, ordered=False) for part in (y, twice))
    # a copy of every column adds no chance of a false discovery
    np.testing.assert_array_equal(two.p_adjusted, np.tile(one.p_adjusted, 2))
    assert (one.p_adjusted >= one.p).all()
    assert one.p_adjusted[1] < 0.01


def test_p_values_are_uniform_without_a_relation():
    rng = np.random.default_rng(3)
    runs, blocks = 200, np.repeat(np.arange(10), 2)
    low = adjusted = 0
    for k in range(runs):
        z = rng.normal(size=(10, 4))[blocks] + rng.normal(size=(20, 4))
        groups = rng.permutation(np.repeat([0, 1], 5))[blocks]
        result = explained(z, groups, ordered=False, blocks=blocks, permutations=39, rng=k)
        low += result.p_total <= 0.1
        adjusted += result.p_adjusted.min() <= 0.1
    # five standard errors above the level
    limit = 0.1 * runs + 5 * np.sqrt(0.09 * runs)
    assert max(low, adjusted) < limit
    assert low > 0


def test_a_missing_value_has_the_middle_rank_and_a_constant_column_no_share():
    y = np.array([[1.0, 5], [np.nan, 5], [3, 5], [4, 5]])
    assert ranks(y)[:, 0].tolist() == [1, 2, 2, 3]
    result = explained(ranks(y), [0, 0, 1, 1], ordered=False)
    assert np.isnan(result.share[1])
    assert result.p[1] == result.p_adjusted[1] == 1


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(ValueError, match="same value"):
        explained(normal(4, 1), [1, 1, 1, 1], ordered=False)
    for numbers in (normal(4), normal(5, 1), np.full((4, 1), np.nan)):
        with pytest.raises(ValueError, match="one value of the column a set"):
            explained(numbers, [0, 1, 0, 1], ordered=False)
