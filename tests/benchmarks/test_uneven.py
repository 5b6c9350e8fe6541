"""The family of the bench of sparse regions: its density, its regions, and what errors measure."""

import numpy as np
import pytest
import torch

from distembed.benchmarks.sparse import Uneven, _Judge
from distembed.benchmarks.uneven import (
    GROUPS,
    REGIONS,
    density,
    flattened,
    gaussians,
    grouped_pairs,
    held_out_parameters,
    training_parameters,
    triangles,
)


def test_training_parameters_have_their_density():
    s = training_parameters(20_000, 0)
    edges = torch.tensor([0.0, 1.0, 1.2, 3.0, 5.0, 6.0, 9.0])
    count = torch.histogram(s, edges).hist / 20_000
    middle = (edges[1:] + edges[:-1]) / 2
    expected = density(middle) * edges.diff()
    assert float(expected.sum()) == pytest.approx(1)
    # a binomial share of 20,000 has a deviation of at most 0.0036
    assert count.tolist() == pytest.approx(expected.tolist(), abs=5 * 0.0036)
    assert not ((s > 3) & (s < 5)).any()


def test_a_flattened_choice_thins_the_clump():
    s = training_parameters(6_000, 1)
    chosen = flattened(s, 0.1, 1)
    assert len(np.unique(chosen)) == 600
    clump = ((s[chosen] >= 1.0) & (s[chosen] < 1.2)).double().mean()
    # of a uniform law on [0, 3], [5, 6] and [6, 9], 0.2 of 7 units
    assert 0.01 < float(clump) < 0.08
    assert float((s[chosen] > 6).double().mean()) > 0.15


def test_pairs_join_their_regions():
    s = held_out_parameters(5, 2)
    pairs = grouped_pairs(5, 12, 2)
    assert list(pairs) == list(GROUPS)
    names = np.repeat(list(REGIONS), 5)
    for group, (first, second) in GROUPS.items():
        assert 10 <= len(pairs[group]) <= 12
        assert len(np.unique(pairs[group], axis=0)) == len(pairs[group])
        for i, j in pairs[group]:
            assert i < j
            sides = {names[i], names[j]}
            assert sides & set(first)
            assert sides & set(second)
    for row, name in enumerate(names):
        assert REGIONS[name].low <= s[row] <= REGIONS[name].high


def test_parameters_move_the_sets():
    s = torch.tensor([0.5, 4.0])
    assert gaussians(s, 20, 0).mean[:, 0].tolist() == pytest.approx([0.5, 4.0])
    radius = triangles(s, 20, 0).mean.norm(dim=2)
    assert radius[0].tolist() == pytest.approx([0.25] * 3)
    assert radius[1].tolist() == pytest.approx([2.0] * 3)


class Trial:
    name = "toy"


def test_errors_are_relative_and_compared_with_density():
    s = torch.tensor([1.1, 1.15, 2.0, 5.5])
    pairs = {"clump": np.array([[0, 1]]), "across": np.array([[0, 3], [2, 3]])}
    w2 = {"clump": np.array([1.0]), "across": np.array([4.0, 2.0])}
    problem = Uneven(None, s, None, s, pairs, w2)
    matrix = np.zeros((4, 4))
    matrix[0, 1], matrix[0, 3], matrix[2, 3] = 1.01, 4.4, 3.0
    judge = _Judge(Trial(), problem)
    rows = judge.errors("gde", judge.by_group(matrix))
    scores = {(score.metric, score.task): score.value for score in rows}
    assert scores["relative_error", "toy_clump"] == pytest.approx(0.01)
    assert scores["relative_error", "toy_across"] == pytest.approx(0.3)
    # errors 0.01, 0.1 and 0.5 in falling order of the density of their two sets
    assert scores["error_density", ""] == pytest.approx(-1)
