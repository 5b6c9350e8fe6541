"""Sliced transport against closed forms, other code, and its own slow path."""

import math

import numpy as np
import ot
import pytest
import torch

import distembed.divergences.sliced as module
from distembed.batch import SetBatch
from distembed.divergences.exact import ExactW2
from distembed.divergences.sliced import SlicedW2, directions, squared_w2_line

F64 = torch.float64


def sets(sizes, d, seed=0):
    rng = np.random.default_rng(seed)
    xs = [rng.normal(size=(m, d)) for m in sizes]
    return xs, [rng.dirichlet(np.ones(m)) for m in sizes]


def test_on_the_line_it_is_exact():
    """Peyre and Cuturi (2019), Remark 2.30."""
    (xs, us), (ys, vs) = sets((1, 4, 9, 40), 1), sets((5, 3, 9, 25), 1, 1)
    a, b = SetBatch.from_list(xs, us), SetBatch.from_list(ys, vs)
    torch.testing.assert_close(SlicedW2()(a, b), ExactW2()(a, b))
    for x, u, y, v in zip(xs, us, ys, vs, strict=True):
        found = squared_w2_line(*(torch.as_tensor(t) for t in (x[:, 0], u, y[:, 0], v)))
        assert found.item() == pytest.approx(ot.emd2_1d(x, y, u, v), rel=1e-9)


def test_is_pots():
    """Bonneel et al. (2015), section 2, along the same directions."""
    (xs, us), (ys, vs) = sets((4, 9), 3), sets((5, 30), 3, 1)
    d = SlicedW2(32, seed=5)(SetBatch.from_list(xs, us), SetBatch.from_list(ys, vs))
    theta = directions(3, 32, 5).numpy()
    for x, u, y, v, found in zip(xs, us, ys, vs, d, strict=True):
        oracle = ot.sliced_wasserstein_distance(x, y, u, v, projections=theta)
        assert found.item() == pytest.approx(oracle, rel=1e-9)


def test_directions_are_uniform():
    theta = directions(4, 4000, 0)
    torch.testing.assert_close(theta.norm(dim=0), torch.ones(4000, dtype=F64))
    # E theta theta^T = I / 4; the variance of theta_1^2 is 2 (d - 1) / (d^2 (d + 2)) = 1 / 16
    second = theta @ theta.T / 4000
    assert (second - torch.eye(4, dtype=F64) / 4).abs().max() < 5 * math.sqrt(1 / 16 / 4000)


def test_below_exact_transport():
    a = SetBatch.from_dense(torch.randn(10, 20, 4, dtype=F64))
    b = SetBatch.from_dense(torch.randn(10, 20, 4, dtype=F64) * 2 + 1)
    # 2 % is five standard errors of the mean over 4000 directions
    assert (SlicedW2(4000)(a, b) <= 1.02 * ExactW2()(a, b) / 2).all()


def test_both_paths_and_all_blocks_agree(monkeypatch):
    x, y = torch.randn(2, 3, 6, 2, dtype=F64)
    a, b = SetBatch.from_dense(x), SetBatch.from_dense(y)
    fast = SlicedW2()(a, b)
    slow = a.replace(w=a.w.clone().requires_grad_())
    assert slow.equal is None
    torch.testing.assert_close(SlicedW2()(slow, b), fast)
    monkeypatch.setattr(module, "_NUMBERS", 100)
    torch.testing.assert_close(SlicedW2()(a, b), fast)


def test_gradient_in_atoms_and_weights():
    (xs, us), (ys, vs) = sets((5, 2), 2), sets((4, 3), 2, 1)
    a, b = SetBatch.from_list(xs, us), SetBatch.from_list(ys, vs)
    compare = SlicedW2(7)

    def distance(x, w, y):
        # of weights only ratios matter, so that the derivative is along the simplex
        return compare(a.replace(x=x, w=w), b.replace(x=y))

    inputs = [t.clone().requires_grad_() for t in (a.x, a.w, b.x)]
    assert torch.autograd.gradcheck(distance, inputs)


def test_equal_weights_of_other_size_leave_no_slivers():
    """In float32 cumulative weights of 1/49 miss those of 1/7 by rounding."""
    x = torch.randn(7, 1)
    a = SetBatch.from_list([x * 1e3])
    b = SetBatch.from_list([x.repeat(7, 1) * 1e3])
    assert SlicedW2()(a, b).item() < 1e-3


def test_needs_a_direction():
    with pytest.raises(ValueError, match="at least one"):
        SlicedW2(0)
