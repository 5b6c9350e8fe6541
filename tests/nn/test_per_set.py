"""Moments and matrices of each set against NumPy, for equal and for ragged sets."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.batch import SetBatch
from distembed.nn.per_set import apply_per_set, moments_per_set
from distembed.rng import stream


def ragged(sizes, d, seed=0, weighted=True):
    rng = np.random.default_rng(seed)
    atoms = [rng.normal(size=(m, d)) + 3 for m in sizes]
    weights = [rng.random(m) + 0.05 for m in sizes] if weighted else None
    return SetBatch.from_list(atoms, weights)


def expected(batch):
    for b in range(len(batch)):
        one = batch[b]
        x, w = one.x.numpy(), one.w.numpy()
        mean = np.average(x, axis=0, weights=w)
        yield mean, (x - mean).T @ ((x - mean) * w[:, None])


def assert_moments(batch):
    mean, cov = moments_per_set(batch)
    assert mean.dtype == cov.dtype == torch.float64
    for b, (m, c) in enumerate(expected(batch)):
        np.testing.assert_allclose(mean[b], m, rtol=1e-12)
        np.testing.assert_allclose(cov[b], c, rtol=1e-11, atol=1e-12)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_moments_of_ragged_sets(sizes, d, weighted):
    assert_moments(ragged(sizes, d, weighted=weighted))


@given(st.integers(1, 5), st.integers(1, 20), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_moments_of_equal_sets(b, m, d):
    batch = ragged([m] * b, d, weighted=False)
    assert batch.equal == m
    assert_moments(batch)


def test_moments_of_rows():
    batch = ragged([3, 7], 4)
    projected = batch.x @ torch.randn(4, 2, generator=stream("rows"), dtype=torch.float64)
    mean, cov = moments_per_set(batch, projected)
    of_rows = moments_per_set(batch.replace(x=projected))
    torch.testing.assert_close(mean, of_rows[0])
    torch.testing.assert_close(cov, of_rows[1])
    assert cov.shape == (2, 2, 2)


def test_covariance_survives_a_large_mean():
    # float32 sums would lose it: 1e4^2 has a rounding of about 10
    batch = ragged([500, 500], 2, weighted=False)
    far = SetBatch(batch.x.float() + 1e4, batch.w.float(), batch.offsets)
    near = SetBatch(far.x - 1e4, far.w, far.offsets)  # exact: atoms lie on a grid of 2^-10
    torch.testing.assert_close(
        moments_per_set(far)[1], moments_per_set(near)[1], rtol=1e-9, atol=0
    )


@pytest.mark.parametrize("sizes", [[4, 4, 4], [1, 5, 3]])
def test_each_atom_is_multiplied_by_the_matrix_of_its_set(sizes):
    batch = ragged(sizes, 3, weighted=False)
    matrices = torch.randn(3, 2, 3, generator=stream("matrix"), dtype=torch.float64)
    rows = apply_per_set(batch, matrices, batch.x)
    for row, x, owner in zip(rows, batch.x, batch.owner, strict=True):
        np.testing.assert_allclose(row, matrices[owner].numpy() @ x.numpy(), rtol=1e-12)
