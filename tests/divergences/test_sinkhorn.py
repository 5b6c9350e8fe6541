"""The Sinkhorn divergence against closed forms, its limits, and two other packages."""

import math

import numpy as np
import ot
import pytest
import torch

import distembed.divergences.sinkhorn as module
from distembed.batch import SetBatch
from distembed.divergences.exact import ExactW2
from distembed.divergences.sinkhorn import Sinkhorn
from distembed.rng import stream

F64 = torch.float64


def sets(sizes, d, *key):
    rng = stream("sinkhorn", *key)
    xs = [torch.randn(m, d, generator=rng, dtype=F64) for m in sizes]
    return SetBatch.from_list(xs, [torch.rand(m, generator=rng, dtype=F64) + 0.1 for m in sizes])


def precise(epsilon, relative=False):
    return Sinkhorn(epsilon, relative, iterations=10_000, tolerance=1e-9)


def entropic_gaussians(m1, s1, m2, s2, epsilon):
    """Janati et al. (2020), Theorem 1, on the line; epsilon is their 2 sigma^2."""
    sigma2 = epsilon / 2
    d = math.sqrt(4 * (s1 * s2) ** 2 + sigma2**2)
    entropy = sigma2 * (1 - math.log(2 * sigma2)) + sigma2 * math.log(d + sigma2)
    return (m1 - m2) ** 2 + s1**2 + s2**2 - d + entropy


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 20.0])
def test_gaussians(epsilon):
    """Quadrature atoms integrate like the Gaussians, so that no sampling error is left."""
    p, q = (0.0, 1.0), (1.5, 0.5)
    x, w = np.polynomial.hermite_e.hermegauss(60)
    batch = SetBatch.from_list([(m + s * x)[:, None] for m, s in (p, q)], [w, w])
    cross = entropic_gaussians(*p, *q, epsilon)
    itself = [entropic_gaussians(*g, *g, epsilon) for g in (p, q)]
    found = precise(epsilon)(batch[0], batch[1]).item()
    assert found == pytest.approx(cross - sum(itself) / 2, rel=1e-6)


def test_is_geomloss():
    """Their cost is |x - y|^2 / 2, so their blur is the root of half of our epsilon."""
    geomloss = pytest.importorskip("geomloss")
    a, b = sets((12, 30), 3, 0), sets((20, 9), 3, 1)
    loss = geomloss.SamplesLoss(
        "sinkhorn", p=2, blur=math.sqrt(2.0 / 2), scaling=0.98, backend="tensorized"
    )
    for i, found in enumerate(precise(2.0)(a, b)):
        oracle = 2 * loss(a[i].w, a[i].x, b[i].w, b[i].x)
        assert found.item() == pytest.approx(oracle.item(), rel=1e-3)


def test_is_pots():
    """Feydy et al. (2019), equation (3), from the three plans of another solver."""
    a, b = sets((8,), 2, 2), sets((5,), 2, 3)

    def entropic(p, q):
        u, v = p.w.numpy(), q.w.numpy()
        cost = ot.dist(p.x.numpy(), q.x.numpy())
        plan = ot.bregman.sinkhorn_log(u, v, cost, 1.0, numItermax=5000, stopThr=1e-12)
        return (plan * cost).sum() + (plan * np.log(plan / np.outer(u, v))).sum()

    oracle = entropic(a, b) - entropic(a, a) / 2 - entropic(b, b) / 2
    assert precise(1.0)(a, b).item() == pytest.approx(oracle, rel=1e-8)


def test_limits():
    """Feydy et al. (2019), Theorem 1 and equation (6)."""
    a, b = sets((6, 9), 2, 4), sets((5, 9), 2, 5)
    # the entropy of a coupling of n atoms is below epsilon log n
    near = Sinkhorn(0.01, relative=False, iterations=5000)(a, b)
    assert ((near - ExactW2()(a, b).square()).abs() < 0.01 * math.log(9)).all()
    means = (a.mean(a.x) - b.mean(b.x)).square().sum(1)
    torch.testing.assert_close(precise(1e7)(a, b), means, rtol=0, atol=1e-5)


def test_gradient_in_atoms_and_weights():
    """The envelope theorem, against finite differences of the value."""
    a, b = sets((4,), 2, 6), sets((3,), 2, 7)
    compare = precise(1.0)

    def value(x, w, y):
        return compare(a.replace(x=x, w=w), b.replace(x=y))

    inputs = [t.clone().requires_grad_() for t in (a.x, a.w, b.x)]
    assert torch.autograd.gradcheck(value, inputs, eps=1e-5, atol=1e-5)


def test_epsilon_in_units_of_the_sets_passes_no_gradient():
    a, b = sets((5,), 2, 8), sets((4,), 2, 9)
    gap = a.x[:, None] - b.x
    scale = float(a.w @ gap.square().sum(2) @ b.w)
    values, slopes = [], []
    for compare in (precise(0.2, relative=True), precise(0.2 * scale)):
        x = a.x.clone().requires_grad_()
        value = compare(a.replace(x=x), b)
        value.sum().backward()
        values.append(value.detach())
        slopes.append(x.grad)
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*slopes)


def test_the_default_stops_where_the_value_is_good():
    a, b = sets((40, 7), 3, 10), sets((30, 50), 3, 11)
    torch.testing.assert_close(Sinkhorn()(a, b), precise(0.1, True)(a, b), rtol=1e-5, atol=0)


def test_blocks_and_groups_agree(monkeypatch):
    a, b = sets((5, 30, 2, 17), 2, 12), sets((9, 3, 31, 16), 2, 13)
    together = Sinkhorn()(a, b)
    monkeypatch.setattr(module, "_NUMBERS", 50)
    torch.testing.assert_close(Sinkhorn()(a, b), together)
    alone = torch.cat([Sinkhorn()(a[i], b[i]) for i in range(4)])
    torch.testing.assert_close(alone, together)


@pytest.mark.parametrize("option", ["epsilon", "iterations", "tolerance"])
def test_needs_positive_numbers(option):
    with pytest.raises(ValueError, match=option):
        Sinkhorn(**{option: 0})
