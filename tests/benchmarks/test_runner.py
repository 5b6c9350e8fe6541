"""Tasks and seeds become rows, in one process or in several."""

import math
import os
from dataclasses import dataclass, field, replace

import pytest
from scipy.stats import t

from distembed.benchmarks.bench import Arm, Bench, Task, missing_data
from distembed.benchmarks.runner import environment, load, over_seeds, run
from distembed.evaluation.result import Score
from distembed.training.config import TrainConfig


@dataclass(frozen=True)
class Settings:
    training: TrainConfig = field(default_factory=lambda: TrainConfig(steps=100, warmup=50))
    offset: float = 0.0
    arms: tuple = (Arm("gde"), Arm("kernel", {"name": "kernel", "learned": True}))


def measure(trial):
    base = trial.data()
    scores = [Score("w2", "gde", base + trial.seed)]
    yield from trial.report("both", scores, seconds=base)
    yield Score("energy", "floor", float(os.environ.get("OMP_NUM_THREADS", "0")))
    yield Score("z", "gde", 0.5, task=trial.at(20))
    if trial.name == "b" and trial.seed == 1:  # a method that has a value for one seed alone
        yield Score("calls_to_own", "late", 7.0)
    if trial.name == "steps":
        yield Score("ms_per_step", "gde", trial.training.steps + trial.training.warmup / 1000)


def task(base, missing=None):
    return Task(measure, lambda settings, seed: base + settings.offset, lambda: missing)


BENCH = Bench(
    "toy",
    {"a": task(1.0), "b": task(10.0), "steps": task(0.0), "real": task(0.0, "No data here.")},
    {"tiny": Settings(offset=100.0), "quick": Settings(offset=50.0), "full": Settings()},
)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_row_is_a_mean_over_seeds(jobs, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # a worker has one all the same
    lines = []
    log = lines.append if jobs == 1 else print
    rows = run(BENCH, seeds=2, tasks=["a", "b"], jobs=jobs, log=log)["rows"]
    cells = {(row["task"], row["method"], row["metric"]): row for row in rows}
    assert list(cells) == [
        ("a", "gde", "w2"),
        ("a", "floor", "energy"),
        ("a_m20", "gde", "z"),
        ("b", "gde", "w2"),
        ("b", "floor", "energy"),
        ("b", "late", "calls_to_own"),
        ("b_m20", "gde", "z"),
    ]
    assert cells["a", "gde", "w2"]["value"] == 1.5
    own = cells["b", "gde", "w2"]
    half = t.ppf(0.975, 1) * 0.5  # two values one apart deviate by 2^-1/2, their mean by 1/2
    assert (own["low"], own["value"], own["high"]) == pytest.approx(
        (10.5 - half, 10.5, 10.5 + half)
    )
    assert (own["seeds"], own["seconds"]) == (2, 10.0)
    assert cells["b", "floor", "energy"]["seconds"] is None
    late = cells["b", "late", "calls_to_own"]
    assert (late["seeds"], late["low"], late["high"]) == (1, None, None)
    if jobs == 1:
        assert lines[0] == "[1/4] a, seed 0"
        assert any("w2 11" in line for line in lines)
    else:
        assert cells["a", "floor", "energy"]["value"] == 1.0


def test_scale_decides_settings_and_seeds():
    for scale, offset, seeds in (("tiny", 100, 1), ("quick", 50, 1), ("full", 0, 3)):
        result = run(BENCH, scale, tasks=["a"], log=len)
        assert result["config"]["scale"] == scale
        assert result["config"]["offset"] == offset
        assert result["rows"][0]["value"] == offset + 1 + (seeds - 1) / 2
        assert result["rows"][0]["seeds"] == seeds


def test_config_is_plain():
    config = run(BENCH, tasks=["a"], seeds=1, log=len)["config"]
    assert config["steps"] == 100
    assert "seed" not in config
    assert config["arms"]["kernel"]["encoder"] == {"name": "kernel", "learned": True}


def test_steps_replace_those_of_the_settings():
    (own,) = (
        row["value"]
        for row in run(BENCH, tasks=["steps"], steps=40, seeds=1, log=len)["rows"]
        if row["metric"] == "ms_per_step"
    )
    assert own == pytest.approx(40.008)  # a fifth of them is warm-up


def test_tasks_without_data_are_skipped_unless_named():
    lines = []
    result = run(BENCH, "tiny", log=lines.append)
    assert result["config"]["skipped"] == {"real": "No data here."}
    assert lines[0] == "real is skipped. No data here."
    assert {row["task"].removesuffix("_m20") for row in result["rows"]} == {"a", "b", "steps"}
    with pytest.raises(ValueError, match=r"task real cannot run\. No data here"):
        run(BENCH, tasks=["real"], log=len)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no task 'c'; its tasks are: a, b, steps, real"):
        run(BENCH, tasks=["c"], log=len)
    with pytest.raises(ValueError, match="no bench 'gausian'"):
        load("gausian")


def test_tasks_by_pattern_and_by_scale():
    def tasks(bench, scale, names):
        rows = run(bench, scale, seeds=1, tasks=names, log=lambda line: None)["rows"]
        return list(dict.fromkeys(row["task"].removesuffix("_m20") for row in rows))

    assert tasks(BENCH, "full", ["[ab]"]) == ["a", "b"]
    assert tasks(BENCH, "full", ["s*", "a"]) == ["a", "steps"]
    short = replace(BENCH, shortened={"quick": ("a", "st*")})
    assert tasks(short, "quick", None) == ["a", "steps"]
    assert tasks(short, "full", None) == ["a", "b", "steps"]
    assert tasks(short, "quick", ["b"]) == ["b"]


def test_time_is_measured_in_one_process():
    serial = Bench("toy", BENCH.tasks, BENCH.scales, serial=True)
    with pytest.raises(ValueError, match="measures time"):
        run(serial, jobs=2, log=len)


def test_a_mean_without_interval():
    (mean,) = over_seeds([[Score("w2", "gde", 2.0, task="a")]])
    assert (mean.value, mean.seeds, mean.interval) == (2.0, 1, None)
    assert math.isnan(mean.low)


def test_the_environment_states_how_the_work_is_shared():
    alone, shared = environment(), environment(2)
    assert "peak_mb" in alone
    assert "jobs" not in alone
    assert (shared["jobs"], shared["threads"]) == (2, 1)
    assert "peak_mb" not in shared


def test_folders_of_real_data(tmp_path, monkeypatch):
    monkeypatch.delenv("DISTEMBED_DATA", raising=False)
    assert "DISTEMBED_DATA is unset" in missing_data("cells")
    monkeypatch.setenv("DISTEMBED_DATA", str(tmp_path))
    assert "there is no folder" in missing_data("cells")
    (tmp_path / "cells").mkdir()
    assert missing_data("cells") is None
