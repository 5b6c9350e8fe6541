"""Sequences on the command line: fit, embed, and samples that are read as data again."""

import csv
import re

import numpy as np
import pytest

from distembed.generators import GENERATORS
from distembed.registry import Member
from token_fakes import sequences

SETTINGS = (
    "data.by=sample",
    "data.columns=seq",
    "data.atoms={name: tokens, alphabet: ACGT}",
    "model.encoder={name: composed, point: {name: transformer, channels: 8, depth: 1, heads: 2}}",
    "model.generator=autoregressive",
    "model.latent=4",
    "train={steps: 2, every: 2, batch: 4, context: [2, 8], target: 4, validation: 0, device: cpu}",
    "split.test=0",
)


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("sample", "seq"), *rows])


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folder(tmp_path, monkeypatch, run):
    """A table of reads, and a model of it."""
    member = Member("token_fakes:Autoregressive", "for tests", atoms=("tokens",))
    monkeypatch.setitem(GENERATORS, "autoregressive", member)
    rows = [(f"s{i}", x) for i, part in enumerate(sequences(8, 20)) for x in part]
    write(tmp_path / "reads.csv", rows)
    words = (*SETTINGS, f"data.path={tmp_path / 'reads.csv'}", f"out={tmp_path / 'model'}")
    outcome = run("fit", *words)
    assert outcome.code == 0, outcome.err
    assert "atoms: tokens (alphabet='ACGT')" in outcome.err
    return tmp_path


def test_samples_of_tokens_are_strings_that_other_verbs_read(folder, run):
    model, table = folder / "model", folder / "drawn.csv"
    assert run("sample", model, "--n", "7", "-o", table).code == 0
    rows = rows_of(table)
    assert list(rows[0]) == ["sample", "seq"]
    assert len(rows) == 8 * 7
    assert set("".join(row["seq"] for row in rows)) <= set("ACGT")
    assert run("sample", model, "--n", "7", "-o", folder / "drawn.npz").code == 0
    with np.load(folder / "drawn.npz") as arrays:
        assert arrays["x"].ravel().tolist() == [row["seq"] for row in rows]
    assert run("embed", model, "-o", folder / "z.csv", "--no-errors").code == 0
    assert len(rows_of(folder / "z.csv")) == 8
    write(table, [row.values() for row in rows if row["seq"]])  # an empty sequence is missing
    assert run("embed", model, table, "-o", folder / "drawn_z.csv", "--no-errors").code == 0
    sizes = [int(row["n_atoms"]) for row in rows_of(folder / "drawn_z.csv")]
    assert sum(sizes) == sum(bool(row["seq"]) for row in rows)


def test_paths_of_tokens_are_strings(folder, run):
    path = folder / "path.csv"
    words = ("--from", "s0", "--to", "s1", "--steps", "2", "--n", "5", "-o", path)
    outcome = run("interpolate", folder / "model", *words)
    assert outcome.code == 0, outcome.err
    rows = rows_of(path)
    assert (list(rows[0]), len(rows)) == (["t", "sequence"], 10)
    assert set("".join(row["sequence"] for row in rows)) <= set("ACGT")


def test_check_of_a_store_without_hashes_of_its_source_says_so(folder, run):
    (folder / "reads.fasta").write_text(">a [s=x]\nACGT\n>b [s=x]\nAC\n>c [s=y]\nGT\n")
    store = folder / "reads.store"
    built = run("data", "build", folder / "reads.fasta", "-o", store, "--by", "s")
    assert built.code == 0, built.err
    assert "no hash of its source was stored" in run("data", "check", store).err


def test_verbs_that_compare_atoms_name_the_distance(folder, run):
    model, table, new = folder / "model", folder / "d.csv", folder / "new.csv"
    outcome = run("distance", model, "-o", table)
    assert outcome.code == 0
    assert "W2 is not calibrated: 0 training sets have 50 atoms" in outcome.err
    assert run("distance", model, "--latent", "--force", "-o", table).code == 0
    write(new, [(f"n{i}", x) for i, part in enumerate(sequences(8, 20, seed=1)) for x in part])
    outcome = run("evaluate", model, new, "--sets", "all")
    assert outcome.code == 0, outcome.err
    assert "Unit of distances: W2 under the Levenshtein distance" in outcome.out


@pytest.fixture
def from_fasta(tmp_path, monkeypatch, run):
    """A FASTA file, a table of its sequences, and a model of both."""
    member = Member("token_fakes:Autoregressive", "for tests", atoms=("tokens",))
    monkeypatch.setitem(GENERATORS, "autoregressive", member)
    monkeypatch.setenv("HERE", str(tmp_path))
    rows = [
        (f"q{i}_{k}", f"s {i}", x) for i, p in enumerate(sequences(8, 20)) for k, x in enumerate(p)
    ]
    (tmp_path / "x.fasta").write_text("".join(f">{name} note\n{x}\n" for name, _, x in rows))
    with (tmp_path / "meta.tsv").open("w", newline="") as file:
        lines = [("accession", "place"), *((name, place) for name, place, _ in rows)]
        csv.writer(file, delimiter="\t").writerows(lines)
    stated = ("data.by=place", "data.path=$HERE/x.fasta", "data.annotation=$HERE/meta.tsv")
    outcome = run("fit", *stated, *SETTINGS[3:], f"out={tmp_path / 'model'}")
    assert outcome.code == 0, outcome.err
    assert "atoms: tokens (alphabet='ACGT')" in outcome.err
    return tmp_path


def test_a_fasta_file_and_a_table_are_all_that_every_verb_needs(from_fasta, run):
    model, drawn = from_fasta / "model", from_fasta / "drawn.fasta"
    assert run("embed", model, "-o", from_fasta / "z.csv").code == 0
    assert [row["id"] for row in rows_of(from_fasta / "z.csv")] == [f"s {i}" for i in range(8)]
    outcome = run("sample", model, from_fasta / "z.csv", "--n", "9", "-o", drawn)
    assert outcome.code == 0, outcome.err
    lines = drawn.read_text().splitlines()
    assert set("".join(lines[1::2])) <= set("ACGT")
    assert re.fullmatch(r">s_0\.\d \[place=s 0\]", lines[0])
    # the annotation of the model's own file says nothing of other sequences
    outcome = run("embed", model, drawn, "-o", from_fasta / "again.csv", "--no-errors")
    assert outcome.code == 0, outcome.err
    sizes = {row["id"]: int(row["n_atoms"]) for row in rows_of(from_fasta / "again.csv")}
    assert sum(sizes.values()) == len(lines) // 2
    assert set(sizes) <= {f"s {i}" for i in range(8)}
    table = from_fasta / "drawn.csv"
    assert run("sample", model, from_fasta / "z.csv", "--n", "9", "-o", table).code == 0
    assert list(rows_of(table)[0]) == ["place", "sequence"]
    filled = [tuple(row.values()) for row in rows_of(table) if row["sequence"]]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("place", "sequence"), *filled])
    assert run("embed", model, table, "-o", from_fasta / "z2.csv", "--no-errors").code == 0
    assert run("distance", model, drawn, "--latent", "-o", from_fasta / "d.csv").code == 0
    assert run("test", model, drawn, "--sets", "all", "-o", from_fasta / "t.csv").code == 0


def test_only_sequences_are_written_as_fasta(work, run):
    outcome = run("sample", work / "model", "-o", work / "x.fasta")
    assert outcome.code == 1
    assert "a FASTA file, which holds sequences, and the atoms of this model are" in outcome.err
