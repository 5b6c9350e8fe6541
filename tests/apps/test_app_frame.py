"""The frame of applications: choice, folders, written files, and the page."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from app_folders import clones, screen, tiles
from sequence_folders import atlas, expression, gisaid

from distembed.apps import APPS
from distembed.apps.application import Published
from distembed.apps.run import load, published_estimate, run
from distembed.apps.source import expected_columns, expected_file, source_folder
from distembed.benchmarks.results import Result
from distembed.evaluation.metrics import metric
from distembed.training.config import TrainConfig

MINIATURES = {
    "lineage": clones,
    "perturbseq": screen,
    "pooled_screen": tiles,
    "methylation": atlas,
    "promoters": expression,
    "viral_proteins": gisaid,
}


@pytest.mark.parametrize("name", APPS)
def test_an_application_is_complete(name):
    app = load(name)
    assert app.name == name
    assert list(app.scales) == ["tiny", "quick", "full"]
    assert app.scales["quick"].training.steps < app.scales["full"].training.steps
    assert app.question.endswith("?")
    assert app.units.endswith(".")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n != "perturbseq" else n for n in MINIATURES],
)
def test_the_published_layout_runs_from_folder_to_page(name, tmp_path):
    pytest.importorskip("jinja2")
    source = tmp_path / "data"
    source.mkdir()
    MINIATURES[name](source)
    lines, out = [], tmp_path / "out"
    app = load(name)
    tiny = app.scales["tiny"]
    if name == "pooled_screen":
        app = replace(app, scales={"tiny": replace(tiny, side=16, fewest=2, test=0.4)})
    page = run(app, out, "tiny", folder=source, log=lines.append, progress=False)
    written = {path.name for path in out.iterdir()}
    assert {"model", "report.html", f"app_{name}.json"} < written
    result = Result.read(out / f"app_{name}.json")
    assert {"gde"} < {score.method for score in result.scores}
    for score in result.scores:
        assert metric(score.metric).label
        assert np.isfinite(score.value), score
        assert score.task
        low, high = score.interval or (score.value, score.value)
        assert low - 1e-9 <= score.value <= high + 1e-9 or score.metric == "bits_null"
    text = page.read_text(encoding="utf-8")
    assert app.question in text.replace("&#39;", "'")
    for drawing in (path.stem for path in out.glob("*.png")):
        assert f'id="{drawing}"' in text
    assert not re.search(r"<script|src=\"http|href=\"http", text)
    settings = json.loads((out / f"app_{name}.json").read_text())["settings"]
    assert settings["scale"] == "tiny"
    assert "steps at the rate measured here" in settings["at the published size"]


@pytest.mark.parametrize("test", [0.0, 1.0])
def test_a_share_that_leaves_a_part_empty_is_refused(test):
    with pytest.raises(ValueError, match="share between 0 and 1"):
        replace(load("lineage").scales["full"], test=test)


def test_a_folder_without_the_files_states_what_is_expected(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    layouts = (("a.h5ad", "b.npz"), ("c.csv",))
    with pytest.raises(ValueError, match=r"a\.h5ad, b\.npz; or c\.csv: the screen of.*notes\.txt"):
        expected_file(tmp_path, layouts, "the screen of somebody.")
    (tmp_path / "a.h5ad").touch()
    with pytest.raises(ValueError, match=r"has a\.h5ad and lacks b\.npz"):
        expected_file(tmp_path, layouts, "the screen of somebody.")
    (tmp_path / "c.csv").touch()
    (tmp_path / "b.npz").touch()
    assert expected_file(tmp_path, layouts, "") == "a.h5ad"


def test_a_column_that_is_absent_is_named_with_close_ones():
    with pytest.raises(ValueError, match=r"no column 'Time point'; close names are 'Timepoint'"):
        expected_columns("m.txt", ["Timepoint", "Well"], ["Well", "Time point"], "Days.")
    expected_columns("m.txt", ["a", "b"], ["b"], "")


def test_a_folder_is_that_of_the_data_or_the_one_that_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("DISTEMBED_DATA", raising=False)
    with pytest.raises(ValueError, match="DISTEMBED_DATA is unset.*--data"):
        source_folder("cells")
    monkeypatch.setenv("DISTEMBED_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="There is no folder"):
        source_folder("cells")
    (tmp_path / "cells").mkdir()
    assert source_folder("cells") == tmp_path / "cells"
    assert source_folder("cells", tmp_path) == tmp_path


def test_the_estimate_scales_with_atoms_and_steps():
    settings = replace(
        load("lineage").scales["full"], atoms=100, training=TrainConfig(batch=10, target=50)
    )
    history = [{"step": 0, "seconds": 1.0}, {"step": 10, "seconds": 3.0}]
    size = Published(5, 2**20, 3, 1, 150, 10, 20, "Where.")
    # 10 steps of 10 sets of 100 atoms in 2 s are 5,000 atoms a second; 40,000 atoms take 8 s
    text = published_estimate(size, history, settings)
    assert text.startswith("about 8 s, 3 MB of atoms on disk, for 20 steps")
    assert "5,000 atoms a second" in text
    assert "not estimated" in published_estimate(size, history[:1], settings)
