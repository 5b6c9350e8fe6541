"""The same verbs on real data: a Parquet table with skewed sizes, and sparse counts in AnnData."""

from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
FEW = (
    "train.steps=20",
    "train.every=20",
    "train.batch=8",
    "train.context=[2, 32]",
    "train.target=8",
    "train.threads=1",
)


@pytest.fixture(autouse=True)
def _variable(data_dir, monkeypatch):
    monkeypatch.setenv("DISTEMBED_DATA", str(data_dir))


def test_kidney(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    model, table = tmp_path / "model", tmp_path / "patients.parquet"
    done = run("fit", EXAMPLES / "kidney.yaml", *FEW, "--out", model)
    assert done.code == 0, done.err
    assert "494 sets of 2 to 415 atoms" in done.err
    done = run("embed", model, "-o", table)
    assert done.code == 0, done.err
    rows = parquet.read_table(table).to_pylist()
    assert len(rows) == 494
    assert rows[0]["id"] == "P000"
    assert rows[0]["egfr_class"] == ">60"
    assert np.isfinite([[row[f"z{i}"] for i in range(16)] for row in rows]).all()
    done = run("sample", model, table, "--id", "P000", "--n", 50, "-o", tmp_path / "s.parquet")
    assert done.code == 0, done.err
    drawn = parquet.read_table(tmp_path / "s.parquet")
    assert drawn.shape == (50, 15)
    assert 1e3 < np.median(drawn["glom_sizes"].to_numpy()) < 1e5
    done = run("distance", model, table, "-o", tmp_path / "d.csv")
    assert done.code == 0, done.err
    words = ["--from", "P000", "--to", "P003", "--n", 10, "--steps", 3]
    done = run("interpolate", model, table, *words, "-o", tmp_path / "path.csv")
    assert done.code == 0, done.err


def test_perturbseq(run, tmp_path):
    anndata = pytest.importorskip("anndata")
    model, guides = tmp_path / "model", tmp_path / "guides.h5ad"
    done = run("fit", EXAMPLES / "perturbseq.yaml", *FEW, "--out", model)
    assert done.code == 0, done.err
    done = run("embed", model, "-o", guides)
    assert done.code == 0, done.err
    found = anndata.read_h5ad(guides)
    assert found.n_vars == 16
    assert {"n_atoms", "target"} <= set(found.obs)
    assert (found.obs["n_atoms"] >= 10).all()
    words = ["--by", "target", "--by", "replicate", "--id", "STAT1|rep_1"]
    done = run("embed", model, *words, "-o", tmp_path / "z.csv")
    assert done.code == 0, done.err
    samples = tmp_path / "s.csv"
    done = run("sample", model, "--id", found.obs_names[0], "--n", 5, "-o", samples)
    assert done.code == 0, done.err
    assert len(samples.read_text().splitlines()[0].split(",")) == 300
