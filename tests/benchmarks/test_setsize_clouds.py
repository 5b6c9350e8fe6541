"""Clouds of embeddings whose law is known, and the truth of digits."""

import numpy as np
import pytest
import torch

from distembed.benchmarks.setsize import BENCH, TASKS, Clouds
from distembed.rng import stream


@pytest.mark.slow
def test_the_rows(cells):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    values = cells("setsize")
    for task in TASKS:
        for m in (10, 40, 160):
            methods = {name for t, name, k in values if (t, k) == (task, f"w2_m{m}")}
            assert methods == {"gde", "points", "floor"}
        assert values[task, "points", "w2_m160"] < values[task, "points", "w2_m10"]
        assert values[task, "gde", "sd2_m40"] <= values[task, "gde", "sd1_m40"]
        # sd of 30 embeddings is known to 13 %, so the slope over 16 times the atoms to 0.07
        assert values[task, "gde", "slope1"] == pytest.approx(-0.5, abs=0.25)


def test_the_slope_of_a_mean_is_a_half():
    """Clouds whose law is known: 400 means of m normal numbers, of deviation 3, 1, 1/9."""
    rng = np.random.default_rng(0)
    scale = np.array([1.0, 3.0, 1 / 9])
    clouds = {m: rng.normal(size=(400, 3)) * scale / np.sqrt(m) for m in (10, 100, 1000)}
    values = {s.metric: s.value for s in Clouds.of(clouds).scores()}
    # a standard deviation of 400 is known to 1 / sqrt(800) = 3.5 %
    for axis, deviation in ((1, 3.0), (2, 1.0)):
        assert values[f"sd{axis}_m100"] == pytest.approx(deviation / 10, rel=5 * 0.035)
        error = 5 * 0.035 * 2**0.5 / np.log(100)
        assert values[f"slope{axis}"] == pytest.approx(-0.5, abs=error)


def test_the_truth_of_digits_is_the_pool():
    pytest.importorskip("sklearn")
    truth = TASKS["digits"].data(BENCH.scales["tiny"], 0)[1]
    assert float(truth.atoms.w.sum()) == pytest.approx(1, abs=1e-6)
    # all atoms once, of equal weight, are the truth but for the shares of the digits
    near = float(truth.error(truth.atoms.x[None]))
    far = float(truth.error(truth.draw(1, 10, stream(0, "few"))))
    assert 0 < near < far
    drawn = truth.draw(2, 300, stream(0, "many"))
    assert drawn.shape == (2, 300, *truth.atoms.event_shape)
    assert torch.isin(drawn.flatten(2).sum(2), truth.atoms.flat.sum(1)).all()
