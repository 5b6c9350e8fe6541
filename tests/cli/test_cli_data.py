"""Stores from the command line, and every verb on a store."""

import csv

import numpy as np
from cli_table import QUICK

from distembed.sets.read import read

STORED = [word for word in QUICK if not word.startswith(("data.by", "data.columns"))]


def build(run, work, store, *more):
    return run(
        "data", "build", work / "cells.csv", "-o", store, "--by", "patient",
        "--columns", "height", "--columns", "mass", *more,
    )  # fmt: skip


def test_build_check_fit_and_embed(run, work, tmp_path):
    store = tmp_path / "store"
    built = build(run, work, store)
    assert built.code == 0, built.err
    assert "Sets(20 sets of 10 to 15 atoms" in built.err
    refused = build(run, work, store)
    assert (refused.code, "--force" in refused.err) == (1, True)
    assert build(run, work, store, "--force").code == 0
    assert "is whole, and its source is unchanged" in run("data", "check", store).err
    fitted = run("fit", *STORED, f"data.path={store}", "--out", tmp_path / "model")
    assert fitted.code == 0, fitted.err
    first = []
    for model, data in ((tmp_path / "model", []), (work / "model", [store])):
        assert run("embed", model, *data, "-o", tmp_path / "z.csv", "--force").code == 0
        with (tmp_path / "z.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        assert [row["id"] for row in table] == read(store).ids.tolist()
        first.append([float(row["z0"]) for row in table])
    # both models are fitted to the same sets, one from the store and one from the table
    assert np.allclose(*first, atol=1e-5)


def test_a_damaged_store_ends_with_one_message(run, work, tmp_path):
    build(run, work, tmp_path / "store")
    path = tmp_path / "store" / "x.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    refused = run("data", "check", tmp_path / "store")
    assert refused.code == 1
    assert "the content of x.npy is not what was written" in refused.err


def test_kinds_of_atoms_are_stated(run, tmp_path):
    (tmp_path / "reads.csv").write_text("s,seq\na,ACG\na,T\nb,CC\nb,G\n")
    words = ["data", "build", tmp_path / "reads.csv", "-o", tmp_path / "t", "--by", "s"]
    alphabet = "{name: tokens, alphabet: ACGT}"
    built = run(*words, "--columns", "seq", "--atoms", alphabet)
    assert built.code == 0, built.err
    assert read(tmp_path / "t").batch([0]).x.tolist() == [[1, 2, 3], [4, 0, 0]]


def test_a_second_table_is_joined_as_the_store_is_built(run, work, tmp_path):
    sets = read(work / "cells.csv", by="patient", columns=["height"])
    lines = ["patient,dose", *(f"{name},{k}" for k, name in enumerate(sets.ids))]
    (tmp_path / "meta.csv").write_text("\n".join(lines) + "\n")
    built = build(run, work, tmp_path / "store", "--metadata", tmp_path / "meta.csv")
    assert built.code == 0, built.err
    assert read(tmp_path / "store").meta["dose"].tolist() == list(range(len(sets)))
    refused = build(run, work, tmp_path / "other", "--metadata", tmp_path / "absent.csv")
    assert (refused.code, "There is no file" in refused.err) == (1, True)
    assert "absent.csv" in refused.err


def test_what_is_not_there_is_said_first(run, work, tmp_path):
    for words, text in (
        (("data", "check", tmp_path / "absent"), "There is no store"),
        (("data", "build", tmp_path / "absent", "-o", tmp_path / "s"), "There is no file"),
        (("embed", tmp_path / "absent"), "There is no"),
        (("embed", work / "model", tmp_path / "absent.csv"), "There is no file"),
        (("embed", work / "model", tmp_path / "absent"), "There is no file"),
    ):
        refused = run(*words)
        assert refused.code == 1
        assert text in refused.err
        assert "absent" in refused.err
