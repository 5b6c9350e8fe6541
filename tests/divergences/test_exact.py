"""Exact transport against other solvers and closed forms."""

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from distembed.batch import SetBatch
from distembed.divergences.exact import ExactW2, _optimal_plan, _Points, pairwise_w2

F64 = torch.float64


def sets(sizes, d, seed=0):
    rng = np.random.default_rng(seed)
    xs = [rng.normal(size=(m, d)) for m in sizes]
    return xs, [rng.dirichlet(np.ones(m)) for m in sizes]


def test_is_pots():
    """Peyre and Cuturi (2019), equation (2.11)."""
    (xs, us), (ys, vs) = sets((1, 4, 9, 40), 3), sets((5, 3, 9, 25), 3, 1)
    d = ExactW2()(SetBatch.from_list(xs, us), SetBatch.from_list(ys, vs))
    for x, u, y, v, found in zip(xs, us, ys, vs, d, strict=True):
        assert found.item() ** 2 == pytest.approx(ot.emd2(u, v, ot.dist(x, y)), rel=1e-9)


def test_equal_weights_are_an_assignment():
    x, y = np.random.default_rng(0).normal(size=(2, 30, 2))
    cost = ((x[:, None] - y) ** 2).sum(-1)
    best = cost[linear_sum_assignment(cost)].mean()
    d = ExactW2()(SetBatch.from_list([x]), SetBatch.from_list([y]))
    assert d.item() == pytest.approx(np.sqrt(best), rel=1e-12)


def test_on_the_line_the_sorted_points_meet():
    """Peyre and Cuturi (2019), Remark 2.28."""
    x, y = torch.randn(2, 50, 1, dtype=F64)
    d = ExactW2()(SetBatch.from_list([x]), SetBatch.from_list([y]))
    torch.testing.assert_close(d[0], (x.sort(0).values - y.sort(0).values).square().mean().sqrt())


def test_far_from_the_origin():
    """The matrix of squared distances would lose everything here in float64."""
    x = torch.randn(20, 2, dtype=F64)
    a, b = SetBatch.from_list([x + 1e6]), SetBatch.from_list([x + 1e6 + 1e-3])
    assert ExactW2()(a, b).item() == pytest.approx(1e-3 * np.sqrt(2), rel=1e-6)


def test_pairs():
    xs, us = sets((3, 4, 9, 6), 2)
    batch = SetBatch.from_list(xs, us)
    pairs = torch.tensor([[0, 1], [3, 2], [1, 0], [2, 2]])
    d = pairwise_w2(batch, pairs)
    torch.testing.assert_close(d, ExactW2()(batch.select(pairs[:, 0]), batch.select(pairs[:, 1])))
    assert d[0] == d[2]
    assert d[3] == 0
    assert torch.equal(d, pairwise_w2(batch, pairs, threads=4))
    assert pairwise_w2(batch, pairs[:0]).shape == (0,)
    with pytest.raises(ValueError, match=r"\(P, 2\)"):
        pairwise_w2(batch, pairs[:, 0])


def test_gradient_in_the_atoms():
    """The envelope theorem: the plan has no part in the derivative."""
    (xs, us), (ys, vs) = sets((5,), 2), sets((4,), 2, 1)
    a, b = SetBatch.from_list(xs, us), SetBatch.from_list(ys, vs)
    compare = ExactW2(threads=1)
    x, y = a.x.clone().requires_grad_(), b.x.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: compare(a.replace(x=x), b.replace(x=y)), (x, y))


@pytest.mark.filterwarnings("ignore:numItermax reached")
def test_no_answer_is_better_than_a_wrong_one():
    points = [_Points(x, u) for x, u in zip(*sets((60, 60), 2), strict=True)]
    with pytest.raises(ValueError, match="did not converge"):
        _optimal_plan(*points, iterations=3)
