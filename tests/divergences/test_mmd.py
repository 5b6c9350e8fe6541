"""Maximum mean discrepancy against closed forms, brute force, and its own slow path."""

import math

import numpy as np
import pytest
import torch

import distembed.divergences.mmd as mmd_module
import distembed.divergences.pairing as pairing
from distembed.batch import SetBatch
from distembed.divergences.mmd import MMD, median_distance
from distembed.divergences.pairing import Points, points
from distembed.rng import stream

F64 = torch.float64
P, Q = (0.0, 1.0), (1.5, 0.5)
"""Mean and deviation of two Gaussians."""


def sets(sizes, d, *key):
    rng = stream("mmd", *key)
    xs = [torch.randn(m, d, generator=rng, dtype=F64) for m in sizes]
    return SetBatch.from_list(xs, [torch.rand(m, generator=rng, dtype=F64) + 0.1 for m in sizes])


def kernel(p, q, sigma):
    """E k(X, Y) of two Gaussians on the line."""
    variance = sigma**2 + p[1] ** 2 + q[1] ** 2
    return sigma / math.sqrt(variance) * math.exp(-((p[0] - q[0]) ** 2) / (2 * variance))


def truth(p, q, sigmas):
    terms = [kernel(p, p, s) + kernel(q, q, s) - 2 * kernel(p, q, s) for s in sigmas]
    return sum(terms) / len(sigmas)


@pytest.mark.parametrize("sigmas", [(1.0,), (0.5, 2.0)])
def test_gaussians(sigmas):
    x, w = np.polynomial.hermite_e.hermegauss(80)
    batch = SetBatch.from_list([(m + s * x)[:, None] for m, s in (P, Q)], [w, w])
    found = MMD(sigmas, relative=False)(batch[0], batch[1]).item()
    assert found**2 == pytest.approx(truth(P, Q, sigmas), rel=1e-6)


def test_unbiased_is_unbiased():
    rng = stream("unbiased")
    x, y = torch.randn(2, 500, 6, 1, generator=rng, dtype=F64)
    weights = torch.tensor([1.0, 2, 3, 1, 2, 3], dtype=F64).expand(500, 6)
    a, b = SetBatch.from_dense(x, weights), SetBatch.from_dense(Q[0] + Q[1] * y)
    for other, wanted in ((b, truth(P, Q, (1.0,))), (SetBatch.from_dense(y), 0.0)):
        found = MMD((1.0,), relative=False, unbiased=True)(a, other)
        assert abs(float(found.mean()) - wanted) < 5 * float(found.std()) / math.sqrt(500)
        assert (found < 0).any()
    assert (MMD((1.0,), relative=False)(a, SetBatch.from_dense(y)) > 0).all()


def test_unbiased_leaves_out_pairs_of_a_point_with_itself():
    """Gretton et al. (2012), equation (3)."""
    x, y = torch.randn(2, 5, 2, generator=stream("pairs"), dtype=F64)

    def inside(t):
        return (torch.exp(-torch.pdist(t).square() / 2)).mean()

    wanted = inside(x) + inside(y) - 2 * torch.exp(-torch.cdist(x, y).square() / 2).mean()
    compare = MMD((1.0,), relative=False, unbiased=True)
    torch.testing.assert_close(compare(*map(SetBatch.from_dense, (x[None], y[None])))[0], wanted)


def test_unbiased_needs_two_atoms():
    a, b = SetBatch.from_list([[[0.0], [1.0]], [[0.0]]]), SetBatch.from_list([[[0.0], [1.0]]] * 2)
    with pytest.raises(ValueError, match="Set 1 has a single atom"):
        MMD(unbiased=True)(a, b)
    lonely = SetBatch.from_list([[[0.0], [1.0]]], [[1.0, 0.0]])
    with pytest.raises(ValueError, match="needs two"):
        MMD(unbiased=True)(lonely, b[0])


def test_median():
    (a, b), (x, y) = (sets((5, 8), 2, 0), sets((4, 9), 2, 1)), torch.randn(2, 7, 3, dtype=F64)
    equal = [points(SetBatch.from_list([t]))[0] for t in (x, y[:6])]
    # the mean of both middle distances, as numpy's
    wanted = float(np.median(torch.cdist(x, y[:6])))
    assert float(median_distance(*equal)) == pytest.approx(wanted, rel=1e-12)
    for p, q in zip(points(a), points(b), strict=True):
        found = median_distance(p, q)
        distance, mass = torch.cdist(p.x, q.x), torch.outer(p.w, q.w)
        assert float(mass[distance < found].sum()) <= 0.5 <= float(mass[distance <= found].sum())


def test_median_of_coinciding_pairs():
    still, some = torch.zeros(3, 1, dtype=F64), torch.tensor([[0.0], [0.0], [3.0]], dtype=F64)
    w = torch.full((3,), 1 / 3, dtype=F64)
    assert float(median_distance(Points(still, w), Points(still, w))) == 1
    assert float(median_distance(Points(still, w), Points(some, w))) == pytest.approx(math.sqrt(3))


def test_median_of_many_atoms():
    x, y = torch.randn(2, 1, 3000, 2, generator=stream("many"), dtype=F64)
    a, b = SetBatch.from_dense(x), SetBatch.from_dense(y)
    found = median_distance(points(a)[0], points(b)[0])
    # |x - y|^2 = 2 chi^2_2 has the median 4 log 2; 512 atoms know it to about 1 / sqrt(512)
    assert float(found) == pytest.approx(math.sqrt(4 * math.log(2)), rel=0.1)
    double = SetBatch.from_dense(x.repeat(1, 2, 1).flip(1))
    assert torch.equal(median_distance(points(double)[0], points(b)[0]), found)
    assert mmd_module._MEDIAN_ATOMS < 3000


def test_the_median_passes_no_gradient():
    a, b = sets((5,), 2, 2), sets((4,), 2, 3)
    unit = float(median_distance(points(a)[0], points(b)[0]))
    slopes = []
    for compare in (MMD((0.5, 1.0)), MMD((0.5 * unit, unit), relative=False)):
        x = a.x.clone().requires_grad_()
        compare(a.replace(x=x), b).sum().backward()
        slopes.append(x.grad)
    torch.testing.assert_close(*slopes)
    assert slopes[0].abs().max() > 1e-3


@pytest.mark.parametrize("unbiased", [False, True])
def test_gradient_in_atoms_and_weights(unbiased):
    a, b = sets((5, 2), 2, 4), sets((3, 4), 2, 5)
    compare = MMD((0.5, 1.0), relative=False, unbiased=unbiased)
    inputs = [t.clone().requires_grad_() for t in (a.x, a.w, b.x)]
    assert torch.autograd.gradcheck(
        lambda x, w, y: compare(a.replace(x=x, w=w), b.replace(x=y)), inputs
    )


def test_blocks_agree_and_their_gradients(monkeypatch):
    a, b = sets((17, 3), 2, 6), sets((9, 20), 2, 7)
    found = []
    for numbers in (2**22, 40):
        monkeypatch.setattr(pairing, "_NUMBERS", numbers)
        x = a.x.clone().requires_grad_()
        value = MMD()(a.replace(x=x), b)
        value.sum().backward()
        found.append((value.detach(), x.grad))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("bandwidths", [(), (1.0, 0.0), (-1.0,)])
def test_needs_bandwidths(bandwidths):
    with pytest.raises(ValueError, match="at least one"):
        MMD(bandwidths)
