"""Labels are text as it stands, in every source; metadata become numbers only without loss."""

import csv
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.data.labels import as_column, as_text, plain_column
from distembed.data.numerals import loss_as_numbers, narrowed
from distembed.sets.read import read

WORDS = ["1_1", "11", "1.10", "1.1", "1E2", "100", "007", "7", "1606388400003099904"]
WORDS += ["1606388400003099905", "+5", "5", "1.0", "1", "-0", "0", "1e5", "0x1F", " a", "a"]
SOURCES = ["csv", "tsv", "csv.gz", "dict", "array", "parquet", "categories", "pandas", "cells"]


def written(source, labels, folder):
    """Return a source with two atoms of each label, and what `read` takes with it."""
    labels = np.repeat(np.array(labels), 2)
    columns = {"who": labels, "x": np.arange(len(labels)) / 8, "y": np.ones(len(labels)) / 3}
    if source == "dict":
        return columns, {"by": "who"}
    if source == "array":
        return np.stack([columns["x"], columns["y"]], 1), {"by": labels}
    if source.startswith(("csv", "tsv")):
        import gzip

        path = folder / f"t.{source}"
        opened = gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w")
        with opened as file:
            writer = csv.writer(file, delimiter="\t" if source == "tsv" else ",")
            writer.writerow(columns)
            writer.writerows(zip(*(c.tolist() for c in columns.values()), strict=True))
        return path, {"by": "who"}
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(columns)
    if source == "categories":
        frame["who"] = frame["who"].astype("category")
    if source == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(folder / "t.parquet")
        return folder / "t.parquet", {"by": "who"}
    if source == "cells":
        anndata = pytest.importorskip("anndata")
        frame.index = frame.index.astype(str)
        return anndata.AnnData(frame[["x", "y"]].to_numpy(), obs=frame[["who"]]), {"by": "who"}
    return frame, {"by": "who"}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("words", [WORDS, ["1.10", "1.20"], ["1.0", "2.0"], ["1e+05", "0.50"]])
def test_labels_are_text_as_it_stands(source, words, tmp_path):
    data, by = written(source, words, tmp_path)
    sets = read(data, **by)
    assert sets.ids.tolist() == words
    assert sets.sizes.tolist() == [2] * len(words)


@pytest.mark.parametrize("source", ["dict", "array", "parquet", "categories", "pandas", "cells"])
def test_integers_of_any_size_keep_their_digits(source, tmp_path):
    labels = [1606388400003099904, 1606388400003099905, -3, 2**63 - 1]
    data, by = written(source, labels, tmp_path)
    assert read(data, **by).ids.tolist() == [str(label) for label in labels]


labels_of_text = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@given(st.lists(st.one_of(labels_of_text, st.from_regex(r"[0-9.eE_+-]{1,6}", fullmatch=True)),
                min_size=1, max_size=8, unique=True))  # fmt: skip
@settings(max_examples=30)
def test_any_text_in_a_file_is_its_label(tmp_path_factory, labels):
    data, by = written("csv", labels, tmp_path_factory.mktemp("t"))
    assert read(data, **by).ids.tolist() == labels


def test_integers_beside_missing_ones_are_exact():
    pandas = pytest.importorskip("pandas")
    large = 2**53 + 1
    for column in (
        pandas.Series([large, None], dtype="Int64"),
        pandas.Series(pandas.Categorical([large, None])),
        pandas.Categorical([large, None]),
        pandas.array([large, None], "Int64"),
        pandas.Index([large, None], dtype="Int64"),
        np.ma.masked_array([large, 0], [False, True]),
        np.array([large, None], object),
    ):
        assert as_text(as_column(column)).tolist() == [str(large), ""]


def test_floats_as_labels():
    """Pandas makes floats of integers with a gap: the label is that of the integer."""
    assert as_text(np.array([1.0, -0.0, 2.5, np.inf, np.nan])).tolist() == [
        "1", "0", "2.5", "inf", ""]  # fmt: skip
    assert as_text(np.array([1.0, 2.5, None], object)).tolist() == ["1", "2.5", ""]
    assert as_text(np.array([0.1], np.float32)).tolist() == ["0.1"]
    table = {"who": np.array([1e16, 1e16]), "x": [0.5, 1.0]}
    for labels in (table["who"], table["who"].astype(object)):
        with pytest.raises(ValueError, match=r"row 0 of column 'who' is the float 1e\+16.*dtype"):
            read(table | {"who": labels}, "who", "x")
    with pytest.raises(ValueError, match="Row 1 has no label in column 'who'"):
        read(table | {"who": np.array([1, np.nan])}, "who", "x")


def test_bytes_and_dates_as_labels():
    assert as_text(np.array([b"a", b"\xc3\xbc"])).tolist() == ["a", "ü"]
    assert as_text(np.array([b"a", None], object)).tolist() == ["a", ""]
    dates = np.array(["2024-01-01", "NaT"], "datetime64[D]")
    assert as_text(dates).tolist() == ["2024-01-01", ""]


@pytest.mark.parametrize("word", ["nan", "NA", "None", "null", "N/A", "#N/A", "<NA>"])
def test_words_for_a_missing_label_are_named_with_their_rows(word, caplog):
    table = {"who": np.array(["a", "a", word, word, "a"]), "x": np.arange(5.0)}
    with caplog.at_level(logging.WARNING):
        assert read(table, "who", "x").ids.tolist() == ["a", word]
        read(table, "who", "x", metadata={"who": ["a", word], "y": [1, 2]})
    said = f"2 rows, the first being row 2, have the label {word!r} in column 'who'"
    assert [said in line for line in caplog.messages] == [True, True]  # once a reading


def test_ordinary_labels_are_not_said_to_be_missing(caplog):
    read({"who": np.array(["a", "a", "Nana", "Nana"]), "x": np.arange(4.0)}, "who", "x")
    assert not caplog.text


# -- metadata -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["0.5", "1", "1.50e+05"], None),
        (["0.5", "1", "1e+05"], [0.5, 1, 1e5]),
        (["0.50", "1.25", "10.00"], [0.5, 1.25, 10]),
        (["0.0", "1.0", "2.5"], [0, 1, 2.5]),
        (["1", "NA", "", "nan"], [1, np.nan, np.nan, np.nan]),
        (["inf", "1", "-inf"], [np.inf, 1, -np.inf]),
        ([str(2**63 - 1)], [2**63 - 1]),
        ([str(2**63)], None),
        ([str(2**53 + 1), ""], None),
        (["1.1", "1.10"], None),
        (["1.10", "1.2"], None),
        (["1", "1.0"], None),
        (["007", "8"], None),
        (["1_1", "11"], None),
        (["1E2", "2"], None),
        (["+5"], None),
        (["0.12345678901234567890"], None),
        (["a", "1"], None),
        (["", "NA"], None),
        (["٣"], None),
    ],
)
def test_metadata_become_numbers_without_loss_or_stay_text(column, numbers):
    values = narrowed(np.array(column))
    if numbers is None:
        assert values.tolist() == column
        assert loss_as_numbers(set(column)) is not None
    else:
        np.testing.assert_array_equal(values, numbers)
        assert values.dtype.kind == np.array(numbers).dtype.kind


@given(st.lists(st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{1,2})?", fullmatch=True), min_size=1))
def test_two_texts_are_never_one_number(texts):
    values = narrowed(np.array(texts))
    if values.dtype.kind in "if":
        assert len(set(values.tolist())) == len(set(texts))


@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1))
def test_integers_come_back(numbers):
    values = narrowed(np.array([str(n) for n in numbers]))
    assert values.dtype == np.int64
    assert values.tolist() == numbers


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_floats_as_they_are_written_come_back(numbers):
    texts = np.array(numbers).astype(str)
    values = narrowed(texts)
    if "-0.0" not in texts:  # one number as 0.0, and another text
        assert values.tolist() == numbers


def test_a_dose_stays_a_number_and_a_clade_text(tmp_path, caplog):
    path = tmp_path / "t.csv"
    rows = ["who,dose,clade,x,y"] + [
        f"{who},{dose},{clade},{i / 7},{i % 3 / 3}"
        for who, dose, clade in (("a", "0.5", "1.1"), ("b", "1", "1.10"), ("c", "", "2"))
        for i in range(4)
    ]
    path.write_text("\n".join(rows))
    sets = read(path, "who", ["x", "y"])
    np.testing.assert_array_equal(sets.meta["dose"], [0.5, 1, np.nan])
    assert sets.meta["clade"].tolist() == ["1.1", "1.10", "2"]
    assert "column 'clade' stays text: '1.1' and '1.10' are one number" in caplog.text
    several = read(path, ["who", "clade"], ["x", "y"])
    assert several.ids.tolist() == ["a|1.1", "b|1.10", "c|2"]


def test_columns_of_several_labels_are_numbers_as_metadata_and_text_as_ids(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("who,day,x\n" + "".join(f"a,{d},{i / 3}\n" for d in (1, 20) for i in range(3)))
    sets = read(path, ["who", "day"], "x")
    assert sets.ids.tolist() == ["a|1", "a|20"]
    assert sets.meta["day"].tolist() == [1, 20]
    assert sets.meta["day"].dtype == np.int64


def test_objects_of_numbers_are_numbers():
    assert plain_column(np.array([1, 2], object)).dtype == np.int64
    np.testing.assert_array_equal(plain_column(np.array([1, None], object)), [1, np.nan])
    mixed = np.array([np.int64(1), np.float32(0.5), None], object)
    np.testing.assert_array_equal(plain_column(mixed), [1, 0.5, np.nan])
    large = plain_column(np.array([2**53 + 1, None], object))
    assert large.tolist() == [str(2**53 + 1), ""]
    assert plain_column(np.array([True, None], object)).tolist() == ["True", ""]
    assert plain_column(np.array([1, "a"], object)).tolist() == ["1", "a"]


def test_a_dose_with_a_gap_is_a_number_in_every_table(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"who": ["a", "b"], "dose": pandas.array([1, None], "Int64")})
    frame.to_csv(tmp_path / "m.csv", index=False)
    data = {"who": list("aabb"), "x": [0.5, 1, 2, 4]}
    for table in (frame, tmp_path / "m.csv", {"who": ["a", "b"], "dose": [1, None]}):
        dose = read(data, "who", "x", metadata=table).meta["dose"]
        np.testing.assert_array_equal(dose, [1, np.nan])


@pytest.mark.parametrize("first", ["csv", "parquet", "dict"])
def test_metadata_are_joined_by_text(first, tmp_path):
    data, by = written(first, ["1.1", "1.10", "007"], tmp_path)
    path = tmp_path / "meta.csv"
    path.write_text("who,dose\n1.10,2\n1.1,1\n7,5\n007,3\n")
    assert read(data, **by, metadata=path).meta["dose"].tolist() == [1, 2, 3]
    alike, by = written(first, ["1.10", "1.20"], tmp_path)  # whose metadata would be numbers
    path.write_text("who,dose\n1.20,2\n1.10,1\n")
    assert read(alike, **by, metadata=path).meta["dose"].tolist() == [1, 2]
    data, by = written(first, ["1.1", "1.10", "007"], tmp_path)
    path.write_text("who,dose\n1.10,2\n1.1,1\n7.0,3\n")
    with pytest.raises(ValueError, match="being '007'; they have rows for names such as '1.10'"):
        read(data, **by, metadata=path)
    path.write_text("who,dose\n1.10,2\n1.1,1\n007,3\n007,4\n")
    with pytest.raises(ValueError, match="several rows for '007'"):
        read(data, **by, metadata=path)
