"""Tables: the same from text, Parquet, a frame and a dict, and errors that name the line."""

import logging
import re

import numpy as np
import pytest

from distembed.data.readers.columns import column_names, read_columns
from distembed.data.readers.table import read_table

COLUMNS = {
    "who": np.array(["a", "b", "a", "c,d"]),
    "PC1": np.array([1.5, 2.0, -3e-4, 0.0]),
    "age": np.array([3, 4, 3, 5]),
    "PC2": np.array([1.0, 2.0, 3.0, 4.0]),
    "code": np.array(["007", "8", "007", "1"]),
}


def write_csv(path, delimiter=","):
    rows = [list(COLUMNS), *zip(*(v.tolist() for v in COLUMNS.values()), strict=True)]
    cells = ([f'"{c}"' if "," in str(c) else str(c) for c in row] for row in rows)
    path.write_text("\n".join(delimiter.join(row) for row in cells) + "\n\n", "utf-8-sig")
    return path


@pytest.fixture(params=["csv", "tsv", "parquet", "pandas", "dict"])
def table(request, tmp_path):
    if request.param in ("csv", "tsv"):
        delimiter = "," if request.param == "csv" else "\t"
        return write_csv(tmp_path / f"t.{request.param}", delimiter)
    if request.param == "dict":
        return COLUMNS
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(COLUMNS)
    frame["who"] = frame["who"].astype("category")
    if request.param == "pandas":
        return frame
    pytest.importorskip("pyarrow")
    frame.to_parquet(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def test_every_format_gives_the_same_table(table):
    obs = read_table(table, "PC*", keep=["who"], others=True)
    assert obs.features == ("PC1", "PC2")
    assert obs.x.tolist() == np.stack([COLUMNS["PC1"], COLUMNS["PC2"]], 1).tolist()
    assert set(obs.columns) == {"who", "age", "code"}
    for name, column in obs.columns.items():
        assert column.tolist() == COLUMNS[name].tolist()
    everything = read_columns(table)
    assert list(everything) == list(COLUMNS)
    assert everything["age"].dtype.kind == "i"


def test_features_are_chosen_by_name_pattern_or_type(table):
    assert read_table(table, ["PC2", "age", "PC*"]).features == ("PC2", "age", "PC1")
    assert not read_table(table, "PC1").columns
    obs = read_table(table, keep=["who", "code"])
    assert obs.features == ("PC1", "age", "PC2")
    assert set(obs.columns) == {"who", "code"}
    assert read_table(table, ["age"], keep=["age"]).columns["age"].tolist() == [3, 4, 3, 5]
    with pytest.raises(ValueError, match="close names are: 'PC[12]', 'PC[12]'"):
        read_table(table, ["PC3"])
    with pytest.raises(ValueError, match="No column matches 'gene_\\*'"):
        read_table(table, "gene_*")
    with pytest.raises(ValueError, match="no column 'whom'"):
        read_table(table, "PC*", keep=["whom"])
    with pytest.raises(ValueError, match="'who' holds"):
        read_table(table, ["who"])


def test_a_number_that_is_constant_within_sets_is_metadata(table, caplog):
    with caplog.at_level(logging.WARNING):
        obs = read_table(table, keep=["who"], others=True, by=["who"])
    assert obs.features == ("PC1", "PC2")
    assert obs.x.tolist() == np.stack([COLUMNS["PC1"], COLUMNS["PC2"]], 1).tolist()
    assert obs.columns["age"].tolist() == [3, 4, 3, 5]
    assert obs.columns["age"].dtype.kind == "i"
    assert re.search("not a feature: 'age'.* .constant within every set", caplog.text)
    assert read_table(table, ["age"], ["who"], by=["who"]).features == ("age",)
    # one set, or sets of one row, say nothing of what is constant within sets
    for label in (["a"] * 4, list("abcd")):
        columns = COLUMNS | {"who": np.array(label), "day": np.ones(4)}
        features = read_table(columns, keep=["who"], by=["who"]).features
        assert features == ("PC1", "age", "PC2", "day")
    with pytest.raises(ValueError, match="No column varies within a set, apart from 'age'"):
        read_table({k: COLUMNS[k] for k in ("who", "age")}, keep=["who"], by=["who"])


def test_sets_are_told_by_all_their_columns_and_all_their_rows():
    n = 3000
    a, b, late = np.arange(n) % 3, np.arange(n) % 2, np.zeros(n)
    late[-1] = 1
    table = {"a": a, "b": b, "x": np.arange(n) / 2, "ab": 10 * a + b, "late": late}
    read = read_table(table, keep=["a", "b"], others=True, by=["a", "b"])
    assert read.features == ("x", "late")
    assert set(read.columns) == {"a", "b", "ab"}
    assert read_table(table, keep=["a"], by=["a"]).features == ("b", "x", "ab", "late")


def test_blanks_among_the_numbers_of_metadata_are_no_errors(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("who,x,age\na,1,\nb,2,7\na,3,\nb,4,7\n")
    obs = read_table(path, keep=["who"], others=True, by=["who"])
    assert obs.features == ("x",)
    assert obs.x.ravel().tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(obs.columns["age"], [np.nan, 7, np.nan, 7])
    path.write_text("who,x,age\na,1,\nb,,7\na,3,\nb,4,7\n")
    with pytest.raises(ValueError, match="'x' of t.csv is blank in line 3"):
        read_table(path, keep=["who"], others=True, by=["who"])


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_an_index_is_no_feature(tmp_path, caplog, name):
    path = tmp_path / "t.csv"
    path.write_text(f"{name},who,x\n0,a,5\n1,a,6\n2,b,7\n")
    with caplog.at_level(logging.WARNING):
        obs = read_table(path, keep=["who"], others=True)
    assert obs.features == ("x",)
    assert set(obs.columns) == {"who"}
    assert f"not a feature: {name!r} (without a name" in caplog.text
    assert read_table(path, [name, "x"]).features == (name, "x")
    assert set(read_table(path, keep=[name]).columns) == {name}
    path.write_text(f"{name},who\n0,a\n1,a\n2,b\n")
    with pytest.raises(ValueError, match=f"apart from '{name}' .without a name.*in `columns`"):
        read_table(path, keep=["who"])


def test_the_index_of_a_data_frame_is_no_feature(tmp_path):
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"who": list("aabb"), "x": [1.0, 2, 3, 4]}, index=[3, 1, 4, 2])
    frame.to_csv(tmp_path / "t.csv")
    frame.to_parquet(tmp_path / "t.parquet")
    again = pandas.read_csv(tmp_path / "t.csv")
    for source in (frame, tmp_path / "t.csv", again, tmp_path / "t.parquet"):
        assert read_table(source, keep=["who"]).features == ("x",)


def test_names_of_columns(table):
    assert column_names(table) == list(COLUMNS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g,x\na,1\nb,oops\nb,2\n", "Column 'x' of bad.csv holds 'oops' in line 3"),
        ("g,x\na,1\nb,\nb,2\n", "Column 'x' of bad.csv is blank in line 3"),
        ("g,x\na,1\nb\n", "Line 3 of bad.csv has 1 fields under a header of 2"),
        ("g,x\n1,a,2\n2,b,3\n", "Line 2 of bad.csv has 3 fields .* R wrote its row names"),
        ("g,x\n" + "a,1\n" * 2000 + "a,1,2,3\n", "Line 2002 of bad.csv has 4 fields"),
        ("g,x\n", "no row under its header"),
        ("", "no row under its header"),
        ("x,x\n1,2\n", "Two columns are named 'x'"),
        ("g,h\na,b\n", "No column holds numbers"),
    ],
)
def test_a_damaged_text_is_refused_by_line(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(path, keep=[])


def test_a_late_word_among_numbers_is_found(tmp_path):
    path = tmp_path / "late.csv"
    path.write_text("x\n" + "1\n" * 3000 + "n/a\n")
    with pytest.raises(ValueError, match="'n/a' in line 3002"):
        read_table(path)


def test_words_among_the_numbers_of_a_frame_are_refused():
    with pytest.raises(ValueError, match="'oops' in row 1"):
        read_table({"x": np.array([1.0, "oops", None], dtype=object)})


def test_missing_text_is_blank():
    column = np.array(["a", None, float("nan"), "None"], dtype=object)
    assert read_columns({"c": column})["c"].tolist() == ["a", "", "", "None"]


def test_numbers_of_metadata_are_numbers_unless_they_are_codes(tmp_path):
    path = tmp_path / "meta.csv"
    path.write_text("id,age,batch,when,none\n01,3,1,2.5,\n2,4,-2,,\n")
    columns = read_columns(path)
    assert columns["id"].tolist() == ["01", "2"]
    assert columns["batch"].tolist() == [1, -2]
    assert columns["batch"].dtype == np.int64
    assert columns["when"][0] == 2.5
    assert np.isnan(columns["when"][1])
    assert columns["none"].tolist() == ["", ""]


def test_no_such_file_or_format(tmp_path):
    with pytest.raises(FileNotFoundError, match="no.csv"):
        read_table(tmp_path / "no.csv")
    (tmp_path / "t.xlsx").touch()
    with pytest.raises(ValueError, match="expected .csv"):
        read_table(tmp_path / "t.xlsx")
    with pytest.raises(TypeError, match="int is no table"):
        read_table(3)


def test_a_damaged_parquet_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ValueError, match="damaged"):
        read_table(tmp_path / "t.parquet")


INDEX = {
    "who": np.repeat(["a", "b", "c"], 12),
    "x": np.random.default_rng(0).normal(size=36),
    "row": np.arange(36),
    "shuffled": np.random.default_rng(0).permutation(36) + 1,
    "gaps": np.arange(36) * 3.0 + np.random.default_rng(0).integers(0, 3, 36),
    "inside": np.tile(np.random.default_rng(0).permutation(12), 3),
    "level": np.random.default_rng(0).integers(0, 12, 36),
    "time": np.arange(36) // 2,
}


def test_columns_that_number_rows_are_no_features(caplog):
    obs = read_table(INDEX, keep=["who"], by=["who"])
    assert obs.features == ("x", "level", "time")
    assert "'row', 'shuffled', 'gaps', 'inside' (a number of the row" in caplog.text
    assert "name it in `columns` to keep it" in caplog.text
    assert read_table(INDEX, ["x", "row"], keep=["who"], by=["who"]).features == ("x", "row")


def test_few_rows_are_not_said_to_be_numbered():
    few = {name: column[:9] for name, column in INDEX.items()}
    assert "row" in read_table(few, keep=["who"], by=["who"]).features


def test_rows_alone_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"'row' \(a number of the row.*name the features in"):
        read_table({n: INDEX[n] for n in ("who", "row")}, keep=["who"], by=["who"])
