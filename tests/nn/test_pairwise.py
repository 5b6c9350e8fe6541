"""Pairwise-complete moments against NumPy's own on the atoms that have both features."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.batch import SetBatch
from distembed.nn.pairwise import Typical, gram, moments_of, nearest_semidefinite, pairwise_moments
from distembed.nn.per_set import moments_per_set
from distembed.rng import stream


def drawn(seed, m=40, d=3, missing=0.3):
    rng = stream("pairs", seed)
    x = torch.randn(m, d, generator=rng, dtype=torch.float64) + 2
    w = torch.rand(m, generator=rng, dtype=torch.float64)
    observed = torch.rand(m, d, generator=rng) > missing
    return SetBatch(x, w / w.sum(), torch.tensor([0, m]), observed)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_moments_are_those_of_the_atoms_that_have_the_features(seed):
    batch = drawn(seed)
    x, w, o = batch.filled.numpy(), batch.w.numpy(), batch.observed.numpy()
    mean, cov = pairwise_moments(batch)
    expected = [np.average(x[o[:, j], j], weights=w[o[:, j]]) for j in range(3)]
    np.testing.assert_allclose(mean[0], expected, atol=1e-12)
    entries = np.empty((3, 3))
    for j in range(3):
        for k in range(3):
            both = o[:, j] & o[:, k]
            product = (x[both, j] - expected[j]) * (x[both, k] - expected[k])
            entries[j, k] = np.average(product, weights=w[both])
    values, vectors = np.linalg.eigh(entries)
    nearest = (vectors * values.clip(0)) @ vectors.T
    np.testing.assert_allclose(cov[0], nearest, atol=1e-12)


def test_the_projection_is_semi_definite_where_entries_contradict_each_other():
    """Three features of which every pair was measured in other atoms, with signs that clash."""
    pairs = [(0, 1, 1.0), (1, 2, 1.0), (0, 2, -1.0)]
    x, o = torch.zeros(12, 3, dtype=torch.float64), torch.zeros(12, 3, dtype=torch.bool)
    for i, (j, k, sign) in enumerate(pairs):
        part = slice(4 * i, 4 * i + 4)
        o[part, j] = o[part, k] = True
        x[part, j] = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
        x[part, k] = sign * x[part, j]
    batch = SetBatch(x, torch.full((12,), 1 / 12).double(), torch.tensor([0, 12]), o)
    _, cov = pairwise_moments(batch)
    assert float(torch.linalg.eigvalsh(cov[0]).min()) > -1e-12
    assert float(cov[0, 0, 1]) > 0.3


def test_complete_sets_have_their_own_moments():
    batch = SetBatch.from_list([torch.randn(9, 4).double(), torch.randn(5, 4).double()])
    for own, plain in zip(pairwise_moments(batch), moments_per_set(batch), strict=True):
        torch.testing.assert_close(own, plain, rtol=0, atol=1e-12)


def test_pairs_without_atoms_come_from_the_other_sets_and_are_counted():
    a, b = drawn(1), drawn(2)
    observed = a.observed.clone()
    observed[:, 2] = False
    a = SetBatch(a.filled, a.w, a.offsets, observed)
    both = SetBatch.concat([a, b])
    typical = Typical.of(gram(both))
    assert typical.absent == 3
    mean, cov = pairwise_moments(both)
    own_mean, own_cov = pairwise_moments(b)
    torch.testing.assert_close(mean[0, 2], own_mean[0, 2])
    torch.testing.assert_close(typical.cov[2], own_cov[0, 2], rtol=0, atol=1e-12)
    assert float(cov[0, 2, 2]) > 0


def test_the_gradient_of_the_projection_is_that_of_finite_differences():
    a = torch.randn(5, 4, 4, dtype=torch.float64, generator=stream("indefinite"))
    a = (a + a.mT).requires_grad_()
    assert bool((torch.linalg.eigvalsh(a) < 0).any())
    assert torch.autograd.gradcheck(lambda m: nearest_semidefinite((m + m.mT) / 2), (a,))


def test_gradients_are_finite_where_a_set_lacks_a_pair():
    batch = drawn(3, m=4, missing=0.7)
    w = batch.w.clone().requires_grad_()
    mean, cov = moments_of(
        gram(batch.replace(w=w)), torch.zeros(3).double(), torch.eye(3).double()
    )
    (mean.sum() + cov.sum()).backward()
    assert w.grad.isfinite().all()
