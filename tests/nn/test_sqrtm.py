"""The matrix square root: its square, and its gradient where eigenvalues coincide."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.nn.sqrtm import sqrtm
from distembed.rng import stream


def orthogonal(d, *keys):
    return torch.linalg.qr(torch.randn(d, d, generator=stream(*keys), dtype=torch.float64))[0]


def with_spectrum(*values):
    """Return a symmetric matrix with these eigenvalues in a random basis."""
    q = orthogonal(len(values), "basis", len(values))
    return (q * torch.tensor(values, dtype=torch.float64)) @ q.T


@given(
    st.lists(st.floats(0, 1e3), min_size=1, max_size=8),
    st.integers(0, 100),
)
@settings(max_examples=50, deadline=None)
def test_squares_back(values, seed):
    q = orthogonal(len(values), "sqrtm", seed)
    a = (q * torch.tensor(values, dtype=torch.float64)) @ q.T
    a = torch.stack([(a + a.T) / 2, torch.eye(len(a), dtype=a.dtype)])
    root = sqrtm(a)
    # eigh is backward stable: its error is some multiple of the rounding of the largest entry
    torch.testing.assert_close(root @ root, a, rtol=0, atol=1e-13 * (1 + max(values)))
    torch.testing.assert_close(root, root.mT, rtol=0, atol=1e-13 * (1 + max(values)))
    assert torch.linalg.eigvalsh(root).min() > -1e-12 * (1 + max(values)) ** 0.5


@pytest.mark.parametrize(
    "values", [(2.0, 2.0, 2.0), (1.0, 3.0, 3.0, 0.1), (5.0, 4.0, 0.2), (7.0,)]
)
def test_gradient_is_that_of_finite_differences(values):
    # symmetrised inside, because a finite difference moves one entry of a pair at a time
    a = with_spectrum(*values).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: sqrtm((m + m.mT) / 2), (a,))


def test_gradient_at_the_identity_is_one_half():
    # S(I + tH) = I + t H / 2 + O(t^2) for symmetric H
    a = torch.eye(4, dtype=torch.float64).requires_grad_()
    h = torch.randn(4, 4, dtype=torch.float64, generator=stream("direction"))
    h = h + h.T
    (sqrtm(a) * h).sum().backward()
    torch.testing.assert_close(a.grad, h / 2)


def test_a_singular_matrix_has_its_root():
    a = with_spectrum(4.0, 0.0, 0.0)
    torch.testing.assert_close(sqrtm(a), a / 2, rtol=0, atol=1e-7)  # roots of roundings
