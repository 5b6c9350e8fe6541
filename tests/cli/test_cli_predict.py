"""`distembed predict`: scores, a table of out-of-fold predictions, and what is refused."""

import csv
import json
import re

import numpy as np
import pytest
from cli_table import QUICK, run_verb, write_csv

pytest.importorskip("sklearn")


COUNT = 60
FAST = ("--permutations", 0, "--repeats", 1)


def cohort():
    """Sets whose first mean is the age, in units of 20 years, and whose class is above 50."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(10, 40, COUNT)
    age = rng.uniform(20, 80, COUNT)
    number = np.repeat(np.arange(COUNT), sizes)
    return {
        "patient": np.array([f"p{i:02d}" for i in number]),
        "height": age[number] / 20 + rng.normal(size=len(number)),
        "mass": 100 + 10 * rng.normal(size=len(number)),
        "age": age[number].round(3),
        "clinic": np.array([f"c{i // 3}" for i in number]),
        "old": np.where(age > 50, "old", "young")[number],
        "grade": np.where(np.arange(COUNT) % 7, "x", "")[number],
        "years": (rng.exponential(200 / age**1.2 * 20) + 0.01)[number].round(3),
        "died": (np.arange(COUNT) % 4 > 0).astype(int)[number],
        "constant": np.full(len(number), 3),
    }


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    write_csv(folder / "cells.csv", cohort())
    settings = [w for w in QUICK if "group" not in w]
    outcome = run_verb(
        "fit", *settings, "split.test=0.5", f"data.path={folder / 'cells.csv'}",
        f"out={folder / 'model'}",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return folder


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_target_is_no_feature_of_itself(run, fitted):
    outcome = run("predict", fitted / "model", "--target", "age", "--feature", "age")
    assert (outcome.code, "predict itself" in outcome.err) == (2, True)


def test_numbers_are_predicted_with_intervals(run, fitted, tmp_path):
    out = tmp_path / "p.csv"
    words = ["--permutations", 9, "--repeats", 2, "--calibration", 0.4, "-o", out]
    outcome = run("predict", fitted / "model", "--target", "age", *words)
    assert outcome.code == 0, outcome.err
    held_out = json.loads((fitted / "model" / "test_ids.json").read_text())
    records = rows(out)
    assert sorted(r["id"] for r in records) == sorted(held_out)
    assert list(records[0]) == ["id", "target", "prediction", "fold", "low", "high"]
    for row in records:
        assert float(row["low"]) < float(row["prediction"]) < float(row["high"])
    inside = [float(r["low"]) <= float(r["target"]) <= float(r["high"]) for r in records]
    assert f"contain {np.mean(inside):.1%} of the targets" in outcome.out
    assert "age: 30 of 60 sets scored, in 5 folds" in outcome.out
    assert "Heads were also fitted to 30 sets" in outcome.out
    y, f = (np.array([float(r[name]) for r in records]) for name in ("target", "prediction"))
    # ages spread by 17 years, and the error of a mean of 10 to 40 atoms is 3 to 6
    assert np.corrcoef(y, f)[0, 1] > 0.8
    (r2,) = re.findall(r"^r2 +(\S+)", outcome.out, re.MULTILINE)
    assert float(r2) > 0.5
    assert "mean of atoms" in outcome.out
    assert "p = 0.1:" in outcome.out


def test_times_are_predicted_by_their_hazards(run, fitted, tmp_path):
    out, head = tmp_path / "p.csv", tmp_path / "h.safetensors"
    words = ["--target", "years", "--event", "died", "--folds", 3, "--save-head", head]
    words += ["--report", tmp_path / "p.html", "--permutations", 1, "--repeats", 1, "-o", out]
    outcome = run("predict", fitted / "model", *words)
    assert outcome.code == 0, outcome.err
    assert list(rows(out)[0]) == ["id", "time", "event", "prediction", "fold"]
    assert re.search(r"^concordance +0\.\d+ ", outcome.out, re.MULTILINE)
    assert "45 of 60 sets had the event" in outcome.out
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "Kaplan-Meier" in page
    prose = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", page, flags=re.DOTALL)
    assert re.findall(r"[a-z]\.[A-Z]", prose) == []  # sentences are apart
    new = tmp_path / "n.csv"
    outcome = run("predict", fitted / "model", "--head", head, "-o", new)
    assert outcome.code == 0, outcome.err
    assert list(rows(new)[0]) == ["id", "prediction"]


def test_classes_are_predicted_with_probabilities(run, fitted, tmp_path):
    out = tmp_path / "p.csv"
    words = ["--target", "old", "--group", "clinic", "--training-sets", "score", "-o", out]
    outcome = run("predict", fitted / "model", *words, *FAST)
    assert outcome.code == 0, outcome.err
    records = rows(out)
    columns = ["id", "group", "target", "prediction", "fold", "p_old", "p_young"]
    assert list(records[0]) == columns
    assert len(records) == COUNT
    fold = {}
    for row in records:
        old = float(row["p_old"])
        assert row["prediction"] == ("old" if old > 0.5 else "young")
        assert old + float(row["p_young"]) == pytest.approx(1)
        assert fold.setdefault(row["group"], row["fold"]) == row["fold"]
    assert "Scores flatter" in outcome.out
    assert "balanced_accuracy" in outcome.out
    assert "intervals contain" not in outcome.out


def test_a_stored_table_gives_the_same_without_the_baseline(run, fitted, tmp_path):
    model = fitted / "model"
    words = ["--meta", "age", "--covariances", "-o", tmp_path / "z.csv"]
    assert run("embed", model, *words).code == 0
    for name, data in (("direct", ()), ("stored", (tmp_path / "z.csv",))):
        words = ["--target", "age", *FAST, "-o", tmp_path / f"{name}.csv"]
        outcome = run("predict", model, *data, *words)
        assert outcome.code == 0, outcome.err
        assert ("mean of atoms" in outcome.out) == (name == "direct")
    one, two = (rows(tmp_path / f"{name}.csv") for name in ("direct", "stored"))
    assert [r["fold"] for r in one] == [r["fold"] for r in two]
    p, q = ([float(r["prediction"]) for r in records] for records in (one, two))
    np.testing.assert_allclose(p, q, rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["patient"], "--target patient is the column that names the sets"),
        (["height"], "--target height is a feature of the atoms"),
        (["agee"], "There is no .*column 'agee'; close names are: 'age'"),
        (["constant"], r"60 sets \(n_samples = 60\) have one class, '3'"),
        (["grade", "--task", "classify"], "missing .* for 9 of 60 sets.*--drop-missing"),
        (["clinic"], "Class 'c.+' occurs in . of 30 groups"),
        (["age", "--group", "clinic", "--folds", "30"], "folds = 30 for"),
        (["old", "--task", "regress"], "text, such as 'young'|text, such as 'old'"),
        (["years", "--event", "age"], r"An event is 0 or 1, .* and not"),
        (["old", "--event", "died"], "Times are finite numbers"),
        (["age", "--training-sets", "refuse"], "The encoder was trained on 30 of the 60 sets"),
    ],
)
def test_what_is_refused(run, fitted, tmp_path, words, message):
    out = tmp_path / "p.csv"
    outcome = run("predict", fitted / "model", "--target", *words, *FAST, "-o", out)
    assert outcome.code == 1
    assert re.search(message, outcome.err, re.DOTALL), outcome.err
    assert not out.exists()


def test_missing_labels_are_left_out_on_request(run, fitted, tmp_path):
    columns = cohort()
    number = np.array([int(name[1:]) for name in columns["patient"]])
    columns["age"] = np.where(number % 7, columns["age"].astype(str), "")
    write_csv(tmp_path / "cells.csv", columns)
    words = ["--target", "age", "--drop-missing", "--training-sets", "score", *FAST]
    out = tmp_path / "p.csv"
    outcome = run("predict", fitted / "model", tmp_path / "cells.csv", *words, "-o", out)
    assert outcome.code == 0, outcome.err
    assert "9 of 60 sets have no age and are left out: p00, p07," in outcome.err
    assert len(rows(out)) == 51


def test_infinite_intervals_are_explained(run, fitted, tmp_path):
    out = tmp_path / "p.csv"
    outcome = run("predict", fitted / "model", "--target", "age", *FAST, "-o", out)
    assert outcome.code == 0, outcome.err
    # 24 sets that are not of the model, of which a quarter are held out
    assert "intervals at 90% take 9 groups or more" in outcome.out
    assert all(row["high"] == "inf" for row in rows(out))
    words = ["--level", 0.8, *FAST, "-o", tmp_path / "q.csv"]
    assert run("predict", fitted / "model", "--target", "age", *words).code == 0
    assert all(float(row["high"]) < np.inf for row in rows(tmp_path / "q.csv"))


def test_the_target_is_required(run, fitted):
    outcome = run("predict", fitted / "model")
    assert outcome.code == 2
    assert "--target" in outcome.err


def test_a_stored_head_predicts_new_sets(run, fitted, tmp_path):
    model, file, new = fitted / "model", tmp_path / "age.safetensors", tmp_path / "new.csv"
    words = [
        "--target",
        "age",
        "--calibration",
        0.5,
        "--save-head",
        file,
        "-o",
        tmp_path / "p.csv",
    ]
    outcome = run("predict", model, *words, *FAST)
    assert outcome.code == 0, outcome.err
    assert "a head of age, fitted to 60 sets" in outcome.err
    table = {name: values for name, values in cohort().items() if name != "age"}
    table["patient"] = np.array([f"new{name}" for name in table["patient"]])
    write_csv(new, table)
    words = [new, "--head", file, "--level", 0.8, "-o", tmp_path / "q.csv"]
    outcome = run("predict", model, *words)
    assert outcome.code == 0, outcome.err
    assert "flatter" not in outcome.err
    records = rows(tmp_path / "q.csv")
    assert list(records[0]) == ["id", "prediction", "low", "high"]
    assert len(records) == COUNT
    assert all(float(r["low"]) < float(r["prediction"]) < float(r["high"]) for r in records)
    # the same atoms under other names have the same embeddings
    outcome = run("predict", model, "--head", file, "--level", 0.8, "-o", tmp_path / "r.csv")
    assert "The head was fitted to 60 of these 60 sets" in outcome.err
    old = [float(r["prediction"]) for r in rows(tmp_path / "r.csv")]
    np.testing.assert_allclose([float(r["prediction"]) for r in records], old, rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "age", "--head", "x"], "--head predicts with a stored head"),
        (["--head", "none.safetensors"], "There is no file none.safetensors"),
        (["--target", "age", "--feature", "grade"], "--feature grade is missing for 9 of 60"),
        (["--target", "age", "--feature", "mas"], "There is no .*column 'mas'"),
    ],
)
def test_what_does_not_go_with_a_head_is_refused(run, fitted, tmp_path, words, message):
    outcome = run("predict", fitted / "model", *words, *FAST, "-o", tmp_path / "p.csv")
    assert outcome.code == 1
    assert re.search(message, " ".join(outcome.err.split()))


@pytest.mark.slow
def test_features_and_the_page(run, fitted, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    words = ["--target", "old", "--feature", "clinic", "--report", tmp_path / "p.html"]
    outcome = run("predict", fitted / "model", *words, *FAST, "-o", tmp_path / "p.csv")
    assert outcome.code == 0, outcome.err
    assert re.search(r"of the features alone .* the embedding adds .*p = ", outcome.out)
    assert "Probabilities: Brier score" in outcome.out
    assert "Prediction of old" in (tmp_path / "p.html").read_text(encoding="utf-8")
