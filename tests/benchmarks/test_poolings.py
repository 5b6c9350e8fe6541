"""Controls and measures of the bench of poolings."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.benchmarks.pooling import (
    BENCH,
    TASKS,
    HeldOutSizes,
    MaxPooling,
    SumPooling,
    drift,
)
from distembed.encoders.deepsets import DeepSets
from distembed.encoders.statistics import run as compute
from distembed.registry import split_member

FULL = BENCH.scales["full"]


@pytest.mark.slow
def test_the_rows(cells):
    pytest.importorskip("matplotlib")
    values = {(m, k): v for (_, m, k), v in cells("pooling").items()}
    arms = {"gde", "mean", "sum"}
    for m in (10, 100, 200):
        assert {name for name, k in values if k == f"w2_m{m}"} == {*arms, "points", "floor"}
        assert {name for name, k in values if k == f"drift_m{m}"} == arms
    assert values["points", "w2_m200"] < values["points", "w2_m10"]
    assert values["floor", "w2_m200"] == values["floor", "w2_m10"]
    # even untrained, a sum moves with the number of atoms and a mean does not
    assert values["sum", "drift_m200"] > 3 * values["mean", "drift_m200"]


def test_the_controls_are_a_sum_and_a_maximum(measured):
    x = torch.randn(7, 3)
    batch = SetBatch(x, torch.tensor([0.2, 0.3, 0.5, *[0.25] * 4]), torch.tensor([0, 3, 7]))
    maximum = compute(MaxPooling()(batch, x), batch)
    assert torch.equal(maximum, torch.stack([x[:3].amax(0), x[3:].amax(0)]))
    equal = SetBatch.from_list([x[:3], x[3:]])
    total = compute(SumPooling()(equal, x), equal)
    torch.testing.assert_close(total, torch.stack([x[:3].sum(0), x[3:].sum(0)]))
    arms = measured("pooling")[0]["config"]["arms"]
    assert arms["sum"]["encoder"]["pooling"] == "SumPooling"


def test_only_the_pooling_differs():
    members = [split_member(arm.encoder, "encoder") for arm in FULL.arms[1:]]
    encoders = [DeepSets((2,), 4, **options) for name, options in members if name == "deepsets"]
    assert len(encoders) == 6
    for encoder in encoders:
        assert [type(layer) for layer in encoder.layers] == [type(k) for k in encoders[0].layers]
        assert type(encoder.feedback).__name__ == "MeanPooling"


def test_samples_that_diverge_have_a_bounded_error():
    settings = replace(BENCH.scales["tiny"], drawn=5)
    truth = TASKS["mixture_2d"].data(settings, 0)[1]
    held_out = HeldOutSizes.of(truth, settings, 0)
    diverged = torch.full((3, 5, 2), torch.nan)
    assert held_out.error(diverged) == pytest.approx(settings.bound * 2**0.5, rel=1e-2)


def test_drift():
    """A cloud moved by its own standard deviation has drifted by one."""
    z = np.random.default_rng(0).normal(size=(50, 4))
    shift = np.zeros(4)
    shift[1] = np.sqrt(z.var(0, ddof=1).sum())
    assert drift(z + shift, z) == pytest.approx(1)
    assert drift(z, z) == 0
