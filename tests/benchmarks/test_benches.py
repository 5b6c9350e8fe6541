"""Every benchmark runs from data to table, at the scale of tests."""

import json
import math

import pytest

from distembed.benchmarks import BENCHES
from distembed.benchmarks.bench import Arm
from distembed.benchmarks.results import Result
from distembed.benchmarks.runner import load
from distembed.benchmarks.table import tables
from distembed.evaluation.metrics import metric

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

FIGURES = {
    "coverage": {"coverage.svg"},
    "images": {"images_digits.png"},
    "pooling": {"pooling_gaussian_5d.svg"},
    "setsize": {"setsize_gaussian_2d.svg", "setsize_digits.svg"},
    "tests": {"tests_power.svg"},
}
SLOW = (
    "ablation", "applications", "cohorts", "coverage", "encoders", "generators", "images",
    "paper", "paths", "pooling", "poisson", "representations", "sequences", "setsize", "sparse",
    "speed", "tests",
)  # fmt: skip
"""Those that take two seconds or more even at the smallest scale."""
ROW = {"task", "method", "metric", "value", "low", "high", "seeds", "seconds"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in BENCHES],
)
def test_a_bench_is_complete(name, measured):
    result, lines, plots = measured(name)
    assert set(result) == {"bench", "environment", "config", "rows"}
    assert result["bench"] == name
    assert {"torch", "threads", "cores", "peak_mb"} <= set(result["environment"])
    assert result["config"]["scale"] == "tiny"
    rows = result["rows"]
    assert all(set(row) == ROW for row in rows)
    assert len({(r["task"], r["method"], r["metric"]) for r in rows}) == len(rows)
    for row in rows:
        assert math.isfinite(row["value"]), row
        assert row["seeds"] == 1
        # the interval of a prediction is over folds or sets, that of all others over seeds
        assert name in ("applications", "cohorts", "representations") or (
            row["low"],
            row["high"],
        ) == (None, None)
        assert row["seconds"] is None or row["method"] == "gde"
        assert metric(row["metric"]).label
    assert any(row["method"] == "gde" for row in rows) or name in ("speed", "labels")
    assert any(line.startswith("[1/") for line in lines)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    text = tables(Result.from_json(result))
    for row in rows:
        assert row["task"] in text
        assert f"\n| {row['method']} |" in text
    written = {file.name for file in plots.iterdir()} if plots.is_dir() else set()
    assert written == FIGURES.get(name, set())


@pytest.mark.parametrize("name", BENCHES)
def test_arms_can_be_built(name):
    """Settings of every scale name members that exist, with labels that differ."""
    bench = load(name)
    assert bench.name == name
    assert list(bench.scales) == ["tiny", "quick", "full"]
    for settings in bench.scales.values():
        arms = [arm for arm in getattr(settings, "arms", ()) if isinstance(arm, Arm)]
        assert len({arm.label for arm in arms}) == len(arms)
        for arm in arms:
            arm.model(8)
            assert set(arm.tasks) <= set(bench.tasks)


@pytest.mark.slow
def test_real_data_that_are_missing_are_skipped_with_the_reason(measured):
    result, lines, _ = measured("images")
    assert "DISTEMBED_DATA is unset" in result["config"]["skipped"]["cells"]
    assert any(line.startswith("cells is skipped.") for line in lines)
