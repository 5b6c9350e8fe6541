"""Sequences on the command line: fit, embed, and samples that are read as data again."""

import csv

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
