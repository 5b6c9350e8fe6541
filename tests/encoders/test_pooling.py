"""Poolings against closed forms, and what tells the robust ones from their naive forms."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from distembed.batch import SetBatch
from distembed.encoders import POOLINGS
from distembed.encoders.pooling import pooling
from distembed.encoders.statistics import run
from distembed.rng import stream


def pool(name, batch, h=None):
    h = batch.x if h is None else h
    return run(pooling(name)(batch, h), batch)


def column(*values, w=None):
    x = torch.tensor(values, dtype=torch.float64)[:, None]
    return SetBatch.from_list([x], None if w is None else [torch.tensor(w, dtype=torch.float64)])


@pytest.mark.parametrize(
    ("values", "w", "median"),
    [
        ((3, 1, 2), None, 2.0),
        ((1, 2, 3, 10), None, 2.5),  # the middle, or a doubled set would have another median
        ((1, 2, 10), (1, 1, 2), 6.0),
        ((1, 2, 10), (1, 1, 2.0001), 10.0),
        ((1, 5, 2), (1, 0, 1), 1.5),  # an atom without weight is not there
        ((7,), None, 7.0),
    ],
)
def test_the_median_is_the_middle_at_half_of_the_weight(values, w, median):
    assert pool("median", column(*values, w=w)).item() == pytest.approx(median, abs=1e-12)


@given(st.integers(1, 12), st.integers(1, 60), st.integers(0, 99))
def test_a_median_survives_rounding_of_cumulative_weights(m, times, seed):
    x = torch.randn(m, 2, generator=stream(seed), dtype=torch.float64)
    once, often = SetBatch.from_list([x]), SetBatch.from_list([x.repeat(times, 1)])
    assert pool("median", once).equal(pool("median", often))


def test_trimming_cuts_weight_and_not_atoms():
    # a tenth is cut on either side: of ten atoms one, of five half of one
    assert pool("trimmed", column(*range(10))).item() == pytest.approx(4.5)
    assert pool("trimmed", column(0, 0, 0, 0, 100)).item() == pytest.approx(12.5)
    assert pool("trimmed", column(*[0] * 19, 1000)).item() == pytest.approx(0)


def test_huber_is_the_mean_near_and_resists_what_is_far():
    near = column(-1, 0, 1)  # all within 1.345 deviations
    assert pool("huber", near).item() == pytest.approx(0, abs=1e-12)
    far = column(*[-1, 0, 1] * 10, 1000)
    assert abs(pool("huber", far).item()) < abs(pool("mean", far).item()) / 3


def test_the_smooth_ones():
    batch = column(0, 2)
    assert pool("mean", batch).item() == 1
    assert pool("moments", batch).tolist()[0] == pytest.approx([1, (1 + 1e-6) ** 0.5])
    assert pool("logmeanexp", batch).item() == pytest.approx(
        torch.tensor([0.0, 2.0]).exp().mean().log().item()
    )


@pytest.mark.parametrize("name", POOLINGS)
def test_what_a_pooling_states(name):
    member = pooling(name)
    batch = SetBatch.from_dense(torch.randn(3, 9, 4, generator=stream("states")))
    assert pool(name, batch).shape == (3, 4 * member.columns)
    stages, passes = member(batch, batch.x), 0
    try:
        asked = next(stages)
        while True:
            passes += 1
            asked = stages.send(tuple(s.of(batch) for s in asked))
    except StopIteration:
        assert passes == (member.passes or 0)
    assert member.normal


@pytest.mark.parametrize("name", POOLINGS)
def test_a_pooling_is_differentiable(name):
    batch = SetBatch.from_dense(torch.randn(2, 7, 3, generator=stream("d")).double())
    h = batch.x.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda h: pool(name, batch, h), (h,))
