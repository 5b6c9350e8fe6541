"""Tasks and seeds become rows, in one process or in several."""

import os

import pytest

from distembed.benchmarks.seeds import SECONDS, environment, measured_rows

TASKS = {"a": 1.0, "b": 10.0}


def measure(name, task, seed):
    yield (*SECONDS, task)
    yield "gde", "w2", task + seed
    yield "floor", "threads", float(os.environ.get("OMP_NUM_THREADS", "0"))
    if name == "b" and seed == 1:  # a method that arrives with one seed alone
        yield "late", "calls", 7.0


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_row_is_a_mean_over_seeds_whoever_measured_it(jobs, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # a worker has one all the same
    said = []
    rows = measured_rows(TASKS, 2, measure, said.append if jobs == 1 else print, jobs)
    found = {(row["task"], row["method"]): row for row in rows}
    assert list(found) == [
        ("a", "gde"),
        ("a", "floor"),
        ("b", "gde"),
        ("b", "floor"),
        ("b", "late"),
    ]
    assert found["a", "gde"]["value"] == 1.5
    assert found["b", "gde"]["value"] == 10.5
    assert found["b", "gde"]["low"] < 10.5 < found["b", "gde"]["high"]
    assert found["b", "gde"]["seconds"] == 10.0
    assert found["b", "late"]["seeds"] == 1
    assert found["b", "late"]["low"] is None
    if jobs == 1:
        assert said[0] == "a, seed 0"
    else:
        assert found["a", "floor"]["value"] == 1.0


def test_the_place_says_how_the_work_was_shared():
    alone, shared = environment(), environment(2)
    assert "peak_mb" in alone
    assert "jobs" not in alone
    assert (shared["jobs"], shared["threads"]) == (2, 1)
    assert "peak_mb" not in shared
