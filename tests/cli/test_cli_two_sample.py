"""`distembed test`: pairs of sets, by embeddings and by permutations, and what is refused."""

import csv
import json

import numpy as np
import pytest
from cli_table import QUICK, run_verb, write_csv

OLD = [f"p{i:02d}" for i in range(30)]


def table(path, names, means, seed, atoms=120):
    rng = np.random.default_rng(seed)
    who, x = np.repeat(names, atoms), rng.normal(size=(2, atoms * len(names)))
    height = np.repeat(means, atoms) + x[0]
    return write_csv(path, {"patient": who, "height": height, "mass": 100 + 10 * x[1]})


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with a model of 30 sets, and four new ones of which the last is far away."""
    folder = tmp_path_factory.mktemp("tests")
    means = np.random.default_rng(0).uniform(0, 3, len(OLD))
    table(folder / "old.csv", OLD, means, 0)
    table(folder / "new.csv", ["a", "b", "c", "far"], [1.0, 1.0, 1.0, 4.0], 1)
    settings = [w for w in QUICK if "group" not in w]
    words = [f"data.path={folder / 'old.csv'}", f"out={folder / 'model'}"]
    outcome = run_verb("fit", *settings, *words)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.mark.parametrize("permutations", [0, 99])
def test_a_distant_set_differs_from_all_others(run, fitted, tmp_path, permutations):
    out = tmp_path / "tests.csv"
    words = ["--sets", "all", "--permutations", permutations, "-o", out]
    outcome = run("test", fitted / "model", fitted / "new.csv", *words)
    assert outcome.code == 0, outcome.err
    records = rows(out)
    assert [(r["a"], r["b"]) for r in records] == [
        ("a", "b"), ("a", "c"), ("a", "far"), ("b", "c"), ("b", "far"), ("c", "far")
    ]  # fmt: skip
    p = "p_permutation" if permutations else "p"
    assert list(records[0]) == ["a", "b", "statistic", "p", *["p_permutation"][:permutations], "q"]
    for row in records:
        assert float(row["q"]) >= float(row[p])
        # a difference of three deviations in 120 atoms is certain; 99 permutations say 0.01
        assert (float(row[p]) <= 0.011) == (row["b"] == "far")
    assert "3 with q <= 0.05" in outcome.err


def test_a_table_with_covariances_gives_the_same(run, fitted, tmp_path):
    model, new = fitted / "model", fitted / "new.csv"
    assert run("embed", model, new, "--covariances", "-o", tmp_path / "z.csv").code == 0
    outcome = run("test", model, tmp_path / "z.csv", "-o", tmp_path / "stored.csv")
    assert outcome.code == 0, outcome.err
    assert run("test", model, new, "--sets", "all", "-o", tmp_path / "direct.csv").code == 0
    one, two = ([float(r["p"]) for r in rows(tmp_path / n)] for n in ("stored.csv", "direct.csv"))
    np.testing.assert_allclose(one, two, rtol=1e-3)


def test_atoms_and_covariances_are_required(run, fitted, tmp_path):
    model, z = fitted / "model", tmp_path / "z.csv"
    assert run("embed", model, fitted / "new.csv", "-o", z).code == 0
    outcome = run("test", model, z, "-o", tmp_path / "t.csv")
    assert outcome.code == 1
    assert "--covariances" in outcome.err
    assert run("embed", model, fitted / "new.csv", "--covariances", "--force", "-o", z).code == 0
    outcome = run("test", model, z, "--permutations", 9, "-o", tmp_path / "t.csv")
    assert outcome.code == 1
    assert "--permutations needs the atoms" in outcome.err
    assert not (tmp_path / "t.csv").exists()


def test_training_sets_are_refused(run, fitted, tmp_path):
    outcome = run("test", fitted / "model", "--sets", "all", "-o", tmp_path / "t.csv")
    assert outcome.code == 1
    assert "used to train" in outcome.err
    outcome = run("test", fitted / "model", "-o", tmp_path / "t.csv")
    assert outcome.code == 0, outcome.err  # those that fit held out
    assert len(rows(tmp_path / "t.csv")) == 15


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_training_sets_of_a_table_are_left_out_or_refused(run, fitted, tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    model, z, out = fitted / "model", tmp_path / f"z{suffix}", tmp_path / "t.csv"
    held_out = json.loads((model / "test_ids.json").read_text())
    assert run("embed", model, "--covariances", "-o", z).code == 0
    outcome = run("test", model, z, "-o", out)
    assert outcome.code == 0, outcome.err
    assert "24 of 30 sets are left out" in outcome.err
    assert {row[k] for row in rows(out) for k in "ab"} == set(held_out)
    trained = next(name for name in OLD if name not in held_out)
    for request in (["--sets", "all"], ["--id", trained, "--id", held_out[0]]):
        outcome = run("test", model, z, *request, "--force", "-o", out)
        assert outcome.code == 1
        assert "were used to train this model" in outcome.err


def test_a_table_without_marks_is_tested_with_a_warning(run, fitted, tmp_path):
    z, out = tmp_path / "z.csv", tmp_path / "t.csv"
    assert run("embed", fitted / "model", "--covariances", "-o", z).code == 0
    records = rows(z)
    write_csv(z, {name: [r[name] for r in records] for name in records[0] if name != "trained"})
    outcome = run("test", fitted / "model", z, "-o", out)
    assert outcome.code == 0, outcome.err
    assert "could not be recognised" in outcome.err
    assert len(rows(out)) == 435


def test_one_set_is_refused(run, fitted, tmp_path):
    words = ["--sets", "all", "--id", "a", "-o", tmp_path / "t.csv"]
    outcome = run("test", fitted / "model", fitted / "new.csv", *words)
    assert outcome.code == 1
    assert "two or more" in outcome.err


def test_a_set_of_one_atom_is_refused(run, fitted, tmp_path):
    lone = table(tmp_path / "lone.csv", ["x", "y"], [0.0, 1.0], 3, atoms=1)
    words = ["--sets", "all", "-o", tmp_path / "t.csv"]
    outcome = run("test", fitted / "model", lone, *words)
    assert outcome.code == 1
    assert "atom" in outcome.err


def test_small_sets_give_a_warning(run, fitted, tmp_path):
    small = table(tmp_path / "few.csv", ["x", "y"], [0.0, 1.0], 3, atoms=30)
    outcome = run("test", fitted / "model", small, "--sets", "all", "-o", tmp_path / "t.csv")
    assert outcome.code == 0, outcome.err
    assert "--permutations" in outcome.err


def test_the_picture(run, fitted, tmp_path):
    pytest.importorskip("matplotlib")
    words = ["--sets", "all", "-o", tmp_path / "t.csv", "--plot", tmp_path / "t.svg"]
    outcome = run("test", fitted / "model", fitted / "new.csv", *words)
    assert outcome.code == 0, outcome.err
    assert ">far</text>" in (tmp_path / "t.svg").read_text()


@pytest.mark.parametrize("verb", ["test", "evaluate", "report"])
def test_a_file_of_other_sets_names_the_option_for_all_of_them(run, fitted, tmp_path, verb):
    output = ["-o", tmp_path / "t.csv"] if verb == "test" else []
    outcome = run(verb, fitted / "model", fitted / "new.csv", *output)
    assert outcome.code == 1
    assert f"when {fitted / 'model'} was fitted are not in {fitted / 'new.csv'}: p" in outcome.err
    assert "add --sets all" in outcome.err


def test_own_data_without_its_held_out_sets_have_changed(run, fitted, tmp_path):
    model, own = fitted / "model", fitted / "old.csv"
    content = own.read_text()
    names = json.loads((model / "test_ids.json").read_text())
    lines = [line for line in content.splitlines() if not line.startswith(f"{names[0]},")]
    own.write_text("\n".join(lines))
    outcome = run("test", model, "-o", tmp_path / "t.csv")
    own.write_text(content)
    assert outcome.code == 1
    assert f"was fitted are not in its data: {names[0]}." in outcome.err
    assert "changed since it was fitted" in outcome.err
