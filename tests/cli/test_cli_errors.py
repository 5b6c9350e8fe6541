"""Error bars on the command line: columns, intervals, and what is refused or left empty."""

import csv
import json
import logging
import re

import numpy as np
import pytest
from cli_table import QUICK, run_verb, write_csv

from distembed.cli.console import show_warnings
from distembed.cli.tables import read_embeddings, write_embeddings
from distembed.model.embeddings import Embeddings

OLD, NEW = [f"p{i:02d}" for i in range(60)], [f"q{i}" for i in range(5)]


def table(path, names, seed, mass=100):
    rng = np.random.default_rng(seed)
    who = np.repeat(names, 120)
    means = np.repeat(rng.uniform(0, 3, len(names)), 120)
    x = rng.normal(size=(2, len(who)))
    return write_csv(path, {"patient": who, "height": means + x[0], "mass": mass + 10 * x[1]})


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with a model of 60 sets, and new sets of the same kind and of another."""
    folder = tmp_path_factory.mktemp("errors")
    old = table(folder / "old.csv", OLD, 0)
    table(folder / "new.csv", NEW, 1)
    table(folder / "far.csv", ["far"], 2, mass=-100)
    settings = [w for w in QUICK if "group" not in w]
    outcome = run_verb("fit", *settings, f"data.path={old}", f"out={folder / 'model'}")
    assert outcome.code == 0, outcome.err
    return folder


def test_new_sets_have_errors_and_p_values(run, fitted, tmp_path):
    outcome = run("embed", fitted / "model", fitted / "new.csv", "-o", tmp_path / "z.csv")
    assert outcome.code == 0, outcome.err
    records = rows(tmp_path / "z.csv")
    assert all(float(row["se0"]) > 0 for row in records)
    assert all(0 < float(row["p_unusual"]) <= 1 for row in records)
    assert "cov0_0" not in records[0]


def test_sets_of_the_training_are_not_judged(run, fitted, tmp_path):
    assert run("embed", fitted / "model", "-o", tmp_path / "z.csv").code == 0
    records = rows(tmp_path / "z.csv")
    empty = [row["id"] for row in records if row["p_unusual"] == "nan"]
    held_out = json.loads((fitted / "model" / "test_ids.json").read_text())
    assert held_out
    assert set(empty) == set(OLD) - set(held_out)
    assert [row["id"] for row in records if row["trained"] == "True"] == empty
    words = ["--no-errors", "-o", tmp_path / "plain.csv"]
    assert run("embed", fitted / "model", *words).code == 0
    assert [row["trained"] for row in rows(tmp_path / "plain.csv")] == [
        row["trained"] for row in records
    ]


def test_a_set_of_another_kind_is_pointed_out(run, fitted, tmp_path):
    outcome = run("embed", fitted / "model", fitted / "far.csv", "-o", tmp_path / "z.csv")
    assert outcome.code == 0, outcome.err
    assert float(rows(tmp_path / "z.csv")[0]["p_unusual"]) < 0.05
    assert "warn" not in outcome.err.lower()


@pytest.mark.parametrize("verb", ["embed", "distance", "test"])
def test_too_few_sets_for_an_alarm_are_said(verb, run, fitted, tmp_path):
    words = [verb, fitted / "model", fitted / "new.csv", "-o", tmp_path / "out.csv"]
    outcome = run(*words, *(["--sets", "all"] if verb == "test" else []))
    assert outcome.code == 0, outcome.err
    assert re.search(
        r"p_unusual: the population has (\d+) sets and no p-value below 1 / \d+, so that no set "
        r"can be called unusual at 1%, for which 99 are needed\.",
        outcome.err,
    )


def test_without_errors(run, fitted, tmp_path):
    words = [
        "embed",
        fitted / "model",
        fitted / "new.csv",
        "--no-errors",
        "-o",
        tmp_path / "z.csv",
    ]
    assert run(*words).code == 0
    assert not [name for name in rows(tmp_path / "z.csv")[0] if name.startswith(("se", "p_"))]
    refused = run(*words, "--covariances", "--force")
    assert refused.code == 1
    assert "--no-errors" in refused.err


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_covariances_go_through_a_table(run, fitted, tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    stored, direct = tmp_path / f"z{suffix}", tmp_path / "direct.csv"
    model, new = fitted / "model", fitted / "new.csv"
    assert run("embed", model, new, "--covariances", "-o", stored).code == 0
    outcome = run("distance", model, stored, "--long", "-o", tmp_path / "pairs.csv")
    assert outcome.code == 0, outcome.err
    assert run("distance", model, new, "--long", "-o", direct).code == 0
    first, second = rows(tmp_path / "pairs.csv"), rows(direct)
    assert len(first) == 10
    for row, again in zip(first, second, strict=True):
        low, value, high = (float(row[k]) for k in ("low", "distance", "high"))
        assert 0 <= low <= value <= high
        assert [float(again[k]) for k in ("low", "distance", "high")] == pytest.approx(
            [low, value, high], rel=1e-4, abs=1e-5
        )


def test_a_table_without_covariances_has_distances_alone(run, fitted, tmp_path):
    model, z = fitted / "model", tmp_path / "z.csv"
    assert run("embed", model, fitted / "new.csv", "-o", z).code == 0
    outcome = run("distance", model, z, "--long", "-o", tmp_path / "pairs.csv")
    assert outcome.code == 0, outcome.err
    assert "--covariances" in outcome.err
    assert list(rows(tmp_path / "pairs.csv")[0]) == ["a", "b", "distance"]
    square = ["distance", model, z, "-o", tmp_path / "square.csv"]
    for warning in (outcome.err.splitlines()[-1], run(*square).err.splitlines()[-1]):
        assert "not corrected for sampling noise" in warning
        assert str(z) in warning
    assert run("embed", model, fitted / "new.csv", "--covariances", "--force", "-o", z).code == 0
    assert "noise" not in run(*square, "--force").err


@pytest.mark.parametrize("suffix", [".csv", ".parquet", None])
def test_pairs_with_training_sets_have_no_interval(run, fitted, tmp_path, suffix):
    held_out = json.loads((fitted / "model" / "test_ids.json").read_text())
    trained = next(name for name in OLD if name not in held_out)
    words = [w for name in (trained, *held_out[:2]) for w in ("--id", name)]
    data = []
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    if suffix is not None:
        data = [tmp_path / f"z{suffix}"]
        stored = ["embed", fitted / "model", *words, "--covariances", "-o", *data]
        assert run(*stored).code == 0
    out = ["--long", "-o", tmp_path / "pairs.csv"]
    outcome = run("distance", fitted / "model", *data, *words, *out)
    assert outcome.code == 0, outcome.err
    assert "recognised" not in outcome.err
    assert "2 of 3 pairs have no interval" in outcome.err
    assert trained in outcome.err
    lows = [row["low"] for row in rows(tmp_path / "pairs.csv")]
    assert [low == "nan" for low in lows] == [True, True, False]
    if data:  # and no pair is left
        outcome = run(
            "distance", fitted / "model", *data, *words[:2], *words[2:4], *out, "--force"
        )
        assert "1 of 1 pairs have no interval" in outcome.err
        assert rows(tmp_path / "pairs.csv")[0]["low"] == "nan"


def test_an_older_table_marks_no_training_sets(run, fitted, tmp_path):
    z, words = tmp_path / "z.csv", ["--id", OLD[0], "--id", OLD[1]]
    assert run("embed", fitted / "model", *words, "--covariances", "-o", z).code == 0
    without = [{k: v for k, v in row.items() if k != "trained"} for row in rows(z)]
    write_csv(z, {name: [row[name] for row in without] for name in without[0]})
    outcome = run("distance", fitted / "model", z, "--long", "-o", tmp_path / "pairs.csv")
    assert outcome.code == 0, outcome.err
    assert f"could not be recognised, because {z} has no column 'trained'" in outcome.err
    assert float(rows(tmp_path / "pairs.csv")[0]["high"]) > 0


def test_intervals_of_the_latent_distance_are_narrower(run, fitted, tmp_path):
    words = ["distance", fitted / "model", fitted / "new.csv", "--long", "--latent", "-o"]
    assert run(*words, tmp_path / "a.csv", "--level", 0.99).code == 0
    assert run(*words, tmp_path / "b.csv").code == 0
    wide, narrow = (
        sum(float(row["high"]) - float(row["low"]) for row in rows(tmp_path / name))
        for name in ("a.csv", "b.csv")
    )
    assert wide > narrow


def test_an_anndata_has_errors_as_a_layer(run, fitted, tmp_path):
    anndata = pytest.importorskip("anndata")
    path = tmp_path / "z.h5ad"
    words = ["embed", fitted / "model", fitted / "new.csv", "--covariances", "-o", path]
    assert run(*words).code == 0
    records = anndata.read_h5ad(path)
    variances = records.layers["standard_error"][:, 0] ** 2
    np.testing.assert_allclose(records.obsm["covariance"][:, 0], variances, rtol=1e-5)
    assert (records.obs["p_unusual"] > 0).all()
    assert records.obs["trained"].dtype == bool
    assert not records.obs["trained"].any()


def test_a_table_reads_back_what_was_written(tmp_path):
    rng = np.random.default_rng(0)
    half = rng.normal(size=(3, 2, 2))
    written = Embeddings(
        z=rng.normal(size=(3, 2)).astype(np.float32),
        ids=np.array(["a", "b", "c"]),
        sizes=np.array([5, 6, 7]),
        effective_sizes=np.array([5.0, 5.5, 7.0]),
        meta={"trained": np.array(["x", "y", "z"]), "place": np.array(["n", "s", "n"])},
        cov=(half @ half.transpose(0, 2, 1)).astype(np.float32),
        df=np.array([19.0, 18.5, np.nan]),
        p_unusual=np.array([0.5, 0.01, np.nan]),
        trained=np.array([False, False, True]),
    )
    write_embeddings(tmp_path / "z.csv", written, covariances=True)
    records = read_embeddings(tmp_path / "z.csv")
    for name in ("z", "ids", "sizes", "effective_sizes", "df", "p_unusual", "trained"):
        np.testing.assert_array_equal(getattr(records, name), getattr(written, name))
    np.testing.assert_allclose(records.cov, written.cov, rtol=1e-6)
    assert list(records.meta) == ["meta.trained", "place"]


def plain(sizes, effective, **others):
    n = np.arange(len(sizes))
    z = np.stack([n, n], 1).astype(np.float32)
    return Embeddings(z, n.astype(str), np.array(sizes), np.array(effective), **others)


def test_effective_atoms_are_written_in_six_digits(tmp_path):
    path = tmp_path / "z.csv"
    write_embeddings(path, plain([126, 1234567, 300], [125.99999272449850, 1234567.2, 123.456789]))
    assert [row["n_effective"] for row in rows(path)] == ["126.0", "1234567.0", "123.457"]


def test_what_says_nothing_of_the_training_is_read_as_such(tmp_path):
    path = tmp_path / "z.csv"
    write_embeddings(path, plain([5, 6], [5.0, 6.0]))
    assert read_embeddings(path).trained is None
    write_embeddings(path, plain([5, 6], [5.0, 6.0], trained=np.array([True, False])))
    path.write_text(path.read_text().replace("True", "TRUE"))
    assert read_embeddings(path).trained.tolist() == [True, False]
    path.write_text(path.read_text().replace("TRUE", "twice"))
    with pytest.raises(ValueError, match=r"'twice'.*meta\.trained"):
        read_embeddings(path)


def test_new_distributions_are_drawn(run, fitted, tmp_path):
    words = ["sample", fitted / "model", "--new", 3, "--n", 40, "-o", tmp_path / "x.csv"]
    outcome = run(*words)
    assert outcome.code == 0, outcome.err
    records = rows(tmp_path / "x.csv")
    assert [row["patient"] for row in records[::40]] == ["new0", "new1", "new2"]
    assert 60 < np.mean([float(row["mass"]) for row in records]) < 140
    refused = run(*words, "--id", "p01", "--force")
    assert refused.code == 1
    assert "leave DATA" in refused.err


def test_no_population_draws_nothing(run, work, tmp_path):
    refused = run("sample", work / "model", "--new", 3, "-o", tmp_path / "x.csv")
    assert refused.code == 1
    assert "fewer than twenty" in refused.err


def test_a_warning_that_is_logged_twice_is_written_once_a_command(capsys):
    logger = logging.getLogger("distembed.anything")
    for _ in range(2):  # two commands
        show_warnings()
        for text in ("far apart", "far apart", "few atoms"):
            logger.warning(text)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["far apart", "few atoms"] * 2
