"""Tables: the same from text, Parquet, a frame and a dict, and errors that name the line."""

import numpy as np
import pytest

from distembed.data.table import read_columns, read_table

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
