"""Text tables as others write them: read where it is unambiguous, or the cause and the fix."""

import gzip
import logging

import numpy as np
import pytest

from distembed.data.readers.columns import column_names
from distembed.data.readers.dialect import suffix
from distembed.data.readers.table import read_table
from distembed.sets.read import read

ROWS = [["who", "x", "y"], ["Zürich", "0.5", "-1.25"], ["Zürich", "1.5", "3"], ["b", "-2.5", "4"]]


def text(delimiter=",", decimal=".", end="\n"):
    return "".join(delimiter.join(r).replace(".", decimal) + end for r in ROWS)


FORMS = {
    "t.csv": text().encode(),
    "t.CSV": text().encode(),
    "t.tsv": text("\t").encode(),
    "t.txt": text("\t").encode(),
    "comma.txt": text(",").encode(),
    "semicolon.txt": text(";").encode(),
    "semicolon.csv": text(";").encode(),
    "tab.csv": text("\t").encode(),
    "comma.tsv": text(",").encode(),
    "t.csv.gz": gzip.compress(text().encode()),
    "T.CSV.GZ": gzip.compress(text().encode()),
    "t.tsv.gz": gzip.compress(text("\t").encode()),
    "t.txt.gz": gzip.compress(text(";").encode()),
    "mark.csv": text().encode("utf-8-sig"),
    "utf16.csv": text().encode("utf-16"),
    "utf16.csv.gz": gzip.compress(text(";", ",").encode("utf-16")),
    "windows.csv": text(end="\r\n").encode(),
    "mac.csv": text(end="\r").encode(),
    "decimal.csv": text(";", ",").encode(),
    "decimal.tsv": text("\t", ",").encode(),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_the_same_table(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(FORMS[name])
    sets = read(path, "who", min_size=1)
    assert sets.ids.tolist() == ["Zürich", "b"]
    assert sets.features == ("x", "y")
    assert sets.batch([0, 1]).x.tolist() == [[0.5, -1.25], [1.5, 3], [-2.5, 4]]
    assert column_names(path) == ROWS[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", text().encode("latin-1"), r"Line 2 of t.csv is no UTF-8: byte 0xfc.*iconv"),
        (
            "t.csv.gz",
            gzip.compress(text().encode("latin-1"), mtime=0),
            "Line 2 of t.csv.gz is no UTF-8",
        ),
        ("t.csv", b"a,b\n" + b"1,2\n" * 9000 + b"\xfc,1\n", "Line 9002 of t.csv is no UTF-8"),
        ("t.csv", text().encode("utf-16-le"), "UTF-16 without a mark"),
        ("t.txt", b"who x y\na 1 2\n", "'who x y.*divided by no comma.*Write it as .csv"),
        ("t.txt", b"a,b;c\n1,2;3\n", "divided by commas and by semicolons"),
        ("t.csv.gz", gzip.compress(text().encode(), mtime=0)[:-9], "damaged or is not gzip"),
        ("t.csv.gz", text().encode(), "damaged or is not gzip"),
        ("t.csv", b'a,b\n"' + b"x" * 200_000 + b'",1\n', "damaged: field larger"),
    ],
)
def test_what_cannot_be_read_is_named(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(path, "who")


def test_suffixes():
    assert suffix("a.b/t.v2.csv.GZ") == ".csv.gz"
    assert suffix("t") == ""
    assert suffix("t.gz") == ".gz"


def table(path, delimiter, *rows):
    lines = (delimiter.join(map(str, row)) for row in rows)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_commas_beside_points_are_read_where_they_can_only_be_decimal(tmp_path, caplog):
    rows = [(f"{i % 2}.1", f"{i},{i}5", f"{i + 1},25{i}", i / 8) for i in range(6)]
    path = table(tmp_path / "t.tsv", "\t", ("who", "x", "z", "y"), *rows)
    sets = read(path, "who", atoms="vectors")
    assert sets.ids.tolist() == ["0.1", "1.1"]
    assert sets.features == ("x", "y")
    assert sets.batch([0]).x.tolist() == [[np.float32(v), w] for v, w in
                                          ((0.05, 0), (2.25, 0.25), (4.45, 0.5))]  # fmt: skip
    assert "'z' (numbers such as '1,250', whose comma may be one of decimals or" in caplog.text
    with pytest.raises(ValueError, match="Column 'z' is no feature: numbers such as '1,250'"):
        read(path, "who", ["z"])


@pytest.mark.parametrize("value", ["1.234", "1.234,5"])
def test_a_point_of_thousands_among_decimal_commas_is_refused_by_line(value, tmp_path):
    rows = [("a", f"0,{i + 1}", i / 8) for i in range(1500)] + [("a", value, 0.5)]
    for columns in (3, 2):
        path = table(tmp_path / "t.tsv", "\t", *(r[:columns] for r in [("who", "x", "y"), *rows]))
        with pytest.raises(ValueError, match=f"'x' of t.tsv holds '{value}' in line 1502"):
            read(path, "who")


def test_a_comma_among_points_is_refused_by_line(tmp_path):
    rows = [("a", f"0,{i + 1}", i / 8) for i in range(1500)] + [("a", "0,5", "1,5")]
    path = table(tmp_path / "t.tsv", "\t", ("who", "x", "y"), *rows)
    with pytest.raises(ValueError, match="'y' of t.tsv holds '1,5' in line 1502"):
        read(path, "who")


def test_thousands_are_not_taken_for_decimals(tmp_path, caplog):
    path = tmp_path / "t.tsv"
    path.write_text("who\tx\ty\n" + "".join(f"a\t{i},25{i}\t{i}\n" for i in range(1, 5)))
    assert read(path, "who").features == ("y",)
    assert "'x' (numbers such as '1,251', whose comma may be" in caplog.text


def test_decimal_commas_in_quotes_are_named_with_the_fix(tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text("who,x,y\n" + "".join(f'a,"0,{i}",{i / 4}\n' for i in range(4)))
    assert read(path, "who").features == ("y",)
    assert "'x' (decimal commas, such as '0,0': write decimal points)" in caplog.text


def test_metadata_have_decimal_commas_too_and_labels_stay_text(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"1,{s};0,{s}5;{s},{i}\n" for s in (1, 2) for i in range(3)]
    path.write_text("who;dose;x\n" + "".join(rows))
    sets = read(path, "who", "x")
    assert sets.ids.tolist() == ["1,1", "1,2"]
    assert sets.meta["dose"].tolist() == [0.15, 0.25]
    assert sets.batch([1]).x.ravel().tolist() == [2, np.float32(2.1), np.float32(2.2)]


def test_a_bad_value_among_decimal_commas_is_named_by_line(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("who\tx\na\t0,5\na\t0,25\na\toops\n")
    with pytest.raises(ValueError, match="'oops' in line 4"):
        read(path, "who")


def test_a_header_of_several_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('who,"size\nin um"\na,1.5\na,2.5\n')
    assert read_table(path, keep=["who"], by=["who"]).x.ravel().tolist() == [1.5, 2.5]


def test_the_delimiter_is_logged_where_it_is_not_that_of_the_suffix(tmp_path, caplog):
    (tmp_path / "t.csv").write_bytes(FORMS["semicolon.csv"])
    (tmp_path / "u.csv").write_bytes(FORMS["t.csv"])
    with caplog.at_level(logging.INFO):
        column_names(tmp_path / "u.csv")
        assert "divided" not in caplog.text
        column_names(tmp_path / "t.csv")
    assert "t.csv: columns are divided by semicolons" in caplog.text


def test_points_that_may_be_of_thousands_are_not_read_beside_decimal_commas(tmp_path, caplog):
    rows = [("a", f"0,{i + 1}", f"{i + 1}.250", f"{i}.25") for i in range(6)]
    path = table(tmp_path / "t.csv", ";", ("who", "x", "n", "y"), *rows)
    assert read(path, "who").features == ("x", "y")
    assert "'n' (numbers such as '1.250', whose points may be of decimals or of th" in caplog.text
    alone = table(tmp_path / "u.csv", ";", ("who", "n"), *((r[0], r[2]) for r in rows))
    assert read(alone, "who").features == ("n",)
