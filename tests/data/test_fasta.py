"""FASTA files, .pat files and several files by a pattern: what is read, and what is refused."""

import gzip
import logging
import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import distembed as de
from distembed.data.readers.fasta import read_fasta, write_fasta
from distembed.data.readers.files import files_of, is_pattern
from distembed.data.readers.pattern import Pattern
from distembed.data.spaces import Tokens

FASTA = """>a1 the first
ACG
TA
>a2\tblank
acgtn

>a3
GG
"""
TABLE = "name,place,year,note\na3,Peru,2001,x\na1,Peru,2002,y\na2,Fiji,2003,z\nzz,Fiji,2004,z\n"
DNA = {"name": "tokens", "alphabet": "dna", "unknown": "N", "upper": True}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.fasta").write_text(FASTA)
    (tmp_path / "meta.csv").write_text(TABLE)
    return tmp_path


def strings(sets):
    return [sets.atoms.restore(sets.batch([s]).x.numpy()) for s in range(len(sets))]


@pytest.mark.parametrize("name", ["x.fasta", "x.fa.gz", "x.FAA.xz"])
def test_entries_are_read_from_plain_and_from_packed_files(name, tmp_path):
    opening = {".gz": gzip.open, ".xz": lzma.open}.get(name[-3:], open)
    with opening(tmp_path / name, "wt", newline="\r\n") as file:
        file.write(FASTA)
    entries = read_fasta(tmp_path / name)
    assert entries.headers == ["a1 the first", "a2\tblank", "a3"]
    assert entries.ids == ["a1", "a2", "a3"]
    assert entries.sequences == ["ACGTA", "acgtn", "GG"]


def test_sequences_are_joined_with_their_row_of_a_table(here, caplog):
    with caplog.at_level(logging.INFO):
        sets = de.read("x.fasta", by="place", annotation="meta.csv", atoms=DNA, min_size=1)
    assert sets.ids.tolist() == ["Peru", "Fiji"]
    assert strings(sets) == [["ACGTA", "GG"], ["ACGTN"]]
    assert "1 rows of meta.csv have no sequence in x.fasta, the first being 'zz'" in caplog.text
    both = de.read("x.fasta", by=["place", "year"], annotation="meta.csv", atoms=DNA, min_size=1)
    assert both.ids.tolist() == ["Peru|2002", "Fiji|2003", "Peru|2001"]
    meta = de.read(
        "x.fasta", by="place", annotation="meta.csv", key="name", meta=["file"], atoms=DNA,
        min_size=1, weights="year",
    )  # fmt: skip
    assert list(meta.meta) == ["file"]
    np.testing.assert_allclose(meta.batch([0]).w, [2002 / 4003, 2001 / 4003])


def test_sequences_without_a_label_are_left_out_and_named(here, caplog):
    (here / "meta.csv").write_text(TABLE.replace("a1,Peru", "a1,"))
    sets = de.read("x.fasta", by="place", annotation="meta.csv", atoms=DNA, min_size=1)
    assert strings(sets) == [["ACGTN"], ["GG"]]
    assert "1 of 3 sequences of x.fasta have no 'place', and are left out" in caplog.text


def test_columns_come_from_headers(here):
    (here / "h.fasta").write_text(">k1|Peru|x\nAC\n>k2|Fiji|y\nGT\n>k3|Peru|z\nA\n")
    sets = de.read("h.fasta", by="place", header="{id}|{place}|*", min_size=1)
    assert strings(sets) == [["AC", "A"], ["GT"]]
    (here / "h.fasta").write_text(
        ">k1 [place=New Peru] [day=1]\nAC\n>k2 [place=Fiji] [day=1]\nG\n"
    )
    stated = de.read("h.fasta", by="place", header="{ignored}|x", min_size=1)
    assert stated.ids.tolist() == ["New Peru", "Fiji"]
    assert stated.meta["day"].tolist() == ["1", "1"]


label = st.text("aZ 9|.-é", min_size=1, max_size=5).filter(str.strip)


@given(
    st.lists(st.tuples(label, st.lists(st.text("ACGT", max_size=4))), min_size=1, max_size=4),
)
def test_drawn_sequences_are_read_as_they_were_written(tmp_path_factory, sets):
    path = tmp_path_factory.mktemp("drawn") / "d.fasta"
    names = np.array([name for name, _ in sets])
    empty = write_fasta(path, {"place": names, "n": np.arange(len(sets))}, [x for _, x in sets])
    kept = [(name, n, x) for n, (name, part) in enumerate(sets) for x in part if x]
    assert empty == sum(len(part) for _, part in sets) - len(kept)
    if not kept:
        return
    read = de.read(path, by=["place", "n"], min_size=1, atoms=DNA)
    written: dict[tuple[str, str], list[str]] = {}
    for name, n, x in kept:
        written.setdefault((name, str(n)), []).append(x)
    pairs = list(zip(read.meta["place"].tolist(), read.meta["n"].tolist(), strict=True))
    assert dict(zip(pairs, strings(read), strict=True)) == written


REFUSED = {
    "no such file": ("y.fasta", {"by": "place"}, "There is no file y.fasta"),
    "no labels": ("x.fasta", {}, "needs `by`.*the columns are: 'id', 'file'"),
    "a column of no table": (
        "x.fasta",
        {"by": "place"},
        "no column 'place'.*one row a sequence, annotation=.*header='{id}",
    ),
    "a column of neither": (
        "x.fasta",
        {"by": "plaice", "annotation": "meta.csv"},
        "no column 'plaice'; close names are: 'place'",
    ),
    "small letters": (
        "x.fasta",
        {"by": "id"},
        "look like dna, with small letters.*upper",
    ),
    "a letter": (
        "x.fasta",
        {"by": "id", "atoms": {"name": "tokens", "alphabet": "dna"}},
        "x.fasta, 'a2': Sequence 1 has 'a' at position 0.*",
    ),
    "numbers": ("x.fasta", {"by": "id", "atoms": "vectors"}, "x.fasta: .* vectors are numbers"),
    "another table": (
        "x.fasta",
        {"by": "v", "annotation": {"name": ["q", "r"], "v": [1, 2]}},
        "No id of x.fasta, such as 'a1', is in .*whose first row has name = 'q', v = '1'",
    ),
    "a key that is no column": (
        "x.fasta",
        {"by": "place", "annotation": "meta.csv", "key": "id"},
        "no column of meta.csv 'id'",
    ),
    "another header": ("x.fasta", {"by": "x", "header": "{id}|{x}"}, "header 'a1 the first', whi"),
    "an option of another reader": (
        "x.fasta",
        {"by": "id", "columns": "x"},
        "'columns' is no opt",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_read_of_fasta_is_refused_with_the_fix(case, here):
    source, options, message = REFUSED[case]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        de.read(source, **options)


BAD = {
    "no entry": ("\n\n", "no line that starts with '>'"),
    "text before": ("MKL\n>a\nM\n", "Line 1 of bad.fasta is 'MKL'; a FASTA file begins with"),
    "fastq": ("@r1\nACG\n+\nIII\n", "Line 1 of bad.fasta is '@r1'"),
    "an entry without a sequence": (">a\nAC\n>b\n>c\nA\n", "no sequence under 'b', entry 2"),
    "cut off": (">a\nAC\n>b x", "no sequence under 'b x', entry 2"),
    "no id": (">\nAC\n", "Entry 1 of bad.fasta has no id"),
    "two of one id": (">a1\nAC\n>a1 b\nA\n", "Two sequences of bad.fasta have the id 'a1'"),
    "an id without a row": (
        ">a1\nAC\n>b9\nA\n",
        "no row for 1 of 2 .* first being 'b9'",
    ),
    "a space": (">a1\nAC G\n", "Sequence 0 has ' ' at position 2"),
    "a protein": (">a1\nMKLVE\n", "letters of proteins: alphabet='protein'"),
    "another alphabet": (">a1\nRYRYRY\n", "100% of all symbols, too many"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_fasta_file_is_refused(case, here):
    text, message = BAD[case]
    (here / "bad.fasta").write_text(text)
    atoms = DNA if case == "another alphabet" else {"name": "tokens", "alphabet": "dna"}
    with pytest.raises(ValueError, match=message):
        de.read("bad.fasta", by="place", annotation="meta.csv", atoms=atoms, min_size=1)


def test_a_table_with_two_rows_for_a_sequence_is_refused(here):
    (here / "meta.csv").write_text(TABLE + "a1,Fiji,1,x\n")
    with pytest.raises(ValueError, match="several rows for 'a1' in 'name'"):
        de.read("x.fasta", by="place", annotation="meta.csv", atoms=DNA)
    (here / "meta.csv").write_text(TABLE + "zz,Fiji,1,x\n")  # of which there is no sequence
    assert len(de.read("x.fasta", by="place", annotation="meta.csv", atoms=DNA, min_size=1)) == 2


@pytest.mark.parametrize("name", ["t.fasta.gz", "t.fasta.xz", "t.pat.gz"])
def test_a_packed_file_that_is_cut_off_is_refused(name, tmp_path):
    rng = np.random.default_rng(0)
    text = "".join(f">{i}\n{''.join(rng.choice(list('ACGT'), 60))}\n" for i in range(500))
    packed = lzma.compress(text.encode()) if name.endswith("xz") else gzip.compress(text.encode())
    (tmp_path / name).write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match=f"{name} is damaged, cut off|Line 1 of t.pat.gz"):
        de.read(tmp_path / name, by="id" if "fasta" in name else None)
    (tmp_path / name).write_bytes(b"plain text")
    with pytest.raises(ValueError, match=f"{name} is damaged, cut off or not compressed"):
        de.read(tmp_path / name, by="id" if "fasta" in name else None)


def test_a_pattern_of_methylation_of_count_n_is_n_atoms(tmp_path):
    text = "chr1\t5\tCT\t2\nchr1\t9\tC.T\t1\nchr2\t1\tT\t3\n"
    for name, part in (("m1", text), ("m2", "chr1\t5\tCC\t2\n")):
        with gzip.open(tmp_path / f"{name}.pat.gz", "wt") as file:
            file.write(part)
    sets = de.read(tmp_path / "*.pat.gz")
    assert sets.atoms == Tokens("methylation")
    assert sets.ids.tolist() == ["m1", "m2"]
    assert strings(sets) == [["CT", "CT", "C.T", "T", "T", "T"], ["CC", "CC"]]
    by_chrom = de.read(tmp_path / "*.pat.gz", by=["file", "chrom"])
    assert by_chrom.ids.tolist() == ["m1|chr1", "m1|chr2", "m2|chr1"]
    assert de.read(tmp_path / "m1.pat.gz").ids.tolist() == ["m1"]
    assert de.read(tmp_path / "m{mouse}.pat.gz").ids.tolist() == ["1", "2"]


@pytest.mark.parametrize(
    "line",
    [
        "chr1\t5\tCT",
        "chr1 5 CT 2",
        "chr1\tx\tCT\t2",
        "chr1\t5\tCA\t2",
        "chr1\t5\tCT\t0",
        "c\t5\t\t2",
    ],
)
def test_a_line_of_another_form_is_refused(line, tmp_path):
    (tmp_path / "m.pat").write_text(f"chr1\t5\tCT\t2\n{line}\n")
    with pytest.raises(ValueError, match="Line 2 of m.pat is .*pattern of C, T and '.'"):
        de.read(tmp_path / "m.pat")
    (tmp_path / "m.pat").write_text("\n")
    with pytest.raises(ValueError, match="m.pat has no line"):
        de.read(tmp_path / "m.pat")


def test_tables_of_one_form_are_read_together(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate(("p1_day2", "p2_day10")):
        rows = "\n".join(f"{k + 0.5 * r},{r},{40 + k}" for r in range(3))
        (tmp_path / f"{name}.csv").write_text(f"PC1,PC2,age\n{rows}\n")
    sets = de.read("*.csv")
    assert sets.ids.tolist() == ["p1_day2", "p2_day10"]
    # a number that is constant within each file is metadata
    assert (sets.features, sets.meta["age"].tolist()) == (("PC1", "PC2"), [40, 41])
    assert sets.batch([1]).x[:, 0].tolist() == [1, 1.5, 2]
    fields = de.read("{patient}_day{day}.csv")
    assert fields.ids.tolist() == ["p1|2", "p2|10"]
    assert fields.meta["day"].tolist() == ["2", "10"]
    days = de.read("{patient}_day{day}.csv", by="day", columns="PC1", meta=["patient"])
    assert (days.ids.tolist(), days.meta["patient"].tolist()) == (["2", "10"], ["p1", "p2"])
    (tmp_path / "p3_day1.csv").write_text("PC1,age\n1,2\n")
    with pytest.raises(ValueError, match="p3_day1.csv has other columns than .*differ in 'PC2'"):
        de.read("*.csv")
    with pytest.raises(FileNotFoundError, match=r"No file has a name of the form q\*.csv"):
        de.read("q*.csv")


def test_files_of_one_name_in_several_folders_are_told_apart(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.csv").write_text("v\n1\n2\n")
    assert de.read(tmp_path / "*" / "x.csv").ids.tolist() == ["a/x", "b/x"]
    named = files_of(tmp_path / "{group}" / "x.csv")
    assert [file.labels["group"] for file in named] == ["a", "b"]
    odd = tmp_path / "odd[1]*.csv"
    odd.write_text("v\n1\n2\n")
    assert not is_pattern(odd)
    assert len(files_of(odd)) == 1


@pytest.mark.parametrize(
    ("pattern", "text", "fields"),
    [
        ("{a}|{b}", "x|y|z", {"a": "x", "b": "y|z"}),
        ("*|{b}", "|y", {"b": "y"}),
        ("{a}?.pat", "A1.pat", {"a": "A"}),
        ("{a}.pat", ".pat", None),
        ("x[1].{a}", "x[1].y", {"a": "y"}),
        ("x", "xx", None),
    ],
)
def test_a_pattern_matches_the_whole_text(pattern, text, fields):
    assert Pattern(pattern).match(text) == fields


def test_a_pattern_that_is_not_clear_is_refused():
    with pytest.raises(ValueError, match="field {a} twice"):
        Pattern("{a}|{a}")
    with pytest.raises(ValueError, match="two fields with no text between"):
        Pattern("{a}{b}")
    assert Pattern("{a}_{b}", within="/").match("x_y/z") is None


def test_ids_that_occur_twice_are_named(here, caplog):
    (here / "h.fasta").write_text(">k Peru\nAC\n>l Fiji\nGT\n>k Fiji\nA\n")
    sets = de.read("h.fasta", by="place", header="{id} {place}", min_size=1)
    assert strings(sets) == [["AC"], ["GT", "A"]]
    assert "1 id is that of several entries, such as 'k'" in caplog.text
