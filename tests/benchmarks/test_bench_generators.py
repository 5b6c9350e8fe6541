"""The bench of generators, in a size that a test can run."""

import json

import numpy as np
import pytest
import torch

from distembed.benchmarks import generators
from distembed.benchmarks.generators import ARMS, TASKS
from distembed.benchmarks.table import tabulate
from distembed.data.synthetic.families import RING_WIDTH
from distembed.generators import GENERATORS
from distembed.rng import stream

# two steps teach a generator nothing, and training says so
pytestmark = pytest.mark.filterwarnings("ignore:The generator:UserWarning")


@pytest.fixture
def tiny(monkeypatch):
    settings = {"steps": 2, "every": 2, "batch": 4, "target": 4, "context": (8, 16)}
    monkeypatch.setattr(generators, "CONFIG", generators.CONFIG.model_copy(update=settings))
    for name, value in (
        ("TRAIN_SETS", 30),
        ("POINTS", 20),
        ("EXAMINED", 20),
        ("FIXED", 10),
        ("MANY", 50),
        ("FAIR", ("gaussian_5d_scale01",)),
    ):
        monkeypatch.setattr(generators, name, value)
    few = {name: generators.replace(task, sets=3) for name, task in TASKS.items()}
    monkeypatch.setattr(generators, "TASKS", few)
    arms = [a for a in ARMS if a.label in ("gde", "explicit_gaussian", "explicit_nb", "wormhole")]
    arms = [generators.replace(a, options={"atoms": 10}) if a.wormhole else a for a in arms]
    monkeypatch.setattr(generators, "ARMS", tuple(arms))


def test_the_record(tiny):
    tasks = ["gaussian_5d_scale01", "counts_10d"]
    result = generators.bench(seeds=1, tasks=tasks, log=lambda _: None)
    cells = {(r["task"], r["method"], r["metric"]): r["value"] for r in result["rows"]}
    assert len(cells) == len(result["rows"])
    assert all(np.isfinite(value) for value in cells.values())
    assert {m for t, m, _ in cells if t == "counts_10d"} == {
        "gde", "explicit_gaussian", "explicit_nb", "untrained", "floor", "mean_cov"
    }  # fmt: skip
    assert {m for t, m, k in cells if (t, k) == ("gaussian_5d_scale01", "w2")} == {
        "gde", "explicit_gaussian", "wormhole", "untrained", "floor", "floor_10", "mean_cov"
    }  # fmt: skip
    assert ("gaussian_5d_scale01", "wormhole", "w2_equal_seconds") in cells
    assert ("gaussian_5d_scale01", "wormhole", "draw_seconds") not in cells
    assert not any("equal_seconds" in k for t, _, k in cells if t == "counts_10d")
    assert cells["gaussian_5d_scale01", "gde", "paper_w2"] > 0
    json.dumps(result, allow_nan=False)
    assert "| explicit_nb |" in tabulate([result])


def test_every_generator_takes_part():
    assert {arm.generator for arm in ARMS} == set(GENERATORS)


def test_modes_count_what_is_near_them():
    exam = generators._Exam.of(generators.replace(TASKS["rings"], sets=2), 0)
    truth = exam.fresh.x.view(2, -1, 2)
    scores = {k: v for _, k, v in exam.grades("floor", truth)}
    # three deviations in the plane hold all but exp(-9 / 2) = 1.1 %, known to 1 / sqrt(2000)
    assert scores["bad_modes"] == 0
    assert scores["off_modes"] == pytest.approx(0.0111, abs=5 * (0.0111 / 2000) ** 0.5)
    # a mode that is missing, and one that has all of its mass beside its own
    mean = exam.sets.mean[:, :7].float()
    some = mean[:, torch.arange(1000) % 7]
    noise = RING_WIDTH * torch.randn(some.shape, generator=stream("modes"))
    lost = {k: v for _, k, v in exam.grades("lost", some + noise)}
    assert lost["bad_modes"] == 1
    # a disc covers the ring and none of its modes
    disc = 4 * torch.randn(2, 1000, 2, generator=stream("disc"))
    blurred = {k: v for _, k, v in exam.grades("disc", disc)}
    assert blurred["off_modes"] > 0.8
    assert blurred["bad_modes"] > 4


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="no task 'x'; there are: gaussian_5d_scale1"):
        generators.bench(tasks=["x"], log=print)
