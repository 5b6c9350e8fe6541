"""Bad input: one clear line, a non-zero exit, and nothing half-written."""

import os
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from cli_table import QUICK, cells, edit_config, write_csv

import distembed


@pytest.fixture
def table(tmp_path):
    """Write the table of `cells` with changes, and return its path."""

    def write(**changes):
        columns = cells() | changes
        return write_csv(
            tmp_path / "cells.csv", {k: v for k, v in columns.items() if v is not None}
        )

    return write


def changed(name, row, value):
    column = cells()[name].astype(object)
    column[row] = value
    return {name: column}


@pytest.fixture
def refused(run, tmp_path):
    """Run a verb that must refuse, and return its one error."""

    def check(*words, code=1):
        before = sorted(tmp_path.rglob("*"))
        outcome = run(*words)
        assert outcome.code == code, outcome.err
        assert "Traceback" not in outcome.err
        assert sorted(tmp_path.rglob("*")) == before
        return outcome.err

    return check


@pytest.fixture
def fit(refused, tmp_path):
    return lambda path, *words: refused(
        "fit", *QUICK, f"data.path={path}", f"out={tmp_path / 'model'}", *words
    )


@pytest.mark.parametrize(
    ("override", "close"),
    [
        ("data.by=patients", "'patient'"),
        ("data.columns=[hieght]", "'height'"),
        ("data.columns=PC*", "PC*"),
        ("data.meta=grop", "'group'"),
        ("data.weights=shares", "'share'"),
        ("split.stratify=grup", "'group'"),
    ],
)
def test_missing_column(fit, table, override, close):
    assert close in fit(table(), override)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", ""])
def test_missing_or_infinite_atom(fit, table, value):
    # a row of every set, so that whichever is looked at first holds one
    column = cells()["mass"].astype(object)
    column[::5] = value
    message = fit(table(mass=column))
    assert "mass" in message


def test_missing_atom_of_a_single_set_is_found_before_training(fit, table):
    assert "p07" in fit(table(**changed("mass", cells()["patient"].tolist().index("p07"), "nan")))


def test_a_run_that_cannot_go_on_leaves_nothing(fit, table, monkeypatch):
    def diverge(model, *_, checkpoint, **__):
        checkpoint.write_text("step 0")
        raise ValueError("The loss at step 1 is nan")

    monkeypatch.setattr(distembed.GDE, "fit", diverge)
    assert "step 1" in fit(table())


def test_text_among_numbers(fit, table):
    message = fit(table(**changed("mass", 5, "heavy")))
    assert "mass" in message
    assert "heavy" in message


def test_text_column_as_feature(fit, table):
    assert "'group' holds text" in fit(table(), "data.columns=[height, group]", "data.meta=null")


@pytest.mark.parametrize("value", [-1.0, "nan"])
def test_bad_weight(fit, table, value):
    message = fit(table(**changed("share", 5, value)), "data.weights=share")
    assert "eight" in message


def test_weights_that_sum_to_zero(fit, table):
    share = np.where(cells()["patient"] == "p03", 0.0, 1.0)
    assert "p03" in fit(table(share=share), "data.weights=share")


def test_no_set_is_large_enough(fit, table):
    assert "min_size" in fit(table(), "data.min_size=1000")


def test_split_by_metadata_that_are_not_there(fit, table):
    message = fit(table(group=None), "data.meta=null", "split.stratify=sex")
    assert "no metadata columns" in message
    assert "data.meta=sex" in message


def test_no_column_of_sets(fit, table):
    message = fit(table(), "data.by=null")
    assert "data.by=COLUMN" in message
    assert "the columns are: 'patient', 'height', 'mass', 'group', 'share'." in message


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "data.path=cells.csv data.by=COLUMN"),
        (["--steps", "20"], "key=value, as train.steps=20"),
        (["--by=patient"], "data.by=patient"),
        (["--lr"], "train.lr=VALUE"),
        (["--nonsense"], "train.steps=20"),
    ],
)
def test_settings_that_are_written_as_options(refused, words, text):
    assert text in re.sub(r"[│\s]+", " ", refused("fit", *words, code=2))


def test_a_table_in_the_place_of_a_config(refused, table):
    path = table()
    assert f"data.path={path} data.by=COLUMN" in refused("fit", path)


def test_empty_set():
    with pytest.raises(ValueError, match="empty"):
        distembed.read([np.zeros((3, 2)), np.zeros((0, 2))])


def test_event_shapes_that_disagree():
    with pytest.raises(ValueError, match="shape"):
        distembed.read([np.zeros((3, 2)), np.zeros((3, 4))])


def test_too_few_sets_to_split(fit, table):
    one = {k: v[:12] for k, v in cells(1).items()}
    assert fit(table(**one), "split.stratify=null")


def test_unknown_config_key(fit, table):
    assert "did you mean 'columns'" in fit(table(), "data.colums=x")


def test_unknown_option_of_a_member(fit, table):
    message = fit(
        "none.csv", "model.encoder.name=deepsets", "model.encoder.widht=8"
    )  # told before anything is read
    assert "encoder 'deepsets' has no option 'widht'" in message
    assert "no option 'stpes'" in fit("none.csv", "model.generator={name: flow, stpes: 8}")


def test_bad_options_of_a_step(fit):
    assert "'pca' needs the option 'components'" in fit("none.csv", "model.transform=pca")
    words = "model.transform=[{name: pca, components: many}]"
    assert "'pca' cannot be made with {'components': 'many'}" in fit("none.csv", words)


def test_numbers_that_overflow(fit, table, monkeypatch):
    def overflow(*_, **__):
        torch.linalg.cholesky(-torch.eye(2))

    monkeypatch.setattr(distembed.GDE, "fit", overflow)
    assert "Standardise" in fit(table())


@pytest.mark.parametrize("name", ["none.csv", "$DISTEMBED_NONE/cells.csv", "cells.txt"])
def test_missing_or_unknown_file(fit, table, name, tmp_path):
    table()
    (tmp_path / "cells.txt").write_text("a")
    assert name in fit(name if "$" in name else tmp_path / name)


def test_folder_that_cannot_be_written(refused, table, tmp_path):
    path = table()
    words = ["fit", *QUICK, f"data.path={path}"]
    assert "is not a folder" in refused(*words, f"out={path}/model")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert "has files in it" in refused(*words, f"out={tmp_path / 'full'}")
    assert "has files in it" in refused(*words, f"out={tmp_path / 'full'}", "--force")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(refused, table, tmp_path):
    path = table()
    (tmp_path / "locked").mkdir(mode=0o500)
    message = refused("fit", *QUICK, f"data.path={path}", f"out={tmp_path / 'locked' / 'model'}")
    assert "cannot be written" in message


def test_other_features(refused, work, table, tmp_path):
    path = table(mass=None)
    assert "'mass'" in refused("embed", work / "model", path, "-o", tmp_path / "z.csv")


def test_other_event_shape(work):
    model = distembed.load(work / "model")
    with pytest.raises(ValueError, match="shape"):
        model.embed([np.zeros((5, 3))])


def test_embeddings_of_another_model(refused, work, tmp_path):
    columns = {"id": ["a"], "n_atoms": [3], "n_effective": [3.0], "z0": [0.0], "z1": [0.0]}
    path = write_csv(tmp_path / "z.csv", columns)
    message = refused("sample", work / "model", path, "-o", tmp_path / "s.csv")
    assert "dimension 2" in message
    assert "dimension 4" in message


def test_unknown_set(refused, work, tmp_path):
    message = refused("embed", work / "model", "--id", "p3", "-o", tmp_path / "z.csv")
    assert "'p03'" in message


@pytest.mark.parametrize("n", ["0", "-5", "many"])
def test_n_is_positive(refused, work, tmp_path, n):
    out = tmp_path / "s.csv"
    assert "--n" in refused("sample", work / "model", "--n", n, "-o", out, code=2)
    words = ["--from", "p00", "--to", "p01", "--n", n, "-o", out]
    assert "--n" in refused("interpolate", work / "model", *words, code=2)


def test_output_of_unknown_format(refused, work, tmp_path):
    assert ".parquet" in refused("embed", work / "model", "-o", tmp_path / "z.xlsx")
    assert ".npz" in refused("sample", work / "model", "-o", tmp_path / "s.h5ad")


@pytest.mark.parametrize(
    ("package", "extra", "words"),
    [
        ("pyarrow", "parquet", ["embed", "MODEL", "-o", "z.parquet"]),
        ("anndata", "anndata", ["embed", "MODEL", "-o", "z.h5ad"]),
        ("matplotlib", "report", ["report", "MODEL", "-o", "r.html"]),
        ("pyarrow", "parquet", ["embed", "MODEL", "cells.parquet", "-o", "z.csv"]),
    ],
)
def test_missing_extra(refused, work, tmp_path, monkeypatch, package, extra, words):
    (tmp_path / "cells.parquet").write_bytes(b"PAR1")
    for name in [m for m in sys.modules if m.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    places = {"MODEL": work / "model"}
    given = [places.get(w, tmp_path / w if "." in w else w) for w in words]
    assert f"distembed[{extra}]" in refused(*given)


def damage(name, change):
    def act(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return act


def edit(**changes):
    return lambda folder: edit_config(folder, **changes)


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (damage("model.safetensors", lambda b: b[:-10]), "truncated"),
        (damage("model.safetensors", lambda b: b[:-1] + bytes([b[-1] ^ 1])), "edited"),
        (damage("config.json", lambda b: b[:50]), "damaged"),
        (damage("config.json", lambda b: b"[]"), "damaged"),
        (edit(format=99), "format 99"),
        (damage("config.json", lambda b: b.replace(b"deepsets", b"kernel")), "edited"),
        (edit(latent=5), "has shape ("),
        (edit(encoder={"name": "os:system", "options": {}}), "os:system"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
    ],
    ids=[
        "truncated",
        "edited",
        "cut",
        "list",
        "newer",
        "changed",
        "latent",
        "path",
        "weights",
        "none",
    ],
)
def test_damaged_model(refused, work, tmp_path, act, text):
    folder = tmp_path / "model"
    shutil.copytree(work / "model", folder)
    act(folder)
    assert text in refused("embed", folder, "-o", tmp_path / "z.csv")


def test_no_model(refused, tmp_path):
    assert "There is no model" in refused("embed", tmp_path / "none", "-o", tmp_path / "z.csv")


def test_dates_are_metadata_of_an_anndata_as_text(run, tmp_path):
    anndata, pandas = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    data = tmp_path / "visits.parquet"
    columns = cells()
    number = np.array([int(name[1:]) for name in columns["patient"]])
    columns["date"] = np.datetime64("2020-01-01", "ns") + number.astype("timedelta64[D]")
    columns["since"] = number.astype("timedelta64[s]").astype("timedelta64[ns]")
    pandas.DataFrame(columns).to_parquet(data)
    words = [w for w in QUICK if not w.startswith("data.meta")]
    assert run("fit", *words, f"data.path={data}", f"out={tmp_path / 'model'}").code == 0
    outcome = run("embed", tmp_path / "model", "-o", tmp_path / "z.h5ad")
    assert outcome.code == 0, outcome.err
    table = anndata.read_h5ad(tmp_path / "z.h5ad").obs
    assert table.loc["p03", "date"].startswith("2020-01-04")


def test_ids_may_hold_line_ends(run, tmp_path):
    columns = cells()
    columns["patient"] = np.char.add(columns["patient"], "\u2028a\nb")
    data = write_csv(tmp_path / "cells.csv", columns)
    outcome = run("fit", *QUICK, f"data.path={data}", f"out={tmp_path / 'model'}")
    assert outcome.code == 0, outcome.err
    outcome = run("evaluate", tmp_path / "model")
    assert outcome.code == 0, outcome.err
    assert "4 held-out sets of 20" in outcome.err


def test_five_sets_are_a_model_an_evaluation_a_report_and_distances(run, tmp_path):
    pytest.importorskip("matplotlib")
    columns = cells(sets=5)
    del columns["group"]
    data = write_csv(tmp_path / "cells.csv", columns)
    words = [w for w in QUICK if not w.startswith(("data.meta", "split."))]
    model = tmp_path / "model"
    assert run("fit", *words, f"data.path={data}", f"out={model}").code == 0
    outcome = run("evaluate", model)
    assert outcome.code == 0, outcome.err
    assert "1 held-out set is too few" in outcome.out
    assert run("report", model).code == 0
    outcome = run("distance", model, "-o", tmp_path / "d.csv")
    assert outcome.code == 0, outcome.err
    assert "latent units" in outcome.err
    assert "calibrated=False" not in outcome.err
    outcome = run("test", model, "-o", tmp_path / "t.csv")
    assert outcome.code == 1
    assert "split.test=2" in outcome.err


def test_a_warning_is_shown_once_a_command(run, work, tmp_path):
    columns = cells()
    columns["mass"] = columns["mass"] + 1e4
    data = write_csv(tmp_path / "far.csv", columns)
    outcome = run("distance", work / "model", data, "--long", "-o", tmp_path / "d.csv")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("lie outside the range") == 1
    assert outcome.err.count("further apart than the calibration") <= 1
    assert run("embed", work / "model", data, "-o", tmp_path / "z.csv").code == 0
    outcome = run("distance", work / "model", tmp_path / "z.csv", "-o", tmp_path / "e.csv")
    assert outcome.err.count("lie outside the range") == 1


def test_a_new_table_without_the_column_of_sets_gets_the_option(run, work, tmp_path):
    columns = cells()
    columns["who"] = columns.pop("patient")
    data = write_csv(tmp_path / "new.csv", columns)
    outcome = run("embed", work / "model", data, "-o", tmp_path / "z.csv")
    assert outcome.code == 1
    assert "has no column 'patient'" in outcome.err
    assert "--by COLUMN" in outcome.err
    assert run("embed", work / "model", data, "--by", "who", "-o", tmp_path / "z.csv").code == 0
