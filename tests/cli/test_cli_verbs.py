"""Every verb on a small table: what it writes is what the model says."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from cli_table import QUICK, cells, write_csv

from distembed.geometry.distance import Calibration
from distembed.geometry.relation import Relation
from distembed.model.gde import GDE
from distembed.model.storage import Stored, read_folder, write_folder
from distembed.sets.read import read


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def model(work):
    return GDE.load(work / "model")


def test_fit_leaves_a_whole_folder(work, model):
    names = {p.name for p in (work / "model").iterdir()}
    assert names == {
        "model.safetensors", "config.json", "README.md", "history.jsonl", "run.yaml",
        "test_ids.json",
    }  # fmt: skip
    assert not (work / "model.partial").exists()
    held_out = json.loads((work / "model" / "test_ids.json").read_text())
    assert len(held_out) == 4
    assert {int(name[1:]) % 2 for name in held_out} == {0, 1}
    assert model.history[-1]["step"] == 6
    assert model.notes["data"]["by"] == "patient"
    log = (work / "fit.log").read_text()
    assert "16 training sets, 4 held out" in log
    assert "2 features: height, mass (" in log
    assert "data.columns" in log
    assert "step 6/6" in log
    assert "\x1b" not in log


def test_fit_refuses_a_model_that_is_there_and_obeys_force(run, work, tmp_path):
    shutil.copytree(work / "model", tmp_path / "model")
    words = ["fit", *QUICK, f"data.path={work / 'cells.csv'}", "--out", tmp_path / "model"]
    refused = run(*words)
    assert (refused.code, "--force" in refused.err) == (1, True)
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    (tmp_path / "model" / "report.html").write_text("of the old model")
    again = run(*words, "train.seed=1", "--force")
    assert again.code == 0, again.err
    assert (tmp_path / "model" / "model.safetensors").read_bytes() != before
    assert not (tmp_path / "model" / "report.html").exists()


def test_fit_goes_on_where_it_was_killed(run, work, tmp_path, monkeypatch):
    words = ["fit", *QUICK, f"data.path={work / 'cells.csv'}", "--out", tmp_path / "model"]

    def killed(*_):
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(GDE, "save", killed)
        assert run(*words).code == 1
    partial = tmp_path / "model.partial"
    assert not (tmp_path / "model").exists()
    assert (partial / "checkpoint.safetensors").exists()
    other = run(*words, "train.lr=1e-4")
    assert other.code == 1
    assert "with another train.lr (0.001 there, 0.0001 here)" in other.err
    resumed = run(*words)
    assert resumed.code == 0, resumed.err
    assert "resumed at step 6" in resumed.err
    assert not partial.exists()
    same, fresh = GDE.load(tmp_path / "model"), GDE.load(work / "model")
    z = np.zeros((1, 4))
    np.testing.assert_array_equal(same.sample(z, 3), fresh.sample(z, 3))


def test_fit_says_which_of_many_columns_are_features(run, tmp_path, caplog):
    columns = cells()
    index = np.arange(len(columns["patient"]))
    age = [int(name[1:]) for name in columns["patient"]]
    others = {f"PC{i}": index % (i + 2) for i in range(9)}
    path = write_csv(tmp_path / "cells.csv", {"": index} | columns | {"age": age} | others)
    settings = [w for w in QUICK if "columns" not in w and "meta" not in w]
    outcome = run("fit", *settings, f"data.path={path}", "--out", tmp_path / "model")
    assert outcome.code == 0, outcome.err
    assert "12 features: height, mass, share, PC0, PC1, PC2, PC3, PC4, ..." in outcome.err
    assert "metadata group, age" in outcome.err
    assert "'' (without a name" in caplog.text
    assert "'age' (constant within every set" in caplog.text


def test_print_config_touches_nothing(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = run("fit", "data.path=cells.csv", "--print-config", "--out", "here")
    assert printed.code == 0
    assert "out: here" in printed.out
    assert not list(tmp_path.iterdir())


def test_fit_on_everything_holds_nothing_out(run, work, tmp_path):
    outcome = run(
        "fit", *QUICK, f"data.path={work / 'cells.csv'}", "split.test=0",
        "split.stratify=null", "--out", tmp_path / "model",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "model" / "test_ids.json").read_text() == "[]\n"
    refused = run("evaluate", tmp_path / "model")
    assert "no held-out sets in test_ids.json" in refused.err
    assert "--sets all" in refused.err


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_embed(run, work, model, tmp_path, suffix):
    path = tmp_path / f"z{suffix}"
    assert run("embed", work / "model", "-o", path).code == 0
    expected = model.embed(read(work / "cells.csv", "patient", ["height", "mass"], meta="group"))
    if suffix == ".csv":
        records = rows(path)
    else:
        records = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    numbers = [f"{name}{i}" for name in ("z", "se") for i in range(4)]
    assert list(records[0]) == [
        "id",
        "n_atoms",
        "n_effective",
        "trained",
        "outside",
        "group",
        *numbers,
    ]
    errors = np.array([[row[f"se{i}"] for i in range(4)] for row in records], dtype=np.float32)
    np.testing.assert_allclose(errors, expected.standard_errors, rtol=1e-5)
    assert [row["id"] for row in records] == expected.ids.tolist()
    assert [int(row["n_atoms"]) for row in records] == expected.sizes.tolist()
    assert [row["group"] for row in records] == expected.meta["group"].tolist()
    z = np.array([[row[f"z{i}"] for i in range(4)] for row in records], dtype=np.float32)
    np.testing.assert_array_equal(z, expected.z)


def test_embed_writes_an_anndata_with_one_observation_a_set(run, work, tmp_path):
    anndata = pytest.importorskip("anndata")
    path = tmp_path / "z.h5ad"
    outcome = run("embed", work / "model", "-o", path)
    assert outcome.code == 0, outcome.err
    records = anndata.read_h5ad(path)
    assert records.shape == (20, 4)
    assert records.obs_names[3] == "p03"
    assert records.obs["group"].iloc[3] == "high"


def test_cells_give_an_anndata_beside_the_table(run, work, tmp_path):
    anndata, pandas = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    table = pandas.DataFrame(cells()).astype({"group": "category", "patient": "category"})
    x = table[["height", "mass"]]
    x.index = table.index = x.index.astype(str)
    data = tmp_path / "cells.h5ad"
    anndata.AnnData(x.to_numpy(), obs=table, var=pandas.DataFrame(index=x.columns)).write_h5ad(
        data
    )
    words = ["embed", work / "model", data, "-o"]
    outcome = run(*words, tmp_path / "z.csv")
    assert outcome.code == 0, outcome.err
    records = anndata.read_h5ad(tmp_path / "z.h5ad")
    assert records.obs_names.tolist() == [row["id"] for row in rows(tmp_path / "z.csv")]
    assert records.shape == (20, 4)
    before = data.read_bytes()
    assert "--force" in run(*words, tmp_path / "z.csv").err
    assert "overwritten" in run(*words, tmp_path / "cells.csv", "--force").err
    assert data.read_bytes() == before


def test_embed_matches_features_by_name(run, work, tmp_path):
    table = cells()
    shuffled = {k: table[k] for k in ("mass", "share", "patient", "height")}
    other = write_csv(tmp_path / "other.csv", shuffled)  # another order, one more, no metadata
    assert run("embed", work / "model", "-o", tmp_path / "a.csv").code == 0
    outcome = run("embed", work / "model", other, "-o", tmp_path / "b.csv")
    assert outcome.code == 0, outcome.err
    a, b = rows(tmp_path / "a.csv"), rows(tmp_path / "b.csv")
    assert [[r["id"], r["z0"], r["z3"]] for r in a] == [[r["id"], r["z0"], r["z3"]] for r in b]


def test_only_the_features_of_the_model_are_read(run, work, tmp_path):
    fitted = ["fit", *QUICK, f"data.path={work / 'cells.csv'}", "data.columns='[hm]*'"]
    outcome = run(*fitted, "--out", tmp_path / "model")
    assert outcome.code == 0, outcome.err
    gap = np.full(len(cells()["mass"]), np.nan)
    other = write_csv(tmp_path / "other.csv", cells() | {"hazard": gap})
    outcome = run("embed", tmp_path / "model", other, "-o", tmp_path / "z.csv")
    assert outcome.code == 0, outcome.err


def test_options_override_how_the_model_was_fitted(run, work, tmp_path):
    out = tmp_path / "z.csv"
    outcome = run("embed", work / "model", "--by", "group", "--weights", "share", "-o", out)
    assert outcome.code == 0, outcome.err
    assert [row["id"] for row in rows(out)] == ["low", "high"]


def test_sample_is_in_the_units_and_names_of_the_data(run, work, model, tmp_path):
    assert run("embed", work / "model", "-o", tmp_path / "z.csv").code == 0
    words = ["--id", "p03", "--id", "p01", "--n", 7, "--seed", 5]
    assert run("sample", work / "model", *words, "-o", tmp_path / "a.csv").code == 0
    stored = [work / "model", tmp_path / "z.csv", *words]
    assert run("sample", *stored, "-o", tmp_path / "b.csv").code == 0
    records, again = rows(tmp_path / "a.csv"), rows(tmp_path / "b.csv")
    assert [row["patient"] for row in records] == [row["patient"] for row in again]
    heights = [[float(row["height"]) for row in table] for table in (records, again)]
    np.testing.assert_allclose(*heights, rtol=1e-3)  # two sets and twenty round differently
    assert list(records[0]) == ["patient", "height", "mass"]
    assert [row["patient"] for row in records] == ["p03"] * 7 + ["p01"] * 7
    assert 50 < np.mean([float(row["mass"]) for row in records]) < 150
    assert run("sample", *stored, "-o", tmp_path / "c.npz").code == 0
    with np.load(tmp_path / "c.npz") as arrays:
        assert arrays["x"].shape == (2, 7, 2)
        mass = [float(row["mass"]) for row in again]
        np.testing.assert_allclose(arrays["x"][..., 1].ravel(), mass, rtol=1e-6)
        assert arrays["features"].tolist() == ["height", "mass"]
        assert arrays["set"].tolist() == ["p03", "p01"]
    outcome = run("embed", work / "model", tmp_path / "a.csv", "-o", tmp_path / "again.csv")
    assert outcome.code == 0, outcome.err
    assert [(row["id"], row["n_atoms"]) for row in rows(tmp_path / "again.csv")] == [
        ("p03", "7"), ("p01", "7")
    ]  # fmt: skip


def test_samples_are_read_as_the_data_were(run, work, tmp_path):
    chosen = ["data.by=[group, patient]", "data.weights=share", "data.meta=null"]
    words = [w for w in QUICK if not w.startswith(("data.by", "data.meta", "split"))]
    path = f"data.path={work / 'cells.csv'}"
    outcome = run("fit", *words, *chosen, path, "--out", tmp_path / "model")
    assert outcome.code == 0, outcome.err
    z, x = tmp_path / "z.csv", tmp_path / "x.csv"
    assert run("embed", tmp_path / "model", "-o", z).code == 0
    outcome = run("sample", tmp_path / "model", z, "--id", "high|p03", "--n", 5, "-o", x)
    assert outcome.code == 0, outcome.err
    assert list(rows(x)[0]) == ["group", "patient", "share", "height", "mass"]
    outcome = run("embed", tmp_path / "model", x, "-o", tmp_path / "again.csv")
    assert outcome.code == 0, outcome.err
    assert rows(tmp_path / "again.csv")[0]["id"] == "high|p03"


def store_calibration(folder, calibration):
    """Give a model, whose sets are too small for one, a calibration."""
    stored = read_folder(folder)
    config = {k: v for k, v in stored.config.items() if k != "format" and "sha256" not in k}
    config["attachments"]["calibration"], tensors = calibration.state()
    tensors = {f"attachments.calibration.{k}": v for k, v in tensors.items()}
    write_folder(folder, Stored(config, dict(stored.tensors) | tensors, stored.history), "")


def test_distance(run, work, tmp_path):
    shutil.copytree(work / "model", tmp_path / "model")
    relation = Relation.linear(2.0, largest=100.0)
    store_calibration(
        tmp_path / "model", Calibration(relation, relation, relation, 0.12, (0.2, 0.1), 10)
    )
    model = GDE.load(tmp_path / "model")
    square, long = tmp_path / "square.csv", tmp_path / "long.csv"
    assert run("distance", tmp_path / "model", "-o", square).code == 0
    outcome = run("distance", tmp_path / "model", "--latent", "--long", "-o", long)
    assert outcome.code == 0, outcome.err
    assert "latent units" in outcome.err
    table = model.embed(read(work / "cells.csv", "patient", ["height", "mass"]))
    expected = model.distances(table)
    records = rows(square)
    assert list(records[0])[1:] == [row["id"] for row in records] == table.ids.tolist()
    error = run("distance", tmp_path / "model", "--force", "-o", square).err
    assert "W2 in model space, median error 12.0 %, from near to far pairs 20.0, 10.0 %" in error
    matrix = np.array([[float(row[name]) for name in table.ids] for row in records])
    np.testing.assert_allclose(matrix, expected)
    pairs = rows(long)
    assert len(pairs) == 190
    assert (pairs[0]["a"], pairs[0]["b"]) == ("p00", "p01")
    latent = model.distances(table, calibrated=False)
    np.testing.assert_allclose(float(pairs[0]["distance"]), latent[0, 1])
    words = ["--latent", "--denoise", "none", "--force", "-o", square]
    assert run("distance", tmp_path / "model", *words).code == 0
    plain = model.distances(table, calibrated=False, denoise="none")
    assert not np.allclose(plain, latent)
    np.testing.assert_allclose(float(rows(square)[0]["p01"]), plain[0, 1])


def test_interpolate(run, work, tmp_path):
    out = tmp_path / "path.csv"
    words = ["--from", "p00", "--to", "p01", "--steps", 3, "--n", 4, "-o", out]
    outcome = run("interpolate", work / "model", *words)
    assert outcome.code == 0, outcome.err
    assert [row["t"] for row in rows(out)] == ["0.0"] * 4 + ["0.5"] * 4 + ["1.0"] * 4
    assert list(rows(out)[0]) == ["t", "height", "mass"]


def test_a_set_is_named_once(run, work, tmp_path):
    words = ["--from", "p03", "--to", "p03", "-o", tmp_path / "path.csv"]
    outcome = run("interpolate", work / "model", *words)
    assert outcome.code == 1
    assert "--from and --to" in outcome.err
    assert "'p03'" in outcome.err
    words = ["--id", "p03", "--id", "p03", "-o", tmp_path / "x.csv"]
    outcome = run("sample", work / "model", *words)
    assert outcome.code == 1
    assert "'p03' is named twice" in outcome.err


def test_evaluate_and_report(run, work, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    outcome = run("evaluate", work / "model", "--pairs", 20, "-o", tmp_path / "e.json")
    assert outcome.code == 0, outcome.err
    assert "4 held-out sets of 20" in outcome.err
    numbers = json.loads((tmp_path / "e.json").read_text())
    assert {row["method"] for row in numbers["rows"]} >= {"gde", "untrained", "mean", "floor"}
    assert "gde" in outcome.out
    page = tmp_path / "report.html"
    outcome = run("report", work / "model", "--color", "group", "--pairs", 20, "-o", page)
    assert outcome.code == 0, outcome.err
    assert page.read_text().startswith("<!")
    again = tmp_path / "again.html"
    words = ["--color", "group", "--evaluation", tmp_path / "e.json", "-o", again]
    assert run("report", work / "model", *words).code == 0
    assert again.read_bytes() == page.read_bytes()
    text = page.read_text()
    # all sets are on the map, and the held-out ones judge the model
    assert json.loads(re.search(r'id="map-data">(.*?)</script>', text)[1])["held"].count(1) == 4
    for fact in ("20, 4 of them held out", "1970-01-02", "judged on 4 held-out sets"):
        assert fact in text, fact
    words += ["--title", "Mice of spring", "--force"]
    assert run("report", work / "model", *words).code == 0
    assert "<h1>Mice of spring</h1>" in again.read_text()
    assert 10_000 < page.stat().st_size < 5_000_000


def test_a_misspelt_colour_is_said_before_the_work(run, work, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("distembed.evaluation.evaluate.evaluate", lambda *_, **__: 1 / 0)
    outcome = run("report", work / "model", "--color", "grup", "-o", tmp_path / "page.html")
    assert outcome.code == 1
    assert "no metadata column 'grup'" in outcome.err
    outcome = run("report", work / "model", "--group", "grup", "-o", tmp_path / "page.html")
    assert outcome.code == 1
    assert "no metadata column 'grup'" in outcome.err


def test_training_sets_are_refused(run, work, tmp_path):
    outcome = run("evaluate", work / "model", "--sets", "all", "-o", tmp_path / "e.json")
    assert outcome.code == 1
    assert "train" in outcome.err
    assert not list(tmp_path.iterdir())


def test_a_set_of_the_name_of_the_column_of_ids_is_refused_in_a_matrix(run, work, tmp_path):
    z, out = tmp_path / "z.csv", tmp_path / "d.csv"
    assert run("embed", work / "model", "-o", z).code == 0
    records = rows(z)
    records[1]["id"] = "id"
    write_csv(z, {name: [r[name] for r in records] for name in records[0]})
    outcome = run("distance", work / "model", z, "-o", out)
    assert outcome.code == 1
    assert "named 'id'" in outcome.err
    assert "--long" in outcome.err
    assert run("distance", work / "model", z, "--long", "-o", out).code == 0
    assert rows(out)[0]["b"] == "id"
