"""Metadata are joined on the names of the sets, and what is named otherwise is told how."""

import re

import numpy as np
import pytest

import distembed as de


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two files of atoms, each a set."""
    monkeypatch.chdir(tmp_path)
    for name in ("p1", "p2"):
        (tmp_path / f"{name}.csv").write_text("x,y\n1,2\n3,4\n5,7\n")
    return "p*.csv"


def table(key, names):
    return {key: names, "age": [30, 40]}


def test_rows_of_any_order_are_joined_on_the_names_of_the_files(files):
    sets = de.read(files, metadata=table("file", ["p2", "p1"]))
    assert sets.meta["age"].tolist() == [40, 30]


def test_names_with_the_suffix_of_the_files_are_told_to_lose_it(files):
    with pytest.raises(ValueError, match="write 'p1' in place of 'p1.csv' in the column 'file'"):
        de.read(files, metadata=table("file", ["p1.csv", "p2.csv"]))


def test_a_name_that_only_begins_alike_is_no_suffix(files):
    with pytest.raises(ValueError, match="Add the rows, or drop these sets first"):
        de.read(files, metadata=table("file", ["p10", "p2"]))


def test_a_column_of_another_name_that_holds_the_names_is_pointed_at(files):
    message = "no column 'file', which names the sets. Their column 'patient' has these names"
    with pytest.raises(ValueError, match=message) as error:
        de.read(files, metadata=table("patient", ["p2", "p1"]))
    assert "'{patient}.csv'" in str(error.value)
    sets = de.read("{patient}.csv", metadata=table("patient", ["p2", "p1"]))  # the fix
    assert sets.meta["age"].tolist() == [40, 30]


def test_of_a_column_of_labels_the_fix_is_another_name_alone():
    rows = {"who": ["a", "a", "b", "b"], "x": [1.0, 2.0, 3.0, 4.5], "y": [0.0, 1.0, 5.0, 2.0]}
    with pytest.raises(ValueError, match=re.escape("Rename it to 'who'.")):
        de.read(rows, by="who", metadata=table("name", ["b", "a"]))


def test_a_table_without_the_names_lists_its_columns(files):
    with pytest.raises(ValueError, match="There is no column of the metadata 'file'"):
        de.read(files, metadata=table("patient", ["p2", "p3"]))


def test_columns_of_numbers_are_compared_as_text(files, tmp_path):
    for old, new in (("p1", "1"), ("p2", "2")):
        (tmp_path / f"{old}.csv").rename(tmp_path / f"{new}.csv")
    with pytest.raises(ValueError, match="Their column 'number' has these names"):
        de.read("?.csv", metadata=table("number", np.array([1, 2])))


def test_durations_are_numbers_of_days(tmp_path):
    ages = np.repeat(np.array([36, "NaT", 12], "timedelta64[h]"), 4)
    table = {"who": np.repeat(["a", "b", "c"], 4), "age": ages, "x": np.arange(12) + 0.5}
    for sets in (
        de.read(table, by="who", columns="x"),
        de.build_store(table, tmp_path / "s", by="who", columns="x"),
    ):
        assert sets.meta["age"].dtype == np.float64
        assert str(sets.meta["age"].tolist()) == "[1.5, nan, 0.5]"
    labels = de.read({**table, "age": np.repeat(np.array([36, 1, 12], "m8[h]"), 4)}, by="age")
    assert labels.ids.tolist() == ["36 hours", "1 hours", "12 hours"]
