"""Two-sample tests of sets that share atoms: exact by permutation, and in the limit."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.batch import SetBatch
from distembed.inference.tests.pairwise import pairwise_tests
from distembed.inference.tests.shared_atoms import SharedAtoms
from distembed.inference.tests.two_sample import two_sample_test


def mean(batch):
    return batch.mean(batch.flat)


def test_all_assignments_are_drawn_alike():
    """The p-value tends to the share of all assignments of five atoms to their places."""
    x = np.array([0.0, 0.1, 1.0, 1.5, 4.0])[:, None]
    rows = [np.array([0, 1, 2]), np.array([2, 3, 4])]
    observed = (x[rows[0]].mean() - x[rows[1]].mean()) ** 2
    every = [
        (p[rows[0]].mean() - p[rows[1]].mean()) ** 2
        for p in (x[list(order)] for order in itertools.permutations(range(5)))
    ]
    exact = np.mean(np.array(every) >= observed - 1e-12)
    count = 4000
    result = two_sample_test(mean, *(x[r] for r in rows), rows=rows, permutations=count)
    error = 5 * np.sqrt(exact * (1 - exact) / count) + 1 / count
    assert abs(result.p_permutation - exact) < error
    assert result.statistic == pytest.approx(observed)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8), st.integers(2, 8), st.booleans())
def test_the_order_of_atoms_and_of_sets_changes_nothing(seed, m, n, weighted):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 2))
    rows = [rng.choice(12, m, replace=False), rng.choice(12, n, replace=False)]
    w = [rng.random(len(r)) + 0.1 for r in rows] if weighted else None
    options = {"rows": rows, "weights": w, "permutations": 50}
    p = two_sample_test(mean, *(x[r] for r in rows), **options).p_permutation
    order = [rng.permutation(len(r)) for r in rows]
    moved = {"rows": [r[o] for r, o in zip(rows, order, strict=True)][::-1]}
    if weighted:
        moved["weights"] = [v[o] for v, o in zip(w, order, strict=True)][::-1]
    again = two_sample_test(mean, *(x[r] for r in moved["rows"]), **{**options, **moved})
    assert again.p_permutation == p


def test_equal_sets_do_not_differ():
    x = np.random.default_rng(0).normal(size=(9, 2))
    rows = np.arange(9)
    result = two_sample_test(mean, x, x, rows=[rows, rows], permutations=99)
    assert (result.statistic, result.p_permutation, result.p_asymptotic) == (0, 1, 1)


def test_equal_sets_in_another_order_differ_by_rounding_alone():
    rng = np.random.default_rng(0)
    x, order = rng.normal(size=(50, 3)), rng.permutation(50)
    rows = [np.arange(50), order]
    result = two_sample_test(
        lambda b: b.mean(b.x**2 / 3 + b.x), x, x[order], rows=rows, permutations=9
    )
    assert 0 < result.statistic < 1e-28
    assert (result.p_permutation, result.p_asymptotic) == (1, 1)


def test_a_pair_of_the_same_atoms_is_no_difference():
    z = np.array([[1.0, 0.0], [1.0 + 1e-7, 0.0]], np.float32)
    cov = np.tile(0.01 * np.eye(2), (2, 1, 1))
    for left in (0.0, 2e-16):
        assert pairwise_tests(z, cov, [[0, 1]], left=[left]).p == 1
    assert pairwise_tests(z + [[0.0], [1.0]], cov, [[0, 1]], left=[0.5]).p < 1e-3


def test_an_atom_of_no_weight_in_either_set_changes_nothing():
    a, b = np.array([0.0, 1, 2, 3, 4])[:, None], np.array([5.0, 6, 7, 3, 4])[:, None]
    rows = [[0, 1, 2, 3, 4], [5, 6, 7, 3, 4]]
    plain = two_sample_test(mean, a, b, rows=rows, permutations=99)
    far, w = [[1000.0]], [1.0] * 5 + [0.0]
    added = two_sample_test(
        mean, np.append(a, far, 0), np.append(b, far, 0), rows=[[*r, 9] for r in rows],
        weights=[w, w], permutations=99,
    )  # fmt: skip
    assert added.p_permutation == plain.p_permutation
    assert added.p_asymptotic == pytest.approx(plain.p_asymptotic)


def test_an_atom_that_a_set_reads_twice_is_one_draw():
    """The variance of the mean of k atoms, each twice, is that of k atoms and not of 2 k."""
    x = np.random.default_rng(3).normal(size=(40, 2))
    once = [np.arange(20), np.arange(20, 40)]
    twice = [np.repeat(r, 2) for r in once]
    p = [
        two_sample_test(mean, *(x[r] for r in rows), rows=rows, permutations=0).p_asymptotic
        for rows in (once, twice)
    ]
    # covariances divide by 2 * 20 - 2, and by 2 * 40 - 2 of which half are draws
    assert p[1] == pytest.approx(p[0], rel=0.1)


def test_sets_without_a_shared_atom_are_tested_as_before():
    x = np.random.default_rng(1).normal(size=(40, 2))
    rows = [np.arange(20), np.arange(20, 40)]
    plain = two_sample_test(mean, x[:20], x[20:], permutations=0)
    numbered = two_sample_test(mean, x[:20], x[20:], rows=rows, permutations=0)
    assert numbered.p_asymptotic == pytest.approx(plain.p_asymptotic)
    pair = SetBatch.from_list([x[:20], x[20:]])
    assert SharedAtoms.of(rows, pair).left == pytest.approx(1)


@pytest.mark.slow
def test_p_values_are_uniform_where_half_of_the_atoms_are_shared():
    rng = np.random.default_rng(2)
    rows = [np.arange(20), np.arange(10, 30)]
    values = []
    for repeat in range(300):
        x = rng.normal(size=(30, 2))
        result = two_sample_test(
            mean, *(x[r] for r in rows), rows=rows, permutations=39, rng=repeat
        )
        values.append((result.p_permutation, result.p_asymptotic))
    permutation, asymptotic = np.array(values).T
    for level in (0.1, 0.5):
        error = 5 * np.sqrt(level * (1 - level) / len(values))
        assert abs((permutation <= level).mean() - level) < error
        assert abs((asymptotic <= level).mean() - level) < error + 0.02  # of twenty atoms
    assert permutation.min() >= 1 / 40


def test_rows_that_do_not_fit_are_refused():
    x = torch.arange(6.0)[:, None]
    with pytest.raises(ValueError, match=r"rows have the shapes \(2,\) and \(3,\)"):
        two_sample_test(mean, x[:3], x[3:], rows=[[0, 1], [3, 4, 5]])
    with pytest.raises(ValueError, match="Atoms of one number in `rows` differ"):
        two_sample_test(mean, x[:3], x[3:], rows=[[0, 1, 2], [2, 4, 5]])
