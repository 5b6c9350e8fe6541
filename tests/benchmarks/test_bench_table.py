"""Tables are made from JSON and from nothing else."""

import json

import pytest

from distembed.benchmarks.results import Result
from distembed.benchmarks.table import Layout, bench_table, tables
from distembed.evaluation.result import Score


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
SIZES = {
    "bench": "coverage",
    "environment": {},
    "rows": [
        row(f"{task}_m{m}", method, "z", value, value - 0.01, value + 0.01)
        for task, method, value in (("2d", "gde", 0.93), ("2d", "untrained", 0.92))
        for m in (100, 20)
    ]
    + [row("2d", "gde", "limit_error", 0.1)],
}


def lines(data, options=""):
    return tables(Result.from_json(data), Layout.parse(options)).splitlines()


def test_a_table_for_each_task():
    assert lines(RESULT) == [
        "Value [low, high] over 3 seeds. On: torch 2.13, cores 2.",
        "",
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


def test_a_choice_of_rows_and_columns():
    text = lines(RESULT, "tasks=2d methods=mean,gde metrics=spearman_w2,w2 intervals=no")
    assert text[2:] == [
        "| 2d (90 s to fit) | Rank correlation with W2 | W2 |",
        "|---|---|---|",
        "| mean |  | 0.0750 |",
        "| gde | 0.9981 | 0.0500 |",
    ]
    assert lines(RESULT, "columns=method metrics=w2 intervals=no")[2:] == [
        "| task | gde | mean | floor |",
        "|---|---|---|---|",
        "| 2d | 0.0500 | 0.0750 | 0.00600 |",
        "| 5d |  |  | 123 |",
    ]


def test_columns_that_are_sizes():
    assert lines(SIZES, "columns=size")[2:] == [
        "| method | m = 20 | m = 100 |",
        "|---|---|---|",
        "| gde | 0.930 [0.920, 0.940] | 0.930 [0.920, 0.940] |",
        "| untrained | 0.920 [0.910, 0.930] | 0.920 [0.910, 0.930] |",
    ]
    assert lines(SIZES, "columns=size methods=gde metrics=z")[2] == "| metric | m = 20 | m = 100 |"
    of_metrics = {**SIZES, "rows": [row("2d", "gde", f"w2_m{m}", 0.5) for m in (10, 1000)]}
    assert lines(of_metrics, "columns=size")[2:] == [
        "| metric | m = 10 | m = 1000 |",
        "|---|---|---|",
        "| W2 | 0.500 | 0.500 |",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("rows=task", "is no option of a table; the options are columns="),
        ("columns=task", "columns is 'task'; expected one of metric, method, size"),
        ("methods=mode", "no method 'mode' in the result; there are: floor, gde, mean"),
        ("tasks=9d", "no task '9d'"),
    ],
)
def test_options_that_are_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        lines(RESULT, options)


def test_an_evaluation_is_a_table_with_verdicts(tmp_path):
    scores = (
        Score("energy_unbiased", "gde", 0.2, 0.1, 0.3, p=0.03, note="gde (0.200) is ahead"),
        Score("energy_unbiased", "mean_cov", 0.4, 0.3, 0.5),
    )
    record = {"rows": [s.to_json() for s in scores], "settings": {"sets": 80}}
    file = tmp_path / "demo.json"
    file.write_text(json.dumps(record))
    result = Result.read(file)
    assert result.bench == "demo"
    assert tables(result).splitlines() == [
        "Value [low, high] over held-out sets.",
        "",
        "| demo | Energy distance |",
        "|---|---|",
        "| gde | 0.200 [0.100, 0.300] |",
        "| mean_cov | 0.400 [0.300, 0.500] |",
        "",
        "- Energy distance: gde (0.200) is ahead (p = 0.03).",
    ]


def test_files_are_sections(tmp_path):
    paths = [tmp_path / name for name in ("a.json", "b.json")]
    other = RESULT | {"rows": [row("7d", "gde", "w2", 1.0)], "bench": "digits"}
    for path, result in zip(paths, (RESULT, other), strict=True):
        path.write_text(json.dumps(result))
    text = bench_table(paths)
    assert text.count("### ") == 2
    assert text.index("| 5d") < text.index("### digits") < text.index("| 7d")


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"bench": "a", "environment": {}, "rows": [{"task": "t"}]}']
)
def test_a_damaged_file_is_named(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a\.json"):
        bench_table([path])
