"""Predictions by neighbours, and divergences by distances to neighbours."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.benchmarks.knn_divergence import knn_divergences
from distembed.benchmarks.representations import _Judge, auc, combine, neighbour_predictions
from distembed.benchmarks.runner import load
from distembed.evaluation.result import Score

SETTINGS = load("representations").scales["tiny"]


def sets(*parts):
    return SetBatch.from_list([torch.as_tensor(p, dtype=torch.float64) for p in parts])


def gaussian(seed, n, shift=0.0, scale=1.0):
    return shift + scale * np.random.default_rng(seed).normal(size=(n, 2))


def test_predictions_are_those_of_scikit_learn_without_the_set_itself():
    neighbors = pytest.importorskip("sklearn.neighbors")
    points = np.random.default_rng(0).normal(size=(30, 2))
    y = points[:, 0] ** 2
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    predicted = neighbour_predictions(distances, y, np.arange(30), 4)
    for i in range(30):
        rest = np.delete(np.arange(30), i)
        knn = neighbors.KNeighborsRegressor(4).fit(points[rest], y[rest])
        assert predicted[i] == pytest.approx(knn.predict(points[i : i + 1])[0])


def test_sets_of_the_own_group_predict_nothing():
    distances = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
    groups = np.array([0, 0, 1, 1])
    y = np.array([10.0, 20.0, 30.0, 40.0])
    assert neighbour_predictions(distances, y, groups, 1).tolist() == [30, 30, 20, 20]
    with pytest.raises(ValueError, match="k = 3, and a set has fewer"):
        neighbour_predictions(distances, y, groups, 3)


def test_auc_is_that_of_scikit_learn_with_ties():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    y, prediction = rng.integers(2, size=50) * 1.0, rng.integers(6, size=50) / 5
    assert auc(y, prediction) == pytest.approx(metrics.roc_auc_score(y, prediction))
    assert np.isnan(auc(np.ones(3), np.arange(3.0)))


def test_a_resample_draws_whole_groups():
    """Of two groups, one right and one wrong: resamples have both, or one of them twice."""
    y = np.array([0.0, 1.0, 0.0, 1.0] * 2)
    groups = np.repeat([0, 1], 4)
    judge = _Judge(y, True, groups, replace(SETTINGS, neighbours=2), 0)
    right = np.abs(np.subtract.outer(y, y))
    distances = np.where(np.arange(8)[:, None] < 4, right, 1 - right)
    values = judge.values(distances)
    assert values[0] == 0.5
    assert set(values[1:]) == {0.0, 0.5, 1.0}
    assert len(values) == 1 + SETTINGS.draws


def test_scores_are_averaged_over_seeds_with_the_ends_of_their_intervals():
    one = [Score("auc", "gde", v, v - 0.1, v + 0.1, task="t", seconds=v) for v in (0.5, 0.7)]
    (mean,) = combine([[s] for s in one])
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.6, 0.5, 0.7))
    assert (mean.seeds, mean.seconds) == (2, pytest.approx(0.6))


# -- divergences --------------------------------------------------------------------------------


def test_divergences_are_symmetric_and_depend_on_neither_order_nor_place():
    parts = [gaussian(s, n) for s, n in enumerate((20, 35, 50))]
    d = knn_divergences(sets(*parts), k=5)
    np.testing.assert_array_equal(d, d.T)
    np.testing.assert_array_equal(np.diag(d), 0)
    moved = [3 * p[::-1] + 7 for p in parts]
    np.testing.assert_allclose(knn_divergences(sets(*moved), k=5), d, atol=1e-10)


def test_divergences_are_the_formula_atom_by_atom():
    parts, k = [gaussian(s, n) for s, n in enumerate((6, 9, 20))], 7
    d = knn_divergences(sets(*parts), k)

    def directed(x, y):
        rank = min(k, len(x) - 1, len(y))
        total = 0.0
        for atom in x:
            own = np.sort(np.linalg.norm(x - atom, axis=1))[rank]  # the first is the atom itself
            other = np.sort(np.linalg.norm(y - atom, axis=1))[rank - 1]
            total += np.log(other / own)
        return 2 / len(x) * total + np.log(len(y) / (len(x) - 1))

    for i, j in ((0, 1), (0, 2), (1, 2)):
        both = directed(parts[i], parts[j]) + directed(parts[j], parts[i])
        assert d[i, j] == pytest.approx(both)


def test_divergences_are_those_of_the_closed_form():
    """Uniform numbers in (0, 1), and a density in proportion to exp(3 x).

    Both ways, KL = E_q[3 x] - E_p[3 x] = 3 (1 / (1 - exp(-3)) - 1 / 3 - 1 / 2). The tolerance is
    four standard errors, and the bias of the share of atoms whose neighbours end at 0 or 1: the
    logarithm of two for k / n atoms at each end, in two sets.
    """
    exact, k, n = 3 * (1 / (1 - np.exp(-3)) - 5 / 6), 10, 1000
    values = []
    for seed in range(4):
        p, u = np.random.default_rng(seed).random((2, n, 1))
        q = np.log1p(u * np.expm1(3)) / 3  # the inverse of its distribution function
        values.append(knn_divergences(sets(p, q), k)[0, 1])
    bias = 2 * 2 * k / n * np.log(2)
    assert abs(np.mean(values) - exact) < 4 * np.std(values, ddof=1) / 2 + bias


def test_few_neighbours_and_atoms_that_coincide():
    small = sets([[0.0], [1.0]], [[0.0], [3.0], [4.0]])
    assert np.isfinite(knn_divergences(small, k=25)).all()
    equal = sets([[1.0], [1.0]], [[1.0], [1.0]])
    assert knn_divergences(equal)[0, 1] == pytest.approx(2 * np.log(2))
    with pytest.raises(ValueError, match="single atom"):
        knn_divergences(sets([[0.0]], [[0.0], [1.0]]))
