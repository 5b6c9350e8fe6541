"""`distembed bench`: runs a benchmark, prints tables, rewrites documents."""

import json
from dataclasses import dataclass, field

import pytest

from distembed.benchmarks import BENCHES
from distembed.benchmarks.bench import Bench, Task
from distembed.benchmarks.table import bench_table
from distembed.evaluation.result import Score
from distembed.registry import Member
from distembed.training.config import TrainConfig


@dataclass(frozen=True)
class Settings:
    training: TrainConfig = field(default_factory=lambda: TrainConfig(steps=10))


def measure(trial):
    trial.log("working")
    yield Score("w2", "gde", trial.seed + trial.training.steps / 100)


TOY = Bench(
    "toy",
    {"2d": Task(measure), "5d": Task(measure)},
    dict.fromkeys(("tiny", "quick", "full"), Settings()),
)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(BENCHES, "toy", Member(f"{__name__}:TOY", "a benchmark of this test"))


def test_a_bench_runs_and_its_table_is_printed(run, toy, tmp_path):
    path = tmp_path / "a.json"
    outcome = run("bench", "toy", "--task", "2d", "--json", path)
    assert outcome.code == 0, outcome.err
    result = json.loads(path.read_text())
    assert [(r["task"], r["value"], r["seeds"]) for r in result["rows"]] == [("2d", 1.1, 3)]
    assert "| gde | 1.10 [" in outcome.out
    assert "working" in outcome.err
    printed = run("bench", "table", path)
    assert (printed.code, printed.out) == (0, bench_table([path]))
    refused = run("bench", "toy", "--json", path)
    assert refused.code == 1
    assert "exists" in refused.err


def test_options_reach_the_runner(run, toy, tmp_path):
    path = tmp_path / "a.json"
    options = ("--quick", "--steps", "20", "--jobs", "1", "--json", path)
    assert run("bench", "toy", *options).code == 0
    result = json.loads(path.read_text())
    assert result["config"]["scale"] == "quick"
    assert [(r["value"], r["seeds"]) for r in result["rows"]] == [(0.2, 1), (0.2, 1)]
    options = ("--scale", "tiny", "--seeds", "2", "--force", "--json", path)
    assert run("bench", "toy", *options).code == 0
    result = json.loads(path.read_text())
    assert result["config"]["scale"] == "tiny"
    assert result["rows"][0]["seeds"] == 2


def test_documents_are_rewritten(run, toy, tmp_path):
    (tmp_path / "results").mkdir()
    run("bench", "toy", "--json", tmp_path / "results" / "toy.json")
    page = tmp_path / "page.md"
    page.write_text("<!-- bench toy -->\n<!-- end -->\n")
    outcome = run("bench", "table", "--write", page)
    assert (outcome.code, outcome.out) == (0, "")
    assert f"wrote {page}" in outcome.err
    assert "| gde | 1.10 [" in page.read_text()


def test_mistakes_are_named(run, tmp_path):
    assert "Name the JSON files" in run("bench", "table").err
    assert "did you mean: distembed bench table" in run("bench", "gaussian", "a.json").err
    assert "There is no bench 'gausian'" in run("bench", "gausian").err
    assert "--write rewrites tables" in run("bench", "gaussian", "--write").err
    assert "no task 'x'" in run("bench", "gaussian", "--task", "x").err
