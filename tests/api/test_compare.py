"""The comparison claims a feature with a test that exists, or says what is missing."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "compare.md").read_text().splitlines()
    if re.match(r"\| \d", line)
]
TEST = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)")


def lacking(cell):
    """The tests that a cell links and that are not there."""
    for name, path in TEST.findall(cell):
        file = ROOT / path
        if not file.is_file() or not re.search(rf"^ *def {name}\(", file.read_text(), re.M):
            yield f"{path}: {name}"


def test_all_fifty_rows_are_there_in_order():
    assert [int(number) for number, *_ in ROWS] == list(range(1, 51))
    assert {len(row) for row in ROWS} == {5}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_is_claimed_by_a_test_or_says_what_is_missing(row):
    _, _, here, cell, others = row
    assert here in ("yes", "partly", "no")
    assert others
    assert not list(lacking(cell))
    if here == "yes":
        assert TEST.search(cell) or "workflows/" in cell
    else:
        assert len(re.sub(r"\[.*?\]\(.*?\)", "", cell).split()) >= 6, "it says too little"


def test_a_test_that_is_not_there_is_noticed():
    cell = "[`test_none`](../tests/api/test_compare.py), [`test_x`](../tests/api/none.py)"
    assert len(list(lacking(cell))) == 2
