"""The bench of set sizes, in a size that a test can run."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from distembed.benchmarks import setsize
from distembed.benchmarks.setsize import TASKS
from distembed.benchmarks.table import tabulate
from distembed.rng import stream

# two steps teach a generator nothing, and training says so
pytestmark = pytest.mark.filterwarnings("ignore:The generator:UserWarning")


@pytest.fixture
def tiny(monkeypatch):
    settings = {"steps": 2, "every": 2, "batch": 4, "target": 4, "context": (8, 16), "warmup": 1}
    monkeypatch.setattr(setsize, "CONFIG", setsize.CONFIG.model_copy(update=settings))
    monkeypatch.setattr(setsize, "TRAIN_SETS", {"gaussian_2d": 20, "digits": 10})
    monkeypatch.setattr(setsize, "LATENT", 8)
    monkeypatch.setattr(setsize, "SIZES", (10, 40, 160))
    few = {name: replace(task, judged=3, sets=30, drawn=20) for name, task in TASKS.items()}
    monkeypatch.setattr(setsize, "TASKS", few)


def test_the_record(tiny, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    lines = []
    result = setsize.bench(seeds=1, plots=tmp_path, log=lines.append)
    cells = {(r["task"], r["method"], r["metric"]): r["value"] for r in result["rows"]}
    assert len(cells) == len(result["rows"])
    assert all(np.isfinite(value) for value in cells.values())
    for task in TASKS:
        for m in (10, 40, 160):
            found = {name for t, name, metric in cells if (t, metric) == (task, f"w2_m{m}")}
            assert found == {"gde", "points", "floor"}
        assert cells[task, "points", "w2_m160"] < cells[task, "points", "w2_m10"]
        assert cells[task, "gde", "sd2_m40"] <= cells[task, "gde", "sd1_m40"]
        # sd of 30 embeddings is known to 13 %, so the slope over 16 times the atoms to 0.07
        assert cells[task, "gde", "slope1"] == pytest.approx(-0.5, abs=0.25)
        assert (tmp_path / f"setsize_{task}.svg").exists()
    json.dumps(result, allow_nan=False)
    assert "| gde |" in tabulate([result])


def test_the_slope_of_a_mean_is_a_half():
    """Clouds whose law is known: 400 means of m normal numbers, of deviation 3, 1, 1/9."""
    rng = np.random.default_rng(0)
    scale = np.array([1.0, 3.0, 1 / 9])
    clouds = {m: rng.normal(size=(400, 3)) * scale / np.sqrt(m) for m in (10, 100, 1000)}
    found = {metric: value for _, metric, value in setsize._Clouds.of(clouds).scores()}
    # a standard deviation of 400 is known to 1 / sqrt(800) = 3.5 %
    for axis, wanted in ((1, 3.0), (2, 1.0)):
        assert found[f"sd{axis}_m100"] == pytest.approx(wanted / 10, rel=5 * 0.035)
        assert found[f"slope{axis}"] == pytest.approx(-0.5, abs=5 * 0.035 * 2**0.5 / np.log(100))


def test_the_truth_of_digits_is_the_pool():
    pytest.importorskip("sklearn")
    _, truth = TASKS["digits"].prior(0)
    assert float(truth.one.w.sum()) == pytest.approx(1, abs=1e-6)
    exact = truth.one.x[None]
    # all atoms once, of equal weight, are the truth but for the shares of the digits
    near = float(truth.error(exact))
    far = float(truth.error(truth.draw(1, 10, stream(0, "few"))))
    assert 0 < near < far
    drawn = truth.draw(2, 300, stream(0, "many"))
    assert drawn.shape == (2, 300, *truth.one.event_shape)
    assert torch.isin(drawn.flatten(2).sum(2), truth.one.flat.sum(1)).all()


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"no task 'x'; there are: gaussian_2d, digits"):
        setsize.bench(tasks=["x"], log=print)
