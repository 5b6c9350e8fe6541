"""Values of parts make the value of their union, exactly."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from distembed.batch import SetBatch
from distembed.encoders.statistics import Attend, Covariance, LogMeanExp, Mean, Variance
from distembed.rng import stream

HEADS, POINTS = 2, 3


def part(batch, first, last):
    """Rows of a batch of one set, their weights fractions of the whole."""
    offsets = torch.tensor([0, last - first])
    return SetBatch(batch.x[first:last], batch.w[first:last], offsets)


def attend(x):
    queries = torch.randn(1, HEADS, POINTS, 2, generator=stream("queries")).double()
    return Attend(queries, x.view(-1, HEADS, 2), x.view(-1, HEADS, 2).square())


STATISTICS = [Mean, Variance, Covariance, LogMeanExp, attend]


@pytest.mark.parametrize("statistic", STATISTICS)
@given(
    seed=st.integers(0, 10**6), m=st.integers(2, 30), cut=st.floats(0, 1), far=st.floats(-50, 50)
)
def test_parts_make_the_whole(statistic, seed, m, cut, far):
    rng = stream(seed)
    x = torch.randn(m, 4, generator=rng, dtype=torch.float64) + far
    w = torch.rand(m, generator=rng, dtype=torch.float64) + 0.01
    whole = SetBatch.from_list([x], [w])
    middle = min(m - 1, max(1, round(cut * m)))
    parts = [part(whole, 0, middle), part(whole, middle, m)]
    a, b = (statistic(p.x).of(p) for p in parts)
    merged = type(statistic(x)).merge(a, b, parts[1].mass / (parts[0].mass + parts[1].mass))
    for found, expected in zip(merged, statistic(x).of(whole), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_closed_forms():
    batch = SetBatch.from_list([[[0.0], [2.0]]], [[3.0, 1.0]]).to(dtype=torch.float64)
    h = batch.x
    assert [v.item() for v in Variance(h).of(batch)] == pytest.approx([0.5, 0.75])
    assert [v.item() for v in Covariance(h).of(batch)] == pytest.approx([0.5, 0.75])
    expected = torch.tensor((3 + torch.e**2) / 4).log().item()
    assert LogMeanExp(h).of(batch)[0].item() == pytest.approx(expected)
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    average, log = Attend(one, h[:, None], h[:, None]).of(batch)
    assert log.item() == pytest.approx(expected)
    assert average.item() == pytest.approx(2 * torch.e**2 / (3 + torch.e**2))


def test_a_log_mean_exp_neither_overflows_nor_sees_atoms_without_weight():
    x = torch.tensor([[1000.0], [999.0], [5000.0]], dtype=torch.float64)
    batch = SetBatch.from_list([x], [[1.0, 1.0, 0.0]])
    h = x.clone().requires_grad_()
    (value,) = LogMeanExp(h).of(batch)
    assert value.item() == pytest.approx(1000 + torch.tensor((1 + 1 / torch.e) / 2).log().item())
    value.sum().backward()
    assert h.grad.isfinite().all()
    assert h.grad[2] == 0
