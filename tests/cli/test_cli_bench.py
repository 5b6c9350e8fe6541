"""The table of a benchmark is made from its JSON and from nothing else."""

import json
from inspect import signature

import pytest
from typer.main import get_command

from distembed.benchmarks import BENCHES
from distembed.benchmarks.table import bench_table, tabulate
from distembed.cli.main import app
from distembed.registry import lookup


def row(task, method, metric, value, low=None, high=None, seconds=None):
    return {
        "task": task, "method": method, "metric": metric, "value": value, "low": low,
        "high": high, "seeds": 3, "seconds": seconds,
    }  # fmt: skip


RESULT = {
    "bench": "gaussian",
    "environment": {"torch": "2.13", "cores": 2},
    "config": {},
    "rows": [
        row("2d", "floor", "w2", 0.006),
        row("2d", "gde", "w2", 0.05, 0.04, 0.061, seconds=90.4),
        row("2d", "mean", "w2", 0.075, 0.07, 0.08),
        row("2d", "gde", "spearman_w2", 0.9981, 0.9975, 0.9990),
        row("5d", "gde", "w2", None),
        row("5d", "floor", "w2", 123.4),
    ],
}


def test_table():
    lines = tabulate([RESULT]).splitlines()
    assert lines[0] == "### gaussian"
    assert "over 3 seeds" in lines[2]
    assert "torch 2.13, cores 2" in lines[2]
    assert lines[4:] == [
        "| 2d (90 s to fit) | W2 | Rank correlation with W2 |",
        "|---|---|---|",
        "| gde | 0.0500 [0.0400, 0.0610] | 0.9981 [0.9975, 0.9990] |",
        "| mean | 0.0750 [0.0700, 0.0800] |  |",
        "| floor | 0.00600 |  |",
        "",
        "| 5d | W2 |",
        "|---|---|",
        "| gde |  |",
        "| floor | 123 |",
    ]


def test_files_of_one_bench_are_one_table(tmp_path):
    paths = [tmp_path / name for name in ("a.json", "b.json", "c.json")]
    other = RESULT | {"rows": [row("7d", "gde", "w2", 1.0)]}
    for path, result in zip(paths, (RESULT, other, other | {"bench": "digits"}), strict=True):
        path.write_text(json.dumps(result))
    text = bench_table(paths)
    assert text.count("### ") == 2
    assert text.index("| 7d") < text.index("### digits")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"bench": "a", "rows": [{"task": "t"}]}'])
def test_damaged_file(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a\.json"):
        bench_table([path])


def test_verb(run, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(RESULT))
    shown = run("bench", "table", path)
    assert (shown.code, shown.out) == (0, tabulate([RESULT]))
    assert "Name the JSON files" in run("bench", "table").err
    assert "did you mean: distembed bench table" in run("bench", "gaussian", path).err
    assert "There is no bench 'gausian'" in run("bench", "gausian").err


def test_verb_runs_a_member(run, tmp_path, monkeypatch):
    asked = {}

    def bench(*, quick, seeds, tasks, log):
        asked.update(quick=quick, seeds=seeds, tasks=tasks)
        log("working")
        return RESULT

    monkeypatch.setattr("distembed.cli.bench.lookup", lambda *_: bench)
    path = tmp_path / "a.json"
    done = run("bench", "gaussian", "--quick", "--task", "2d", "--json", path)
    assert done.code == 0, done.err
    assert json.loads(path.read_text()) == RESULT
    assert done.out == tabulate([RESULT])
    assert "working" in done.err
    assert asked == {"quick": True, "seeds": 1, "tasks": ["2d"]}
    assert run("bench", "gaussian", "--json", path).code == 1
    assert "exists" in run("bench", "gaussian", "--json", path).err


def test_options_go_to_benches_that_take_them(run, tmp_path, monkeypatch):
    asked = {}

    def draws(*, quick, seeds, jobs, tasks, log, plots):
        asked.update(tasks=tasks, plots=plots, jobs=jobs)
        return RESULT

    def plain(*, quick, seeds, tasks, log):
        return RESULT

    monkeypatch.setattr("distembed.cli.bench.lookup", lambda *_: draws)
    assert run("bench", "images", "--part", "2d", "--plots", tmp_path, "--jobs", "2").code == 0
    assert asked == {"tasks": ["2d"], "plots": tmp_path, "jobs": 2}
    monkeypatch.setattr("distembed.cli.bench.lookup", lambda *_: plain)
    assert "draws no figures" in run("bench", "gaussian", "--plots", tmp_path).err
    assert "runs in one process" in run("bench", "gaussian", "--jobs", "2").err
    assert "steps of its own" in run("bench", "gaussian", "--steps", "2").err


@pytest.mark.parametrize("option", ["steps", "jobs", "plots"])
def test_help_names_the_benches_that_take_an_option(option):
    command = get_command(app).commands["bench"]
    (said,) = (p.help for p in command.params if p.name == option)
    takes = [n for n in BENCHES if option in signature(lookup(BENCHES, n, "bench")).parameters]
    assert said.endswith(f"of {', '.join(sorted(takes))}.")
