"""Tables between markers of documents."""

import json

import pytest

from distembed.benchmarks.document import markers, results_of, update, update_files

RESULT = {
    "bench": "toy",
    "environment": {},
    "rows": [
        {"task": "t", "method": name, "metric": "w2", "value": value, "low": None, "high": None,
         "seeds": 1, "seconds": None}
        for name, value in (("gde", 0.5), ("floor", 0.25))
    ],
}  # fmt: skip
TEXT = """# Title

<!-- bench toy -->
old
<!-- end -->

Prose stays.

<!-- bench toy methods=floor -->
<!-- end -->
"""
EXPECTED = """# Title

<!-- bench toy -->
Value over 1 seed.

| t | W2 |
|---|---|
| gde | 0.500 |
| floor | 0.250 |
<!-- end -->

Prose stays.

<!-- bench toy methods=floor -->
Value over 1 seed.

| t | W2 |
|---|---|
| floor | 0.250 |
<!-- end -->
"""


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "docs" / "results"
    folder.mkdir(parents=True)
    (folder / "toy.json").write_text(json.dumps(RESULT))
    return folder


def test_tables_are_made_anew_and_prose_stays(results):
    assert markers(TEXT) == ["toy", "toy"]
    assert update(TEXT, results) == EXPECTED
    assert update(EXPECTED, results) == EXPECTED
    assert update("No table.\n", results) == "No table.\n"


def test_documents_are_rewritten_where_they_differ(results, tmp_path):
    readme, page = tmp_path / "README.md", tmp_path / "docs" / "page.md"
    readme.write_text(TEXT)
    page.write_text(EXPECTED)
    assert results_of(readme) == results_of(page) == results
    assert update_files([readme, page]) == [readme]
    assert readme.read_text() == EXPECTED
    assert update_files([readme, page]) == []


def test_markers_that_are_wrong(results):
    with pytest.raises(ValueError, match=r"has no <!-- end -->"):
        update("<!-- bench toy -->\n", results)
    with pytest.raises(ValueError, match=r"has no <!-- end -->"):
        update("<!-- bench toy -->\n<!-- bench toy -->\n<!-- end -->\n", results)
    with pytest.raises(ValueError, match=r"does not exist.*other\.json"):
        update("<!-- bench other -->\n<!-- end -->\n", results)
    with pytest.raises(ValueError, match="no option"):
        update("<!-- bench toy rows=2 -->\n<!-- end -->\n", results)
