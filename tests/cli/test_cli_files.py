"""Outputs: refused before the work, whole or not at all, and never over something else."""

import csv
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.cli.tables import holds_embeddings, write_samples, write_table
from distembed.data.readers.columns import read_columns
from distembed.files import claim, claim_folder, replacing, write_atomically


def test_claim(tmp_path):
    path = tmp_path / "z.csv"
    assert claim(path, (".csv",)) == path
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="--force"):
        claim(path, (".csv",))
    assert claim(path, (".csv",), force=True) == path
    with pytest.raises(ValueError, match=r"one of .csv, .parquet"):
        claim(tmp_path / "z.xlsx", (".csv", ".parquet"))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        claim(tmp_path / "none" / "z.csv", (".csv",))
    with pytest.raises(NotADirectoryError):
        claim(path / "z.csv", (".csv",))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        claim(tmp_path / "folder.csv", (".csv",), force=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="cannot be written"):
        claim(tmp_path / "z.csv", (".csv",))
    with pytest.raises(PermissionError, match="cannot be written"):
        claim_folder(tmp_path / "run", "config.json")


def test_a_missing_extra_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"distembed\[parquet\]"):
        claim(tmp_path / "z.parquet", (".parquet",))


def test_claim_folder(tmp_path):
    assert claim_folder(tmp_path / "a" / "b", "config.json")
    assert not (tmp_path / "a").exists()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"no config.json"):
        claim_folder(tmp_path, "config.json")
    assert claim_folder(tmp_path, "config.json", force=True)
    (tmp_path / "config.json").write_text("ours")
    assert claim_folder(tmp_path, "config.json")
    with pytest.raises(NotADirectoryError):
        claim_folder(tmp_path / "notes.txt" / "run", "config.json")


def test_replacing_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, "old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("new")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_tables_are_read_back_exactly(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"t{suffix}"
    z = np.random.default_rng(0).normal(size=50).astype(np.float32)
    names = np.array([f'a,"{i}\n' if i == 3 else f"é{i}" for i in range(50)])
    write_table(path, {"id": names, "n_atoms": np.arange(50), "n_effective": z, "z0": z})
    records = read_columns(path)
    np.testing.assert_array_equal(records["z0"].astype(np.float32), z)
    assert records["id"].tolist() == names.tolist()
    assert holds_embeddings(path)


def test_samples_that_are_no_rows_need_arrays(tmp_path):
    images = np.zeros((2, 3, 4, 4))
    with pytest.raises(ValueError, match=r"\.npz"):
        write_samples(tmp_path / "s.csv", {"set": np.array(["a", "b"])}, images, None)
    write_samples(tmp_path / "s.npz", {"set": np.array(["a", "b"])}, images, None)
    with np.load(tmp_path / "s.npz") as records:
        assert records["x"].shape == images.shape
        assert records["set"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="'set'"):
        write_samples(tmp_path / "s.csv", {"set": np.array(["a"])}, np.zeros((1, 2, 1)), ["set"])
    assert [p.name for p in tmp_path.iterdir()] == ["s.npz"]


IDS = (
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip).filter(bool)
)


@given(st.lists(IDS, min_size=1, max_size=6, unique=True))
def test_safe_csv_holds_no_formula_and_changes_nothing_else(names):
    ids = np.array([*dict.fromkeys(["=1+1", "@SUM(A1)", "-x", "+y", "'z", *names])])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        matrix = {name: np.arange(float(len(ids))) for name in ids.tolist()}
        write_table(path, {"id": ids} | matrix, safe=True)
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        cells = [row[0] for row in rows]
        assert rows[0][1:] == cells[1:]
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)
        for name, cell in zip(ids, cells[1:], strict=True):
            assert cell == (f"'{name}" if name.startswith(("=", "+", "-", "@")) else name)


def test_numbers_keep_their_sign_in_safe_csv(tmp_path):
    write_table(tmp_path / "t.csv", {"id": np.array(["a"]), "x": np.array([-1.5])}, safe=True)
    assert (tmp_path / "t.csv").read_text() == "id,x\na,-1.5\n"


@pytest.mark.parametrize("at_once", [1, 7, 20, 1000])
def test_a_table_that_is_written_in_pieces_is_the_same(tmp_path, at_once):
    columns = {"id": np.arange(9).astype(str), "x": np.linspace(0, 1, 9), "y": np.arange(9)}
    write_table(tmp_path / "whole.csv", columns)
    write_table(tmp_path / "pieces.csv", columns, at_once=at_once)
    assert (tmp_path / "pieces.csv").read_text() == (tmp_path / "whole.csv").read_text()
