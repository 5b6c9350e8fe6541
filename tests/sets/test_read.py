"""`read`: every kind of source, metadata from a second table, and bad input."""

import logging
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from distembed.data.readers import READERS
from distembed.data.readers.arrays import from_arrays
from distembed.data.spaces import Counts, Images, Vectors
from distembed.registry import Member, member_options
from distembed.sets.read import read, read_atoms
from distembed.testing import check_collection

TABLE = {
    "who": np.array(["a", "b", "a", "b", "c"]),
    "day": np.array([1, 1, 1, 2, 1]),
    "age": np.array([50, 61, 50, 61, 70]),
    "PC1": np.array([0.1, 0.2, 0.3, 0.4, 0.5]),
    "PC2": np.arange(5.0),
}


def test_a_table_with_its_metadata():
    sets = read(TABLE, by="who", columns="PC*")
    assert sets.ids.tolist() == ["a", "b"]
    assert sets.features == ("PC1", "PC2")
    assert sets.meta["age"].tolist() == [50, 61]
    assert "day" not in sets.meta
    assert sets.batch([0]).x.tolist() == [[np.float32(0.1), 0.0], [np.float32(0.3), 2.0]]
    assert read(TABLE, ["who", "day"], "PC1", min_size=1).ids.tolist() == [
        "a|1",
        "b|1",
        "b|2",
        "c|1",
    ]
    assert read(TABLE, "who", meta=["age"]).features == ("day", "PC1", "PC2")
    assert read(TABLE, "who").features == ("day", "PC1", "PC2")
    assert read(TABLE, "who").meta["age"].tolist() == [50, 61]
    assert read(TABLE, "who", meta=[]).features == ("day", "PC1", "PC2")
    assert read(TABLE, "who", ["age", "PC1"]).features == ("age", "PC1")
    with pytest.raises(ValueError, match="'day' is 1 and 2 within set 'b'"):
        read(TABLE, "who", "PC*", meta="day")


def test_metadata_of_a_second_table_are_joined():
    second = {"who": ["c", "a", "b"], "sex": ["m", "f", "m"], "dose": [0.0, 1.0, 2.0]}
    sets = read(TABLE, "who", "PC*", metadata=second)
    assert sets.meta["sex"].tolist() == ["f", "m"]
    assert sets.meta["dose"].tolist() == [1.0, 2.0]
    assert set(read(TABLE, "who", "PC*", meta=["sex"], metadata=second).meta) == {"sex"}
    assert set(read(TABLE, "who", "PC*", meta=["age", "sex"], metadata=second).meta) == {
        "age",
        "sex",
    }
    several = read(TABLE, ["day", "who"], "PC*", min_size=1, metadata=second)
    assert several.meta["dose"].tolist() == [1.0, 2.0, 2.0, 0.0]
    lists = read([np.ones((2, 1)), np.ones((3, 1))], metadata={"set": [1, 0], "y": [5, 6]})
    assert lists.meta["y"].tolist() == [6, 5]


TEN = {f"c{i}": np.ones(2) for i in range(10)}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"whom": ["a"], "sex": ["f"]}, "close names are: 'whom'"),
        ({"who": ["a"], "sex": ["f"]}, "no row for 1 of 2 sets, the first being 'b'"),
        ({"who": ["a", "b", "a"], "sex": list("fmf")}, "several rows for 'a'"),
        ({"who": ["a", "b"], "age": [50, 62]}, "'age' is in the data and in the metadata"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(second, message):
    with pytest.raises(ValueError, match=message):
        read(TABLE, "who", "PC*", metadata=second)


def test_arrays():
    x = np.arange(24.0).reshape(12, 2)
    parts = [x[:2], x[2:5], x[5:]]
    sets = read(parts * 4)
    assert sets.ids.tolist() == [str(i) for i in range(12)]
    assert sets.sizes.tolist() == [2, 3, 7] * 4
    named = read({"q": parts[0], "p": parts[1]})
    assert named.ids.tolist() == ["q", "p"]
    assert named.batch([1]).x.tolist() == parts[1].tolist()
    labelled = read(x, by=np.arange(12) // 6)
    assert labelled.ids.tolist() == ["0", "1"]
    assert labelled.observations.x is x
    images = read([np.zeros((3, 1, 8, 8), np.uint8)] * 2)
    assert images.event_shape == (1, 8, 8)
    assert not images.meta


def test_integers_in_a_frame_and_a_label_with_a_category():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(TABLE).assign(who=lambda f: f["who"].astype("category"))
    sets = read(
        frame, "who", ["day", "PC1"], metadata=pandas.DataFrame({"who": ["a", "b"], "y": [1, 2]})
    )
    assert sets.features == ("day", "PC1")
    assert sets.meta["y"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: read(TABLE, "whom"), "close names are: 'who'"),
        (lambda: read(TABLE, "who", ["PC3"]), "no column 'PC3'"),
        (lambda: read(TABLE, "who", weights="w"), "no column 'w'"),
        (
            lambda: read(TABLE, "who", "PC*", genes=["a"]),
            "no option for a dict: it is an option of the reader 'cells'. The reader 'table'",
        ),
        (lambda: read([np.ones((2, 1))], by="who"), "every array is a set already"),
        (
            lambda: read([np.ones((2, 1))], columns="PC*"),
            "no option for a list: .* takes: no options",
        ),
        (lambda: read(np.ones((2, 1))), "label of each row"),
        (lambda: read([np.ones((2, 1)), np.ones((0, 1))]), "'1' is empty"),
        (lambda: read([np.ones((2, 1)), np.ones((2, 2))]), "event|shape"),
        (lambda: read([np.array([[1.0], [np.inf]])]), "Set '0' holds inf"),
        (lambda: read([np.ones((1, 1))]), "min_size = 2"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_sources_are_refused(tmp_path):
    with pytest.raises(TypeError, match="read from an object of type int"):
        read(3)
    with pytest.raises(FileNotFoundError, match="no.csv"):
        read(tmp_path / "no.csv", "who")
    with pytest.raises(
        ValueError, match=r"x.npy has no known format; expected .h5ad, .zarr, .h5mu, .csv"
    ):
        read(tmp_path / "x.npy", "who")
    path = tmp_path / "t.csv"
    path.write_text("who,x\na,1\na,nan\n")
    with pytest.raises(
        ValueError, match="needs `by`.* data.by=COLUMN .*columns are: 'who', 'x'.$"
    ):
        read(path)
    with pytest.raises(ValueError, match="columns are: 'c0', .*, 'c7' and 2 more"):
        read(type("Frame", (dict,), {"columns": [f"c{i}" for i in range(10)]})(TEN))
    with pytest.raises(ValueError, match="Set 'a' holds nan in feature 'x', row 1"):
        read(path, "who")
    path.write_text("who,x\na,1\na,oops\na,2\n")
    with pytest.raises(ValueError, match="'oops' in line 3"):
        read(str(path), "who")


DNA = {"name": "tokens", "alphabet": "ACGT"}
READS = {"who": list("aabb"), "seq": ["ACG", "T", "GG", "AAAA"], "x": [0.5, 1.5, 2.5, 3.5]}


def strings_of(sets):
    batch = sets.batch(range(len(sets)))
    return [sets.atoms.restore(part) for part in batch.x.split(batch.sizes.tolist())]


@pytest.mark.parametrize("form", ["lists", "dict", "labelled", "columns", "csv", "parquet"])
def test_strings_become_tokens(form, tmp_path):
    parts = [READS["seq"][:2], READS["seq"][2:]]
    path = tmp_path / f"reads.{form}"
    if form == "csv":
        rows = zip(*READS.values(), strict=True)
        path.write_text("\n".join([",".join(READS), *(",".join(map(str, r)) for r in rows)]))
    elif form == "parquet":
        arrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(arrow.table(READS), path)
    sets = {
        "lists": lambda: read(parts, atoms=DNA),
        "dict": lambda: read({"a": parts[0], "b": np.array(parts[1])}, atoms=DNA),
        "labelled": lambda: read(np.array(READS["seq"]), np.array(READS["who"]), atoms=DNA),
        "columns": lambda: read(READS, "who", "seq", atoms=DNA),
    }.get(form, lambda: read(path, "who", "seq", atoms=DNA))()
    assert strings_of(sets) == parts
    assert (sets.dtype, sets.event_shape, sets.features) == (torch.int64, (4,), None)
    assert sets.ids.tolist() == (["0", "1"] if form == "lists" else ["a", "b"])
    check_collection(sets)


def test_numbers_are_tokens_where_that_is_stated_and_counts_elsewhere(caplog):
    ids = [np.array([[1, 2], [3, 0]]), np.array([[4, 4, 4], [1, 0, 0]])]
    assert strings_of(read(ids, atoms=DNA)) == [["AC", "G"], ["TTT", "A"]]
    table = {"who": list("aabb"), "t0": [1, 2, 3, 4], "t1": [0, 1, 0, 2]}
    columns = read(table, "who", "t*", atoms=DNA)
    assert strings_of(columns) == [["A", "CA"], ["G", "TC"]]
    assert columns.features is None
    with caplog.at_level(logging.INFO):
        counts = read(table, "who", "t*")
    assert "taken as counts. State another kind" in caplog.text
    assert (counts.atoms, counts.dtype) == (Counts(), torch.float32)
    assert read(table, "who", "t*", atoms="vectors").atoms == Vectors()


def test_digits_of_a_text_file_stay_strings(tmp_path):
    """As calls of methylation are written, one character a site."""
    path = tmp_path / "calls.csv"
    path.write_text("who,calls\na,1201\na,2210\nb,1111\nb,20\n")
    sets = read(path, "who", "calls", atoms={"name": "tokens", "alphabet": "012"})
    assert strings_of(sets) == [["1201", "2210"], ["1111", "20"]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: read([["AC", "GT"]]), "Set '0' holds strings, such as 'AC'.* here are 'ACGT'"),
        (lambda: read([["AC", "GN"]], atoms=DNA), "Set '0': Sequence 1 has 'N' at position 1"),
        (lambda: read([["AC", 3]], atoms=DNA), "has '3' at position 0"),
        (lambda: read([np.array(["AC", 3], object)], atoms=DNA), "holds 3 in row 1"),
        (lambda: read([["AC", "GT"]], atoms="counts"), "holds strings"),
        (lambda: read([[[1, 2], [3]]], atoms=DNA), "Pad tokens with 0 at the end, or give str"),
        (lambda: read([[[1, 9], [3, 1]]], atoms=DNA), "A token is 9; tokens are 1 to 4"),
        (lambda: read([[[0.5], [1]]], atoms=DNA), "whole numbers; these have fractions, as 0.5"),
        (lambda: read(READS, "who", atoms=DNA), "no column of sequences is named"),
        (lambda: read(READS, "who", "x", atoms=DNA), "'x' holds float64 values; sequences are"),
        (lambda: read(READS, "who", ["x", "seq"], atoms=DNA), "'seq' holds text"),
        (lambda: read(READS, "who", "seq"), "name it as such: sequence='seq'"),
        (lambda: read(READS, "who", "x", atoms="counts"), "A count is 0.5"),
        (lambda: read(READS | {"seq": ["A", "", "C", "G"]}, "who", "seq", atoms=DNA), "Row 1 has"),
        (lambda: read(READS | {"seq": list("AXCG")}, "who", "seq", atoms=DNA), "Column 'seq': Se"),
        (lambda: read([np.ones((2, 1))], atoms="images"), "channels x height x width"),
        (lambda: read([np.ones((2, 1))], atoms="words"), "no kind of atom 'words'"),
    ],
)
def test_atoms_of_another_kind_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_images_have_a_range_and_their_channels_first():
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3)).astype(np.uint8)
    sets = read(list(x))
    assert sets.atoms == Images(0, 255, whole=True)
    assert (sets.event_shape, sets.dtype) == ((3, 16, 16), torch.float32)
    batch = sets.batch([1])
    assert np.array_equal(sets.atoms.restore(batch.x.numpy()), np.moveaxis(x[1], -1, 1))
    labelled = read(x.reshape(6, 16, 16, 3), by=np.repeat([0, 1], 3))
    assert torch.equal(labelled.batch([1]).x, batch.x)
    stated = read([np.zeros((2, 1, 8, 8))], atoms={"name": "images", "high": 1})
    assert stated.atoms == Images(high=1)


@dataclass(frozen=True)
class RangeReader:
    """Reader of two numbers that follow each other.

    Attributes:
        start: First number,
            of two.
    """

    start: int | None = None

    suffixes: ClassVar = (".range",)
    selection: ClassVar = None

    @classmethod
    def accepts(cls, source, by):
        return False

    def read(self, source, request):
        return from_arrays([np.arange(2.0)[:, None] + self.start]), ["set"]


def test_a_reader_is_a_class_and_one_line(monkeypatch):
    monkeypatch.setitem(READERS, "ranges", Member(f"{__name__}:RangeReader", "two numbers"))
    assert read("x.range", start=3).batch([0]).x.tolist() == [[3.0], [4.0]]
    with pytest.raises(ValueError, match="'stop' is no option for x.range: no reader has it"):
        read("x.range", stop=3)
    assert member_options(READERS, "ranges", "reader")["start"].text == "First number, of two."


def test_glomeruli_of_patients(data_dir):
    pytest.importorskip("pyarrow")
    folder = data_dir / "kidney_glomeruli"
    sets = read(
        folder / "glomeruli.parquet",
        by="patient",
        columns=["glom_sizes", "glom_shape_*"],
        metadata=folder / "patients.csv",
    )
    assert len(sets) == 494
    assert (sets.sizes.min(), np.median(sets.sizes), sets.sizes.max()) == (2, 28, 415)
    assert sets.event_shape == (5,)
    assert np.array_equal(sets.meta["n_glomeruli"], sets.sizes)
    classes = dict(zip(*np.unique(sets.meta["egfr_class"], return_counts=True), strict=True))
    assert classes == {">60": 312, "30-60": 138, "<30": 44}
    train, test = sets.split(0.25, stratify="egfr_class")
    assert abs((test.meta["egfr_class"] == "<30").sum() - 11) <= 1
    assert len(train) + len(test) == 494
    batch = sets.batch(range(494))
    assert bool((batch.mean(batch.x)[:, 0] > 0).all())


def test_cells_of_guides(data_dir):
    pytest.importorskip("anndata")
    path = data_dir / "perturbseq_papalexi" / "papalexi2021_thp1.h5ad"
    sets = read(path, by="grna")
    assert (len(sets), len(sets.rows), sets.event_shape) == (82, 13_994, (299,))
    assert sets.observations.sparse
    assert "target" in sets.meta
    assert len(np.unique(sets.meta["target"])) == 24
    batch = sets.batch([0, 81])
    assert bool((batch.x == batch.x.round()).all())
    train, test = sets.split(0.2, group="target")
    assert not set(train.meta["target"]) & set(test.meta["target"])
    several = read(path, by=["target", "replicate"], genes="is_target")
    assert (len(several), several.sizes.min(), several.sizes.max()) == (72, 5, 571)
    assert several.features is not None
    assert "STAT1" in several.features


@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt"])
def test_weights_are_numbers_however_they_are_written(suffix, tmp_path):
    path = tmp_path / f"t.{suffix}"
    comma = "," if suffix == "csv" else "\t"
    rows = ["who,x,w", "a,1,0.50", "a,2,1.5", "b,3,1_0", "b,4,1e0"]
    path.write_text("\n".join(rows[:3] + rows[4:]).replace(",", comma))
    assert read(path, "who", "x", weights="w").batch([0]).w.tolist() == [0.25, 0.75]
    path.write_text("\n".join(rows).replace(",", comma))
    with pytest.raises(ValueError, match="'w' of t.* holds '1_0' in line 4"):
        read(path, "who", "x", weights="w")
    path.write_text("who,x,w\na,1,p\na,2,q\n".replace(",", comma))
    with pytest.raises(ValueError, match="Column 'w' of weights holds text"):
        read(path, "who", "x", weights="w")


def test_metadata_of_one_array_are_joined_on_the_text_of_its_labels(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("set,y\n1.10,2\n1.20,1\n")
    x = np.arange(4.0)[:, None]
    for labels in (["1.20", "1.20", "1.10", "1.10"], np.array(["1.20", "1.20", "1.10", "1.10"])):
        assert read(x, by=labels, metadata=path).meta["y"].tolist() == [1, 2]


def test_labels_of_atoms_are_text_as_it_stands(tmp_path):
    path = tmp_path / "cells.csv"
    rows = "".join(f"{label},{i},0.5\n" for i, label in enumerate(["1.50", "1.5", "007"] * 4))
    path.write_text("code,day,PC1\n" + rows)
    atoms = read_atoms(path, "PC1", labels="code")
    assert sorted(set(atoms.labels("code"))) == ["007", "1.5", "1.50"]
    kept = read_atoms(path, "PC1", keep=["day"], labels=["code"])
    assert sorted(kept.columns) == ["code", "day"]
    assert atoms.labels("code").tolist() == kept.labels("code").tolist()
