"""Exact transport against other solvers and closed forms."""

import numpy as np
import ot
import pytest
import torch

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


@pytest.mark.parametrize(("size", "d"), [(1, 3), (30, 2), (41, 5)])
def test_equal_weights_are_an_assignment(size, d):
    """The optimal permutation is an optimal coupling: Peyre and Cuturi (2019), Proposition 2.1."""
    x, y = np.random.default_rng(0).normal(size=(2, size, d))
    simplex = ot.emd2(np.full(size, 1 / size), np.full(size, 1 / size), ot.dist(x, y))
    one, other = SetBatch.from_list([x]), SetBatch.from_list([y])
    assert ExactW2()(one, other).item() ** 2 == pytest.approx(simplex, rel=1e-9)
    twice = SetBatch.from_list([np.repeat(y, 2, 0)])  # another size: the network simplex
    assert ExactW2()(one, twice).item() ** 2 == pytest.approx(simplex, rel=1e-9)


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
    assert pairwise_w2(batch, pairs[:0]).dtype == batch.x.dtype
    with pytest.raises(ValueError, match=r"\(P, 2\)"):
        pairwise_w2(batch, pairs[:, 0])


@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_in_the_atoms(weighted):
    """The envelope theorem: the plan has no part in the derivative."""
    (xs, us), (ys, vs) = sets((5, 3), 2), sets((5, 3), 2, 1)
    a = SetBatch.from_list(xs, us if weighted else None)
    b = SetBatch.from_list(ys, vs if weighted else None)
    compare = ExactW2(threads=1)
    x, y = a.x.clone().requires_grad_(), b.x.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: compare(a.replace(x=x), b.replace(x=y)), (x, y))


@pytest.mark.filterwarnings("ignore:numItermax reached")
def test_no_answer_is_better_than_a_wrong_one():
    points = [_Points(x, u) for x, u in zip(*sets((60, 60), 2), strict=True)]
    with pytest.raises(ValueError, match="did not converge"):
        _optimal_plan(*points, iterations=3)


def test_pairs_are_summed_a_few_at_a_time(monkeypatch):
    xs, us = sets((3, 7, 5, 6), 2)
    batch, pairs = SetBatch.from_list(xs, us), torch.combinations(torch.arange(4))
    together = pairwise_w2(batch, pairs)
    monkeypatch.setattr("distembed.divergences.exact._NUMBERS", 30)
    torch.testing.assert_close(pairwise_w2(batch, pairs), together, rtol=1e-14, atol=0)
