"""What every divergence obeys, whatever it measures."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.batch import SetBatch
from distembed.divergences import DIVERGENCES
from distembed.registry import applicable, lookup
from distembed.testing import LawError, check_divergence

ALL = sorted(applicable(DIVERGENCES, "vectors"))
DEGREE = {"sinkhorn": 2, "mmd": 0}
"""The power of the unit that a divergence is measured in, where it is not one."""
SQUARED = {"sinkhorn"}
EXACT_SHIFT = sorted({"bures", "exact", "sliced", "max_sliced", "sinkhorn"} & set(ALL))


def divergence(name):
    return lookup(DIVERGENCES, name, "divergence")()


def normal(seed, sizes, d, weighted=False):
    rng = torch.Generator().manual_seed(seed)
    atoms = [torch.randn(m, d, generator=rng, dtype=torch.float64) for m in sizes]
    weights = [torch.rand(m, generator=rng, dtype=torch.float64) + 0.01 for m in sizes]
    return SetBatch.from_list(atoms, weights if weighted else None)


@pytest.mark.parametrize("event_shape", [(1,), (3,), (2, 3)])
@pytest.mark.parametrize("name", ALL)
def test_promises(name, event_shape):
    check_divergence(divergence(name), event_shape)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    size=st.integers(1, 9),
    d=st.integers(1, 4),
    scale=st.floats(0.1, 10),
    weighted=st.booleans(),
)
def test_moves_with_the_space(name, seed, size, d, scale, weighted):
    a = normal(seed, (size, 4, 1), d, weighted)
    b = normal(seed + 1, (3, 4, 2), d, weighted)
    compare = divergence(name)
    before = compare(a, b)
    shift = torch.linspace(-5, 5, d, dtype=torch.float64)
    shifted = compare(a.replace(x=a.x + shift), b.replace(x=b.x + shift))
    torch.testing.assert_close(shifted, before, rtol=1e-6, atol=1e-7)
    scaled = compare(a.replace(x=a.x * scale), b.replace(x=b.x * scale))
    degree = DEGREE.get(name, 1)
    torch.testing.assert_close(scaled, before * scale**degree, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", EXACT_SHIFT)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_shift_is_a_distance(name, weighted):
    a = normal(0, (1, 2, 7, 50), 3, weighted)
    delta = torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64)
    d = divergence(name)(a, a.replace(x=a.x + delta))
    d = d.sqrt() if name in SQUARED else d
    expected = torch.full((4,), 1.3, dtype=torch.float64)
    if name == "sliced":  # the mean of <theta, delta>^2 over 128 directions
        assert torch.allclose(d, d[0].expand(4))
        expected /= math.sqrt(3)
        # variance of theta_1^2 in three dimensions is 4/45
        error = 5 * 1.69 * math.sqrt(4 / 45 / 128) / (2 * expected[0])
        torch.testing.assert_close(d, expected, rtol=0, atol=float(error))
    else:
        torch.testing.assert_close(d, expected, rtol=1e-5 if name in SQUARED else 1e-6, atol=0)


HARD = {
    "two identical points": ([[1.0, 2.0]] * 2, [[1.0, 2.0]] * 2),
    "identical points and a set": ([[1.0, 2.0]] * 2, [[0.0, 1.0], [3.0, 1.0], [0.0, 5.0]]),
    "one point each": ([[1.0, 2.0]], [[4.0, 6.0]]),
    "the same point": ([[1e6, 2.0]], [[1e6, 2.0]]),
    "one point and a set": ([[1.0, 2.0]], [[0.0, 1.0], [3.0, 1.0], [0.0, 5.0]]),
    "a flat set": ([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]], [[0.0, 1.0], [3.0, 1.0], [0.0, 5.0]]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("name", ALL)
def test_degenerate_sets_have_a_value_and_a_gradient(name, case, dtype):
    a, b = (SetBatch.from_list([torch.tensor(x, dtype=dtype)]) for x in HARD[case])
    assert_usable(divergence(name), a, b)


PAIRS = {"energy", "mmd", "sinkhorn"}
"""What looks at all pairs within a set, so that 10^5 atoms cannot be afforded."""


@pytest.mark.parametrize("name", ALL)
def test_many_atoms_against_three(name):
    m = 1000 if name in PAIRS else 5000
    assert_usable(divergence(name), normal(0, (m,), 2), normal(1, (3,), 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_very_many_atoms_against_three(name):
    m = 6000 if name in PAIRS else 100_000
    assert_usable(divergence(name), normal(0, (m,), 2), normal(1, (3,), 2))


def assert_usable(compare, a, b):
    x, y = (s.x.clone().requires_grad_() for s in (a, b))
    value = compare(a.replace(x=x), b.replace(x=y))
    value.sum().backward()
    for number in (value, x.grad, y.grad):
        assert torch.isfinite(number).all()
    assert (value >= 0).all()


@pytest.mark.parametrize("name", ALL)
def test_equal_sets_have_a_finite_gradient(name):
    a = normal(0, (4, 4), 2)
    x = a.x.clone().requires_grad_()
    divergence(name)(a.replace(x=x), a).sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("name", ALL)
def test_keeps_the_type(name):
    a, b = normal(0, (3, 5), 2), normal(1, (4, 4), 2)
    compare = divergence(name)
    assert compare(a, b).dtype == torch.float64
    single = compare(a.to(dtype=torch.float32), b.to(dtype=torch.float32))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), compare(a, b), rtol=1e-5, atol=1e-5)
    tokens = SetBatch.from_list([[[0], [4]], [[1], [1]]])
    with pytest.raises(ValueError, match="integers, as tokens are.*batch.x.float"):
        compare(tokens, tokens)


@pytest.mark.parametrize("name", ALL)
def test_refuses_what_cannot_be_paired(name):
    a = normal(0, (3, 5), 2)
    with pytest.raises(ValueError, match="2 and 1 sets"):
        divergence(name)(a, a[0])
    with pytest.raises(ValueError, match="event shapes"):
        divergence(name)(a, normal(0, (3, 5), 3))


def broken(change):
    """Exact W2 of one-dimensional means, broken in one way."""

    def compare(a, b):
        return change(a, b, (a.mean(a.x) - b.mean(b.x)).abs().sum(1))

    return compare


@pytest.mark.parametrize(
    ("change", "law"),
    [
        (lambda a, b, d: d + 0.1, "itself"),
        (lambda a, b, d: d - d.mean(), "positive"),
        (lambda a, b, d: d * a.mean(a.x).abs().sum(1), "symmetric"),
        (lambda a, b, d: d * (1 + a.sizes / 9), "replicate"),
        (lambda a, b, d: d / d.max(), "independence"),
        (lambda a, b, d: d * a.x[a.offsets[:-1]].abs().sum(1), "permute"),
    ],
)
def test_check_divergence_sees_a_defect(change, law):
    with pytest.raises(LawError) as error:
        check_divergence(broken(change), (3,))
    assert law in error.value.report.broken
    check_divergence(broken(lambda a, b, d: d), (3,))
