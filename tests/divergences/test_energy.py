"""The energy distance against closed forms and its own slow path."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import energy_distance

import distembed.divergences.pairing as module
from distembed.batch import SetBatch
from distembed.divergences.energy import Energy

F64 = torch.float64


def test_two_points():
    a, b = SetBatch.from_list([[[0.0, 0.0]]]), SetBatch.from_list([[[3.0, 4.0]]])
    assert Energy()(a, b).item() == pytest.approx(10.0)


def test_on_the_line_it_is_twice_cramers():
    """Szekely and Rizzo (2013), section 2: 2 int (F - G)^2, whose root scipy returns."""
    rng = np.random.default_rng(0)
    for m, n in ((1, 5), (8, 3), (20, 20)):
        x, y = rng.normal(size=m), rng.normal(size=n)
        u, v = rng.dirichlet(np.ones(m)), rng.dirichlet(np.ones(n))
        found = Energy()(
            SetBatch.from_list([x[:, None]], [u]), SetBatch.from_list([y[:, None]], [v])
        )
        assert found.item() == pytest.approx(energy_distance(x, y, u, v) ** 2, rel=1e-9)


def test_normal_samples():
    """E|X - Y| of standard normals is 2 / sqrt(pi), so a shift is seen at its true size."""
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 200, 100, 1, generator=rng, dtype=F64)
    d = Energy()(SetBatch.from_dense(x), SetBatch.from_dense(y))
    # a V-statistic leaves out nothing: its mean under equality is (1/m + 1/n) E|X - X'|
    expected = 2 / 100 * 2 / math.sqrt(math.pi)
    assert abs(d.mean().item() - expected) < 5 * d.std().item() / math.sqrt(200)


def test_blocks_agree(monkeypatch):
    x, y = torch.randn(2, 3, 17, 2, dtype=F64)
    a, b = SetBatch.from_dense(x), SetBatch.from_dense(y)
    whole = Energy()(a, b)
    monkeypatch.setattr(module, "_NUMBERS", 40)
    torch.testing.assert_close(Energy()(a, b), whole)


def test_gradient_in_atoms_and_weights():
    a = SetBatch.from_list([torch.randn(4, 2, dtype=F64)])
    b = SetBatch.from_list([torch.randn(3, 2, dtype=F64)])
    inputs = [t.clone().requires_grad_() for t in (a.x, a.w)]
    assert torch.autograd.gradcheck(lambda x, w: Energy()(a.replace(x=x, w=w), b), inputs)
