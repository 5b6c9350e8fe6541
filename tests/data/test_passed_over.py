"""Columns that become no features without a name in `columns`: each is said, with its reason."""

import logging
from decimal import Decimal

import numpy as np
import pytest

from distembed.data.readers.table import read_table
from distembed.sets.read import read, read_atoms

RNG = np.random.default_rng(0)
WHO = np.repeat(list("abc"), 12)
X = RNG.normal(size=36)


def said(caplog, **columns):
    """Return the features of a table with more columns, and what is logged."""
    with caplog.at_level(logging.WARNING):
        features = read_table(
            {"who": WHO, "x": X} | columns, None, ["who"], True, ["who"]
        ).features
    return features, caplog.text


def varying(values):
    return np.array([values[i % len(values)] for i in range(36)])


def objects(values):
    column = np.empty(36, object)
    column[:] = [values[i % len(values)] for i in range(36)]
    return column


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (varying(["p", "q", "r"]), "'c' (text)"),
        (varying(np.array(["2024-01-01", "2024-02-01"], "M8[D]")), "'c' (dates: give numbers"),
        (varying(np.array([1, 2], "m8[s]")), "'c' (time differences: give numbers"),
        (varying([1j, 2]), "'c' (complex numbers"),
        (objects([[1, 2], [3, 4]]), "'c' (a list in each row: give one column for each"),
        (objects([np.datetime64("2024-01-01").item(), None]), "'c' (dates"),
        (objects([{1}, {2}]), "'c' (a set in each row"),
        (objects([int, str]), "'c' (values of type type)"),
    ],
)
def test_a_column_in_memory_is_named_with_its_reason(column, reason, caplog):
    features, log = said(caplog, c=column)
    assert features == ("x",)
    assert f"neither a feature nor metadata: {reason}" in log


def test_text_with_one_value_a_set_is_metadata_and_not_named(caplog):
    assert said(caplog, c=np.repeat(["u", "v", "w"], 12)) == (("x",), "")


def test_decimals_are_numbers(caplog):
    column = objects([Decimal("1.10"), Decimal("2.25"), Decimal("0.5")])
    features, log = said(caplog, c=column)
    assert features == ("x", "c")
    assert "'c'" not in log
    table = {"who": WHO, "c": column}
    assert read(table, "who").batch([0]).x[:3, 0].tolist() == [np.float32(1.1), 2.25, 0.5]
    labels = {"who": objects([Decimal("1.10"), Decimal("1.1")]), "x": X}
    assert read(labels, "who").ids.tolist() == ["1.10", "1.1"]
    with pytest.raises(ValueError, match="holds None in row 1"):
        read_table({"who": WHO, "c": objects([Decimal("1.5"), None])}, ["c"])


@pytest.mark.parametrize("kind", ["decimal", "date", "timestamp", "list", "time", "binary"])
def test_a_column_of_parquet_is_a_number_or_named(kind, tmp_path, caplog):
    import datetime

    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    day = datetime.date(2024, 1, 1)
    column = {
        "decimal": arrow.array([Decimal(f"{i % 5}.10") for i in range(36)]),
        "date": arrow.array([day + datetime.timedelta(i % 5) for i in range(36)]),
        "timestamp": arrow.array(varying(np.array(["2024-01-01", "2024-01-02"], "M8[ns]"))),
        "list": arrow.array([[i % 5, 1] for i in range(36)]),
        "time": arrow.array([datetime.time(i % 5) for i in range(36)]),
        "binary": arrow.array([bytes([65 + i % 5]) for i in range(36)]),
    }[kind]
    path = tmp_path / "t.parquet"
    parquet.write_table(arrow.table({"who": WHO, "x": X, "c": column}), path)
    with caplog.at_level(logging.WARNING):
        sets = read(path, "who", atoms="vectors")
    if kind == "decimal":
        assert sets.features == ("x", "c")
        assert sets.batch([0]).x[:2, 1].tolist() == [np.float32(0.1), np.float32(1.1)]
        assert read(path, "c", ["x"]).ids.tolist() == [f"{i}.10" for i in range(5)]
        return
    assert sets.features == ("x",)
    assert "neither a feature nor metadata: 'c' (" in caplog.text
    expected = {"date": "2024-01-01", "binary": "A", "time": "00:00:00"}
    if kind in expected:
        assert read(path, "c", ["x"]).ids[0] == expected[kind]


@pytest.mark.parametrize("kind", ["float64", "int64", "bool", "decimal128(9, 2)"])
def test_a_gap_in_a_feature_of_parquet_is_refused_where_it_is_in_a_set(kind, tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    gap = arrow.array([None if i == 7 else i % 2 for i in range(36)])
    gap = gap.cast(arrow.decimal128(20, 0)) if kind.startswith("decimal") else gap.cast(kind)
    parquet.write_table(arrow.table({"who": WHO, "x": X, "c": gap}), path)
    with pytest.raises(ValueError, match="Set 'a' holds nan in feature 'c', row 7"):
        read(path, "who")
    assert read(path, "who", "x").features == ("x",)
    who = ["z" if i == 7 else w for i, w in enumerate(WHO)]  # a set that is too small
    parquet.write_table(arrow.table({"who": who, "x": X, "c": gap}), path)
    assert read(path, "who").ids.tolist() == ["a", "b", "c"]


def test_integers_of_parquet_keep_their_digits_beside_gaps(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path, large = tmp_path / "t.parquet", 2**53 + 1
    codes = arrow.array([large] * 12 + [large + 1] * 12 + [None] * 12)
    table = arrow.table({"who": WHO, "x": X, "run": codes})
    parquet.write_table(table, path)
    assert read(path, "who", "x").meta["run"].tolist() == [str(large), str(large + 1), ""]
    parquet.write_table(table.slice(0, 24), path)
    assert read(path, "run", "x").ids.tolist() == [str(large), str(large + 1)]


def text_table(tmp_path, column):
    path = tmp_path / "t.csv"
    path.write_text("who,x,c\n" + "".join(
        f"{w},{x},{c}\n" for w, x, c in zip(WHO, X, varying(column), strict=True)))  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (["NA", "NA", "1.5"], "only 33% of its first values are numbers, and others are such as"),
        (["", "", ""], "no value in its first rows"),
        (["2024-01-31", "2024-02-01"], "dates, such as '2024-01-31'"),
        (["1.234.567", "2.345.678"], "values such as '1.234.567', which are no numbers"),
        (["'1", "'2"], "text"),
        (["1_1", "2_1"], "text"),
    ],
)
def test_a_column_of_text_is_named_with_its_reason(column, reason, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        sets = read(text_table(tmp_path, column), "who")
    assert sets.features == ("x",)
    if column[0]:
        assert f"neither a feature nor metadata: 'c' ({reason}" in caplog.text
    else:
        assert sets.meta["c"].tolist() == ["", "", ""]


def test_where_no_column_is_a_feature_the_reasons_are_in_the_error(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("who,c\n" + "".join(f'{w},"{i},5"\n' for i, w in enumerate(WHO)))
    with pytest.raises(ValueError, match="'c' holds decimal commas, such as '0,5': write"):
        read(path, "who")


def test_requested_metadata_leave_only_suspicious_columns_to_be_named(tmp_path, caplog):
    path = text_table(tmp_path, ["NA", "NA", "1.5"])
    read(path, "who", meta=[])
    assert "neither a feature nor metadata: 'c' (only 33%" in caplog.text
    caplog.clear()
    read(text_table(tmp_path, ["p", "q"]), "who", meta=[])
    assert not caplog.text


def test_few_whole_numbers_are_features_and_said_to_be(caplog):
    features, log = said(caplog, cluster=np.arange(36) % 5, flag=np.arange(36) % 2)
    assert features == ("x", "cluster", "flag")
    assert "of few whole numbers each: 'cluster' (0 to 4); leave out of `columns`" in log
    caplog.clear()
    many = {f"g{i}": RNG.integers(0, 4, 36) for i in range(9)}
    assert "'g4' (0 to 3) and 4 more; leave" in said(caplog, **many)[1]
    caplog.clear()
    assert said(caplog, n=RNG.permutation(36) % 30, h=(np.arange(36) % 5) / 2)[1] == ""


def test_names_do_not_decide(caplog):
    """A numbered conformation is no feature, whatever its name; a time is one, and said."""
    numbers = np.tile(RNG.permutation(12), 3)
    for name in ("conformation", "index", "size"):
        caplog.clear()
        features, log = said(caplog, **{name: numbers})
        assert features == ("x",)
        assert f"not a feature: {name!r} (a number of the row" in log
    time = np.tile(np.cumsum(RNG.integers(1, 9, 12)), 3)
    for name in ("TIME", "index", "size"):
        caplog.clear()
        features, log = said(caplog, **{name: time})
        assert features == ("x", name)
        assert f"rising from row to row: {name!r}; leave out of `columns` what is an index" in log
    caplog.clear()
    assert said(caplog, index=RNG.integers(0, 99, 36)) == (("x", "index"), "")


def test_columns_that_are_named_are_not_commented(caplog):
    with caplog.at_level(logging.WARNING):
        read({"who": WHO, "x": X, "k": np.arange(36) % 5, "t": varying(["p", "q"])}, "who", ["k"])
    assert not caplog.text


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="rows: 'who' has 36, 'x' has 36, 'y' has 35"):
        read({"who": WHO, "x": X, "y": X[:35]}, "who")


def test_text_of_one_set_is_metadata(caplog):
    sets = read({"who": ["a"] * 9, "x": X[:9], "c": ["t"] * 9}, "who")
    assert sets.meta["c"].tolist() == ["t"]
    assert not caplog.text


def test_a_feature_beside_a_blank_of_metadata_is_not_said_to_stay_text(tmp_path, caplog):
    """A blank makes all candidates be read as values first; only metadata can stay text."""
    numbers = ["1", "0.130", *(f"{value:.3f}" for value in X[2:])]
    age = {"a": "61", "b": "", "c": "70"}
    clade = {"a": "1.1", "b": "1.10", "c": "2"}
    lines = ["who,x,y,age,clade"]
    for who, number in zip(WHO, numbers, strict=True):
        lines.append(f"{who},{number},{float(number):g},{age[who]},{clade[who]}")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines))
    with caplog.at_level(logging.WARNING):
        sets = read(path, by="who")
    assert sets.features == ("x", "y")
    np.testing.assert_allclose(sets.observations.x[:, 0], np.array(numbers, float))
    assert [m for m in caplog.messages if "stays text" in m] == [
        "column 'clade' stays text: '1.1' and '1.10' are one number"
    ]


def test_annotation_of_atoms_is_not_said_to_be_passed_over(caplog):
    day = np.datetime64("2024-01-01") + np.arange(36)
    with caplog.at_level(logging.WARNING):
        atoms = read_atoms({"who": WHO, "day": day, "x": X})
    assert atoms.features == ("x",)
    assert set(atoms.columns) == {"who", "day"}
    assert not caplog.messages
