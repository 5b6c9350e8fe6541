"""Closed forms of the distance of Gaussians."""

import numpy as np
import ot
import pytest
import torch
from scipy.linalg import sqrtm

from distembed.batch import SetBatch
from distembed.divergences.bures import Bures, bures_w2
from distembed.nn.per_set import moments_per_set as moments

F64 = torch.float64


def spd(count, d, seed=0, rank=None):
    rng = torch.Generator().manual_seed(seed)
    a = torch.randn(count, d, rank or d, generator=rng, dtype=F64)
    return a @ a.mT / d


def gaussians(count, d, seed):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, d, generator=rng, dtype=F64), spd(count, d, seed)


def test_trace_form():
    """Peyre and Cuturi (2019), equation (2.41), by scipy's root of the product."""
    (m1, c1), (m2, c2) = gaussians(5, 4, 0), gaussians(5, 4, 1)
    for p, a, q, b, d in zip(m1, c1, m2, c2, bures_w2(m1, c1, m2, c2), strict=True):
        a, b = a.numpy(), b.numpy()
        squared = ((p - q) ** 2).sum() + np.trace(a + b - 2 * sqrtm(sqrtm(a) @ b @ sqrtm(a)).real)
        assert d.item() ** 2 == pytest.approx(float(squared), rel=1e-9)
        oracle = ot.gaussian.bures_wasserstein_distance(p.numpy(), q.numpy(), a, b)
        assert d.item() == pytest.approx(oracle, rel=1e-7)


def test_commuting_covariances():
    """Bhatia, Jain, Lim (2019): for commuting matrices the distance of the roots."""
    basis = torch.linalg.qr(torch.randn(3, 3, dtype=F64)).Q
    s, t = torch.tensor([1.0, 2, 3], dtype=F64), torch.tensor([2.0, 0.5, 3], dtype=F64)
    c1, c2 = ((basis * r**2) @ basis.T for r in (s, t))
    zero = torch.zeros(3, dtype=F64)
    torch.testing.assert_close(bures_w2(zero, c1, zero, c2), (s - t).norm())


def test_on_the_line():
    m, s = torch.tensor([1.0, 4.0], dtype=F64), torch.tensor([2.0, 6.0], dtype=F64)
    d = bures_w2(m[:1], (s[:1] ** 2)[None], m[1:], (s[1:] ** 2)[None])
    assert d.item() == pytest.approx(5.0)  # 3, 4, 5


def test_small_differences_survive():
    """The trace form would return about 1e-8 here, or the root of a negative number."""
    c = spd(1, 6)[0]
    zero = torch.zeros(6, dtype=F64)
    assert bures_w2(zero, c, zero, c).item() < 1e-13
    near = bures_w2(zero, c, zero, c * (1 + 1e-10) ** 2)
    # c and t c commute, so the distance is |root c| (sqrt t - 1)
    assert near.item() == pytest.approx(1e-10 * c.trace().sqrt().item(), rel=1e-3)


def test_singular_covariances():
    """A point and a Gaussian: the root of the trace (the only coupling is the product)."""
    c = spd(1, 5, rank=2)[0]
    zero = torch.zeros(5, dtype=F64)
    torch.testing.assert_close(bures_w2(zero, c, zero, 0 * c), c.trace().sqrt())
    assert bures_w2(zero, c, zero, c).item() < 1e-7


def test_rotations_and_broadcasting():
    (m1, c1), (m2, c2) = gaussians(3, 4, 0), gaussians(2, 4, 1)
    d = bures_w2(m1[:, None], c1[:, None], m2, c2)
    assert d.shape == (3, 2)
    q = torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    turned = bures_w2((m1 @ q.T)[:, None], (q @ c1 @ q.T)[:, None], m2 @ q.T, q @ c2 @ q.T)
    torch.testing.assert_close(turned, d)


def test_triangle_inequality():
    m, c = gaussians(12, 3, 3)
    d = bures_w2(m[:, None], c[:, None], m, c)
    assert (d[:, :, None] <= d[:, None, :] + d.mT[None] + 1e-9).all()


def test_gradient():
    (m1, c1), (m2, c2) = gaussians(1, 3, 0), gaussians(1, 3, 1)

    def distance(m1, r1, m2, r2):
        return bures_w2(m1, r1 @ r1.mT, m2, r2 @ r2.mT)

    inputs = (m1, torch.linalg.cholesky(c1), m2, torch.linalg.cholesky(c2))
    assert torch.autograd.gradcheck(distance, [t.requires_grad_() for t in inputs])


def test_moments_are_those_of_numpy():
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(m, 2, 3)) for m in (1, 5, 9)]
    ws = [rng.integers(1, 5, size=len(x)) for x in xs]
    mean, cov = moments(SetBatch.from_list(xs, ws))
    for b, (x, w) in enumerate(zip(xs, ws, strict=True)):
        flat = np.repeat(x.reshape(len(x), 6), w, axis=0)
        np.testing.assert_allclose(mean[b], flat.mean(0), atol=1e-12)
        np.testing.assert_allclose(cov[b], np.cov(flat.T, bias=True), atol=1e-12)


def test_bounds_exact_transport():
    """Gelbrich (1990), Theorem 2.1: a lower bound for any distributions with these moments."""
    from distembed.divergences.exact import ExactW2

    a = SetBatch.from_dense(torch.randn(20, 15, 3, dtype=F64).exp())
    b = SetBatch.from_dense(torch.randn(20, 15, 3, dtype=F64))
    assert (Bures()(a, b) <= ExactW2()(a, b) + 1e-9).all()


@pytest.mark.parametrize(
    ("cov", "message"),
    [
        (torch.eye(3), "expected"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "not symmetric"),
        (torch.full((2, 2), torch.nan), "not symmetric"),
    ],
)
def test_bad_input(cov, message):
    with pytest.raises(ValueError, match=message):
        bures_w2(torch.zeros(2), cov, torch.zeros(2), torch.eye(2))
