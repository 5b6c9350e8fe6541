"""The same verbs on real data: a Parquet table with skewed sizes, and sparse counts in AnnData."""

import re
import shlex
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
    "model.latent=4",
)


@pytest.fixture(autouse=True)
def _variable(data_dir, monkeypatch):
    monkeypatch.setenv("DISTEMBED_DATA", str(data_dir))


def test_kidney(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    model, table = tmp_path / "model", tmp_path / "patients.parquet"
    outcome = run("fit", EXAMPLES / "kidney.yaml", *FEW, "--out", model)
    assert outcome.code == 0, outcome.err
    assert "494 sets of 2 to 415 atoms" in outcome.err
    outcome = run("embed", model, "-o", table)
    assert outcome.code == 0, outcome.err
    rows = parquet.read_table(table).to_pylist()
    assert len(rows) == 494
    assert rows[0]["id"] == "P000"
    assert rows[0]["egfr_class"] == ">60"
    assert np.isfinite([[row[f"z{i}"] for i in range(4)] for row in rows]).all()
    outcome = run("sample", model, table, "--id", "P000", "--n", 50, "-o", tmp_path / "s.parquet")
    assert outcome.code == 0, outcome.err
    drawn = parquet.read_table(tmp_path / "s.parquet")
    assert drawn.shape == (50, 15)
    assert 1e3 < np.median(drawn["glom_sizes"].to_numpy()) < 1e5
    outcome = run("distance", model, table, "-o", tmp_path / "d.csv")
    assert outcome.code == 0, outcome.err
    words = ["--from", "P000", "--to", "P003", "--n", 10, "--steps", 3]
    outcome = run("interpolate", model, table, *words, "-o", tmp_path / "path.csv")
    assert outcome.code == 0, outcome.err


@pytest.mark.slow
def test_perturbseq(run, tmp_path):
    anndata = pytest.importorskip("anndata")
    model, guides = tmp_path / "model", tmp_path / "guides.h5ad"
    outcome = run("fit", EXAMPLES / "perturbseq.yaml", *FEW, "--out", model)
    assert outcome.code == 0, outcome.err
    outcome = run("embed", model, "-o", guides)
    assert outcome.code == 0, outcome.err
    records = anndata.read_h5ad(guides)
    assert records.n_vars == 4
    assert {"n_atoms", "target"} <= set(records.obs)
    assert (records.obs["n_atoms"] >= 10).all()
    words = ["--by", "target", "--by", "replicate", "--id", "STAT1|rep_1"]
    outcome = run("embed", model, *words, "-o", tmp_path / "z.csv")
    assert outcome.code == 0, outcome.err
    samples = tmp_path / "s.csv"
    outcome = run("sample", model, "--id", records.obs_names[0], "--n", 5, "-o", samples)
    assert outcome.code == 0, outcome.err
    assert len(samples.read_text().splitlines()[0].split(",")) == 300


@pytest.mark.parametrize("model", ["mice", pytest.param("rsv", marks=pytest.mark.slow)])
def test_commands_of_the_page_on_sequences(model, run, tmp_path, monkeypatch):
    """They run in their order, with few steps; each names the model that it fits or uses."""
    monkeypatch.chdir(tmp_path)
    page = (EXAMPLES.parent / "docs" / "sequences.md").read_text().split("## Writing sequences")
    text = page[0] + page[1].split("\n## ")[0]
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").replace("$ distembed ", "").splitlines()
    commands = [words for words in map(shlex.split, lines) if {model, f"out={model}"} & {*words}]
    few = (*FEW, "train.context=[2, 8]", "train.target=4", "train.steps=2")
    assert commands[0][0] == "fit"
    for words in commands:
        outcome = run(*words, *(few if words[0] == "fit" else ()))
        assert outcome.code == 0, outcome.err
    files = {
        "mice": {"mice_pairs.csv", "drawn.fasta", "drawn.csv", "drawn_z.csv"},
        "rsv": {"rsv.csv"},
    }
    assert files[model] <= {path.name for path in tmp_path.iterdir()}
