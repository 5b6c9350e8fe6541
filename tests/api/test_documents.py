"""The tables of the documentation are those of the results, and every result is shown."""

import json
from pathlib import Path

import pytest

from distembed.benchmarks import BENCHES
from distembed.benchmarks.document import markers, results_of, update
from distembed.benchmarks.results import Result
from distembed.evaluation.metrics import metric

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_the_results(page):
    text = page.read_text(encoding="utf-8")
    assert update(text, results_of(page)) == text, (
        f"{page.name} differs from docs/results; run: distembed bench table --write {page.name}"
    )


def test_every_result_is_shown():
    shown = {name for page in PAGES for name in markers(page.read_text(encoding="utf-8"))}
    assert shown == {file.stem for file in RESULTS}


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_results_have_one_format(file):
    result = Result.read(file)
    assert result.scores
    assert all(metric(score.metric).label for score in result.scores)
    data = json.loads(file.read_text())
    if file.stem == "demo" or file.stem.startswith("app_"):
        assert "settings" in data
    else:
        assert set(data) == {"bench", "environment", "config", "rows"}
        assert result.bench in BENCHES


def test_a_page_that_differs_is_noticed():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    changed = text.replace("| gde |", "| gde | 1", 1)
    assert changed != text
    assert update(changed, ROOT / "docs" / "results") == text
