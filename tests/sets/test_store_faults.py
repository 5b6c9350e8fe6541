"""A store that is damaged, old or half written is refused, and a killed build leaves none."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import distembed as de
from distembed.data.store import check_store, is_store, open_store
from distembed.sets import placement
from distembed.sets.passes import Passes
from distembed.sets.tally import Tally

X = np.random.default_rng(0).normal(size=(60, 2))
LABEL = np.arange(60) % 5
LINES = ["who,x,y", *(f"{k % 5},{a},{b}" for k, (a, b) in enumerate(X.tolist()))]


@pytest.fixture
def source(tmp_path):
    (tmp_path / "a.csv").write_text("\n".join(LINES) + "\n")
    return tmp_path / "a.csv"


@pytest.fixture
def store(source, tmp_path):
    de.build_store(source, tmp_path / "store", by="who", columns=["x", "y"])
    return tmp_path / "store"


def header(store, **changes):
    content = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps({**content, **changes}))


def test_a_whole_store_passes(store):
    check_store(store)
    assert is_store(store)
    assert is_store(str(store))
    assert not is_store(store.parent)


@pytest.mark.parametrize("name", ["x.npy", "sets.npz"])
def test_a_file_that_is_cut_or_gone_is_named(store, name):
    data = (store / name).read_bytes()
    (store / name).write_bytes(data[:-1])
    with pytest.raises(ValueError, match=f"damaged: {name} has {len(data) - 1} bytes"):
        de.read(store)
    (store / name).unlink()
    with pytest.raises(ValueError, match=f"damaged: {name} is missing"):
        de.read(store)


@pytest.mark.parametrize("name", ["x.npy", "sets.npz"])
def test_a_changed_bit_is_noticed_by_a_check(store, name):
    data = bytearray((store / name).read_bytes())
    data[-30 if name == "x.npy" else 200] ^= 1
    (store / name).write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        check_store(store)


def test_other_versions_and_formats_are_refused(store):
    header(store, version=2)
    with pytest.raises(ValueError, match="has version 2, and this package reads version 1"):
        de.read(store)
    header(store, format="other")
    with pytest.raises(ValueError, match="does not name the format"):
        de.read(store)
    (store / "store.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged: store.json"):
        de.read(store)


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {"x.npy": {"bytes": 1}, "../a.csv": {"bytes": 2}}},
        {"files": {}},
        {"meta": None},
        {"by": "who"},
    ],
)
def test_a_header_that_lacks_a_field_or_leaves_the_folder_is_refused(store, changes):
    header(store, **changes)
    with pytest.raises(ValueError, match="store.json lacks a field"):
        de.read(store)


def test_arrays_that_do_not_belong_together_are_refused(store):
    with np.load(store / "sets.npz") as arrays:
        content = dict(arrays)
    for change in ({"offsets": content["offsets"] + 1}, {"ids": content["ids"][:-1]}):
        np.savez(store / "sets.npz", **{**content, **change})
        files = json.loads((store / "store.json").read_text())["files"]
        files["sets.npz"]["bytes"] = (store / "sets.npz").stat().st_size
        header(store, files=files)
        with pytest.raises(ValueError, match="its arrays, of 60 atoms and . sets, do not belong"):
            de.read(store)


def test_a_pickle_is_not_loaded(store):
    np.save(store / "x.npy", np.array([{"a": 1}], object), allow_pickle=True)
    files = json.loads((store / "store.json").read_text())["files"]
    files["x.npy"]["bytes"] = (store / "x.npy").stat().st_size
    header(store, files=files)
    with pytest.raises(ValueError, match="is damaged"):
        de.read(store)


def test_arrays_that_are_packed_are_refused(store):
    with np.load(store / "sets.npz") as arrays:
        content = dict(arrays)
    np.savez_compressed(store / "sets.npz", **content)
    files = json.loads((store / "store.json").read_text())["files"]
    files["sets.npz"]["bytes"] = (store / "sets.npz").stat().st_size
    header(store, files=files)
    with pytest.raises(ValueError, match="sets.npz: ids.npy is compressed"):
        de.read(store)


def test_a_source_that_changed_is_noticed(store, source):
    text = source.read_text()
    source.write_text(text.replace("0.", "1.", 1))
    with pytest.raises(ValueError, match="a.csv has changed since the store .* was built"):
        check_store(store)
    check_store(store, source=False)
    source.unlink()
    with pytest.raises(FileNotFoundError, match="The source .*a.csv of the store .* is not there"):
        check_store(store)


def test_a_store_is_replaced_only_when_asked(store, source):
    with pytest.raises(FileExistsError, match="is a store already"):
        de.build_store(source, store, by="who", columns="x")
    with pytest.raises(ValueError, match="no column"):
        de.build_store(source, store, by="nobody", columns="x", force=True)
    assert de.read(store).features == ("x", "y")  # a build that fails leaves the old one
    assert de.build_store(source, store, by="who", columns="x", force=True).features == ("x",)
    assert sorted(p.name for p in store.parent.iterdir()) == ["a.csv", "store"]
    with pytest.raises(FileExistsError, match="is no store"):
        de.build_store(source, source.parent, by="who", columns="x", force=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "who"}, "features have to be named.*numeric columns are: who, x, y"),
        ({"columns": "x"}, "needs `by`"),
        ({"by": "who", "columns": "x", "meta": "y"}, "'y' has several values in set '0'"),
        ({"by": "who", "columns": "x", "weights": "z"}, "no column 'z'"),
        ({"by": "who", "columns": "x", "min_size": 99}, "None of 5 sets"),
        ({"by": "who", "columns": "x", "log1p": True}, "belong to pca"),
        ({"by": "who", "columns": "x", "obsm": "X_pca"}, "'obsm' is no option"),
    ],
)
def test_arguments_that_do_not_fit(source, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        de.build_store(source, tmp_path / "s", **arguments)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv"]


def test_what_was_decided_at_the_build_is_refused_at_read(store):
    for name, value in (("columns", "x"), ("weights", "w"), ("max_size", 3), ("obsm", "X_pca")):
        with pytest.raises(ValueError, match=f"{name} = .* is decided when a store is built"):
            de.read(store, **{name: value})
    with pytest.raises(ValueError, match="were made by who, and are asked for by donor"):
        de.read(store, by="donor")
    with pytest.raises(ValueError, match="is decided when a store is built"):
        de.read(store, by=LABEL)
    with pytest.raises(ValueError, match="holds vectors, and tokens"):
        de.read(store, atoms={"name": "tokens", "alphabet": "AC"})
    with pytest.raises(ValueError, match="no metadata column 'age'"):
        de.read(store, meta="age")
    with pytest.raises(ValueError, match="is a folder, and holds no store"):
        de.read(store.parent, by="who")


def test_missing_values_and_lost_digits_are_named(tmp_path):
    lines = list(LINES)
    lines[7] = lines[7].rpartition(",")[0] + ",nan"
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="Set '1' holds nan in feature 'y', row 6"):
        de.build_store(tmp_path / "a.csv", tmp_path / "s", by="who", columns=["x", "y"])
    seconds = {"who": LABEL, "t": 1.7e9 + np.arange(60.0), "x": X[:, 0]}
    with pytest.raises(ValueError, match="feature 't' are lost in float32"):
        de.build_store(seconds, tmp_path / "s", by="who", columns=["t", "x"], memory=100)
    with pytest.raises(ValueError, match="feature 't' are lost in float32"):
        de.read(seconds, by="who", columns=["t", "x"])
    blank = [*LINES, ",1,2"]
    (tmp_path / "a.csv").write_text("\n".join(blank) + "\n")
    with pytest.raises(ValueError, match="Row 60 has no label in column 'who'"):
        de.build_store(tmp_path / "a.csv", tmp_path / "s", by="who", columns="x", memory=64)


def test_weights_of_zero_in_a_whole_set(tmp_path):
    table = {"who": LABEL, "x": X[:, 0], "w": (LABEL != 2) * 1.0}
    with pytest.raises(ValueError, match="weights of set '2' sum to zero"):
        de.build_store(table, tmp_path / "s", by="who", columns="x", weights="w")


def test_a_full_disk_is_an_error_before_and_while_it_is_written(source, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(placement.shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(OSError, match="takes 0.00 GB, and 0.00 GB are free. Make room"):
        de.build_store(source, tmp_path / "s", by="who", columns="x")
    monkeypatch.undo()

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(placement.PlacedArray, "write", full)
    with pytest.raises(OSError, match="No space left"):
        de.build_store(source, tmp_path / "s", by="who", columns="x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv"]


def test_a_source_that_grows_is_refused(source, tmp_path, monkeypatch):
    counted = Passes._metadata

    def grow(self, plan):
        with source.open("a") as file:
            file.write("0,1,2\n")
        return counted(self, plan)

    monkeypatch.setattr(Passes, "_metadata", grow)
    with pytest.raises(ValueError, match="other rows than when they were counted"):
        de.build_store(source, tmp_path / "s", by="who", columns="x")
    assert not (tmp_path / "s").exists()


KILLED = """
import sys, os, time
import distembed as de
from distembed.sets.placement import PlacedArray
write = PlacedArray.write
def slow(self, *arguments):
    write(self, *arguments)
    print("written", flush=True)
    time.sleep(30)
PlacedArray.write = slow
de.build_store(sys.argv[1], sys.argv[2], by="who", columns="x", memory=64)
"""


def test_a_build_that_is_killed_leaves_nothing_that_opens(source, tmp_path):
    target = tmp_path / "s"
    command = [sys.executable, "-c", KILLED, str(source), str(target)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "written\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not target.exists()
    assert [p.name for p in tmp_path.glob("s*")] == ["s.partial"]
    assert not is_store(tmp_path / "s.partial")
    sets = de.build_store(source, target, by="who", columns="x")  # the same command again
    assert len(sets) == 5
    assert not (tmp_path / "s.partial").exists()


def test_a_store_opens_without_being_read(tmp_path):
    n = 400_000
    x = np.zeros((n, 8), np.float32)
    w = np.ones(n)
    w[0] = 2
    table = {f"f{j}": x[:, j] for j in range(8)} | {"who": np.arange(n) // 100, "w": w}
    columns = [f"f{j}" for j in range(8)]
    de.build_store(table, tmp_path / "s", by="who", columns=columns, weights="w")
    start = time.perf_counter()
    sets = de.read(tmp_path / "s")
    assert time.perf_counter() - start < 1
    assert len(sets) == 4000
    assert sets.weighted
    assert isinstance(open_store(tmp_path / "s").x, np.memmap)


def test_a_tally_counts_over_parts():
    from distembed.data.readers.streams import Part

    tally = Tally("w")
    parts = [
        Part(
            3, [np.array(["b", "a", "b"])], {"k": np.array(["x", "y", "x"])}, np.array([0, 1, 2])
        ),
        Part(3, [np.array(["c", "b", "a"])], {"k": np.array(["z", "xyz", "y"])}, np.ones(3)),
    ]
    for part in parts:
        tally.add(part)
    assert (tally.ids, tally.sizes.tolist()) == (["b", "a", "c"], [2, 2, 1])
    assert tally.total.tolist() == [3, 2, 1]
    assert tally.unequal().tolist() == [True, False, False]
    assert tally.column("k").tolist() == ["x", "y", "z"]
    assert tally.varies("k").tolist() == [True, False, False]
    with pytest.raises(ValueError, match="Weight -1.0"):
        tally.add(Part(1, [np.array(["a"])], {}, np.array([-1.0])))
