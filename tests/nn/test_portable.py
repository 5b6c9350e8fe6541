"""Elementary operations give what linear algebra gives."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distembed.nn.portable import inverse_factor, is_portable, newton_root, portable
from distembed.nn.sqrtm import sqrtm
from distembed.rng import stream

ORTHOGONAL = st.tuples(st.integers(1, 8), st.integers(0, 1000))


def matrix(d, seed, logs):
    """A symmetric matrix with given logarithms of eigenvalues."""
    q = torch.linalg.qr(torch.randn(d, d, generator=stream("portable", seed)).double())[0]
    values = torch.logspace(*logs, d, dtype=torch.float64, base=10.0)
    return (q * values) @ q.T, (q * values.sqrt()) @ q.T


@given(ORTHOGONAL, st.floats(-8, 8), st.floats(0, 8))
def test_the_iteration_converges_to_the_root(shape, low, spread):
    """The error of a root is at most eps times the condition number of it (Higham, 6.2)."""
    a, root = matrix(*shape, (low, low + spread))
    error = (newton_root(a) - root).norm() / root.norm()
    assert error < 100 * torch.finfo(torch.float64).eps * 10 ** (spread / 2)


def test_forty_steps_are_enough_for_a_condition_number_of_a_million_millions():
    a, root = matrix(6, 0, (0.0, 12.0))
    assert (newton_root(a) - root).norm() / root.norm() < 1e-8
    assert (newton_root(a, steps=20) - root).norm() / root.norm() > 1e-8


@given(ORTHOGONAL, st.floats(0, 6))
def test_elimination_inverts_the_factor(shape, spread):
    a, _ = matrix(*shape, (0.0, spread))
    expected = torch.linalg.inv(torch.linalg.cholesky(a))
    with portable():
        inverse = inverse_factor(a)
    assert torch.equal(inverse, inverse.tril())
    bound = 1e3 * torch.finfo(torch.float64).eps * 10**spread
    assert (inverse - expected).norm() < bound * expected.norm()
    identity = torch.eye(len(a), dtype=a.dtype)
    assert (inverse @ a @ inverse.T - identity).norm() < bound


def test_batches_of_matrices_are_computed_one_by_one():
    a = torch.stack([matrix(4, seed, (0.0, 2.0))[0] for seed in range(3)])
    with portable():
        both = (sqrtm(a), inverse_factor(a))
        alone = [(sqrtm(m), inverse_factor(m)) for m in a]
    for k in range(2):
        torch.testing.assert_close(both[k], torch.stack([m[k] for m in alone]))


def test_only_inside_the_block_elementary_operations_are_used(monkeypatch):
    a = matrix(3, 0, (0.0, 1.0))[0]
    usual = sqrtm(a), inverse_factor(a)
    monkeypatch.delattr(torch.linalg, "eigh")
    monkeypatch.delattr(torch.linalg, "cholesky")
    with portable():
        assert is_portable()
        for value, expected in zip((sqrtm(a), inverse_factor(a)), usual, strict=True):
            torch.testing.assert_close(value, expected)
    assert not is_portable()
    with pytest.raises(AttributeError):
        inverse_factor(a)
