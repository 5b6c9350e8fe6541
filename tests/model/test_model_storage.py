"""Saving and loading: nothing is lost, nothing half-written, and nothing damaged is believed."""

import hashlib
import importlib.metadata
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from model_fakes import FAST, SMALL, read, table
from safetensors.torch import load_file, save_file
from torch import nn

import distembed as de
from distembed.model.card import ModelCard
from distembed.model.storage import (
    CONFIG,
    FORMAT,
    HISTORY,
    WEIGHTS,
    Stored,
    read_folder,
    write_folder,
)

FILES = {WEIGHTS, CONFIG, HISTORY, "README.md"}


@pytest.fixture
def folder(model, tmp_path):
    return model.save(tmp_path / "model")


def rewritten(folder, change):
    """Write the folder again, with good hashes, after a change of its config and tensors."""
    stored = read_folder(folder)
    config = {k: v for k, v in stored.config.items() if not k.endswith("sha256")}
    tensors = dict(stored.tensors)
    change(config, tensors)
    config.pop("format")
    write_folder(folder, Stored(config, tensors, stored.history), "")


# -- round trip --------------------------------------------------------------------------------


def test_nothing_is_lost(model, named, folder):
    again = de.load(folder)
    embeddings, expected = again.embed(named), model.embed(named)
    assert (embeddings.z == expected.z).all()
    assert (again.sample(embeddings, 9, rng=4) == model.sample(expected, 9, rng=4)).all()
    assert (again.distances(embeddings) == model.distances(expected)).all()
    assert (again.untrained().embed(named).z == model.untrained().embed(named).z).all()
    for name in ("features", "event_shape", "latent", "calibration", "fingerprints", "notes"):
        assert getattr(again, name) == getattr(model, name), name
    assert again.config == model.config
    assert again.history == model.history
    assert again.card() == model.card()
    assert repr(again) == repr(model)


def test_saved_twice_it_is_the_same(folder, tmp_path):
    other = de.load(folder).save(tmp_path / "other")
    for name in FILES:
        assert (other / name).read_bytes() == (folder / name).read_bytes(), name


def test_columns_are_matched_after_loading(model, named, folder):
    reordered = read(*table(), names=["same", "ratio", "height"])
    assert (de.load(folder).embed(reordered).z == model.embed(named).z).all()


def test_notes_are_kept(tmp_path, unnamed):
    fitted = de.GDE(**SMALL).fit(unnamed, **FAST)
    fitted.notes["origin"] = {"file": "a.csv", "rows": [1, 2]}
    assert de.load(fitted.save(tmp_path / "m")).notes == fitted.notes


@pytest.mark.parametrize(
    "options",
    [
        {"generator": "diffusion", "transform": ["arcsinh", {"name": "pca", "components": 2}]},
        {"encoder": {"name": "kernel", "bandwidths": [0.5, 2.0]}},
        {"encoder": {"name": "moments", "kind": "quantiles"}, "transform": []},
    ],
)
def test_other_members_come_back_too(tmp_path, unnamed, options):
    data = [np.concatenate([x, x**2], 1) for x in unnamed]
    fitted = de.GDE(**SMALL | options).fit(data, **FAST)
    again = de.load(fitted.save(tmp_path / "m"))
    assert (again.embed(data).z == fitted.embed(data).z).all()
    assert (again.reconstruct(data, 3) == fitted.reconstruct(data, 3)).all()


def test_loading_leaves_the_global_generator_alone(folder):
    before = torch.random.get_rng_state()
    de.load(folder)
    assert before.equal(torch.random.get_rng_state())


def test_what_is_in_a_folder(folder, model):
    assert {f.name for f in folder.iterdir()} == FILES
    config = json.loads((folder / CONFIG).read_text())
    assert config["format"] == FORMAT
    assert config["event_shape"] == [3]
    assert config["versions"]["torch"] == importlib.metadata.version("torch")
    assert config["transform"] == [{"name": "standardise", "over": "feature"}]
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert config["weights_sha256"] == digest
    card = (folder / "README.md").read_text()
    for fact in ("deepsets", "flow", "height, ratio, same", "| latent dimension | 6 |"):
        assert fact in card
    assert f"{model.calibration.pairs} pairs" in card


def test_its_text_is_strict_json(tmp_path):
    # NaN is not JSON, and a model that could not be calibrated has an error that is not known
    small = [np.random.default_rng(i).normal(i, 1, (10, 2)) for i in range(5)]
    fitted = de.GDE(**SMALL).fit(small, **FAST)
    assert fitted.calibration.pairs == 0
    path = fitted.save(tmp_path / "m")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    json.loads((path / CONFIG).read_text(), parse_constant=refuse)
    for line in (path / HISTORY).read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    assert repr(de.load(path).calibration) == repr(fitted.calibration)


# -- a user's own parts ------------------------------------------------------------------------


class Mean(nn.Module):
    """A user's own encoder."""

    def __init__(self, latent=6):
        super().__init__()
        self.latent = latent
        self.outer = nn.Linear(2, latent)

    def forward(self, batch):
        return self.outer(batch.mean(batch.flat))


def test_an_object_has_to_be_given_back(tmp_path, unnamed):
    fitted = de.GDE(Mean(), {"name": "flow", "width": 8}, latent=6).fit(unnamed, **FAST)
    path = fitted.save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"load\(path, encoder=\.\.\.\)"):
        de.load(path)
    again = de.load(path, encoder=Mean())
    assert (again.embed(unnamed).z == fitted.embed(unnamed).z).all()
    one, other = (m.untrained().network.state_dict() for m in (fitted, again))
    assert all(one[name].equal(other[name]) for name in one)
    with pytest.raises(
        ValueError, match=r"encoder\.outer\.weight has shape \(6, 2\), expected \(5, 2\)"
    ):
        de.load(path, encoder=Mean(latent=5))
    other = nn.Module()
    other.latent = 6
    with pytest.raises(ValueError, match=r"encoder\.outer\.weight is not part of the model"):
        de.load(path, encoder=other)


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 7, 1000, -1])
def test_truncated_weights(folder, keep):
    weights = folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors .*truncated, edited"):
        de.load(folder)


@pytest.mark.parametrize("where", [20, -5])
def test_edited_weights(folder, where):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[where] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors .*truncated, edited"):
        de.load(folder)


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c["attachments"]["calibration"].update(pairs=7),
        lambda c: c["features"].reverse(),
        lambda c: c.update(latent=7),
        lambda c: c["encoder"].update(name="moments"),
        lambda c: c["train"].update(seed=1),
        lambda c: c["hashes"].pop(),
        lambda c: c.pop("transform"),
        lambda c: c.update(surprise=1),
        lambda c: c.pop("config_sha256"),
        lambda c: c.update(weights_sha256="0" * 64),
    ],
)
def test_an_edited_config(folder, edit):
    config = json.loads((folder / CONFIG).read_text())
    edit(config)
    (folder / CONFIG).write_text(json.dumps(config, indent=1))
    with pytest.raises(ValueError, match=r"config\.json was edited"):
        de.load(folder)


def test_a_config_that_was_only_laid_out_anew_is_the_same(folder):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config, sort_keys=True))
    de.load(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"format": "one"}', "\x00", "[" * 100_000]
)
def test_a_config_that_is_none(folder, text):
    (folder / CONFIG).write_text(text)
    with pytest.raises(ValueError, match=r"are damaged: .*Copy it again"):
        de.load(folder)


def test_a_config_that_is_not_text(folder):
    (folder / CONFIG).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="are damaged"):
        de.load(folder)


@pytest.mark.parametrize(
    "line",
    ["{", '{"ste', "null", "[1]", '{"step": 1}', '{"step": "1", "seconds": 2}', "[" * 100_000],
    ids=lambda line: line[:12],
)
def test_a_damaged_history(folder, line):
    with (folder / HISTORY).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match="are damaged"):
        de.load(folder)


def test_a_newer_format(folder):
    config = json.loads((folder / CONFIG).read_text())
    config.update(format=FORMAT + 1, distembed="9.9")
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(
        ValueError, match=rf"format {FORMAT + 1}, .*9\.9, .*reads formats 4, 5, {FORMAT}\. Upgrade"
    ):
        de.load(folder)


def test_an_older_format_says_how_to_refit(tmp_path):
    config = {
        "format": 1,
        "distembed": "0.1.0",
        "latent": 4,
        "encoder": {"name": "deepsets", "options": {"width": 8}},
        "generator": {"name": "flow", "options": {}},
        "calibration": {"scale": 1.0, "power": 1.0, "error": None, "pairs": 0},
    }
    save_file({"model.linear": torch.zeros(10, 4)}, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"format 1, .*0\.1\.0.* Fit it again: .*fit\(sets\)"):
        de.load(tmp_path)


def test_a_missing_tensor(folder):
    name = "model.generator.base.gaussian.bias"
    rewritten(folder, lambda config, tensors: tensors.pop(name))
    with pytest.raises(ValueError, match=r"generator\.base\.gaussian\.bias is missing"):
        de.load(folder)


def test_a_tensor_too_many(folder):
    def add(config, tensors):
        tensors["model.extra"] = torch.zeros(2)

    rewritten(folder, add)
    with pytest.raises(ValueError, match="extra is not part of the model"):
        de.load(folder)


def test_a_tensor_of_the_start_that_is_not_known(folder):
    def add(config, tensors):
        tensors["initial.extra"] = torch.zeros(2)

    rewritten(folder, add)
    with pytest.raises(ValueError, match="extra is not part of the model"):
        de.load(folder)


@pytest.mark.parametrize("name", ["table.z", "table.pairs.latent_squared"])
def test_a_missing_column_of_the_table(folder, name):
    rewritten(folder, lambda config, tensors: tensors.pop(name))
    with pytest.raises(ValueError, match=f"lacks or misnames '{name.removeprefix('table.')}'"):
        de.load(folder)


def test_an_attachment_that_is_not_known(folder):
    rewritten(folder, lambda config, tensors: config["attachments"].update({"os:system": {}}))
    with pytest.raises(ValueError, match="no attachment 'os:system'"):
        de.load(folder)


def test_weights_are_stored_once(folder, model):
    tensors = load_file(folder / WEIGHTS)
    trained = sum(t.nbytes for k, t in tensors.items() if k.startswith("model."))
    initial = sum(t.nbytes for k, t in tensors.items() if k.startswith("initial."))
    assert trained == sum(t.nbytes for t in model.network.state_dict().values())
    assert initial < 0.05 * trained


def test_a_tensor_of_another_shape(folder):
    def change(config, tensors):
        tensors["model.conditioning.linear"] = torch.ones(7)

    rewritten(folder, change)
    with pytest.raises(
        ValueError, match=r"conditioning\.linear has shape \(7,\), expected \(14, 6\)"
    ):
        de.load(folder)


@pytest.mark.parametrize("key", ["event_shape", "encoder", "attachments", "salt", "train"])
def test_a_config_that_lacks_something(folder, key):
    rewritten(folder, lambda config, tensors: config.pop(key))
    with pytest.raises(ValueError, match=f"no config of a model: {key}: Field required"):
        de.load(folder)


def test_a_member_that_is_not_known(folder):
    rewritten(folder, lambda config, tensors: config["encoder"].update(name="os:system"))
    with pytest.raises(ValueError, match="no encoder 'os:system'"):
        de.load(folder)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not a model: it has no config\.json"):
        de.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"There is no model .*nothing \(from "):
        de.load(tmp_path / "nothing")
    (tmp_path / CONFIG).write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"has no model\.safetensors"):
        de.load(tmp_path)


def test_weights_of_another_file_are_not_enough(folder):
    tensors = load_file(folder / WEIGHTS)
    save_file(tensors, folder / WEIGHTS, metadata={"another": "header"})
    with pytest.raises(ValueError, match="edited or of another model"):
        de.load(folder)


# -- nothing half-written ----------------------------------------------------------------------


class Failing:
    """Lets the first moves of files happen and fails at one, as a full disk does."""

    def __init__(self, monkeypatch, at):
        self.left = at
        for name in ("replace", "rename"):
            monkeypatch.setattr(os, name, self.wrapped(getattr(os, name)))

    def wrapped(self, move):
        def moved(*args, **kwargs):
            self.left -= 1
            if self.left == 0:
                raise OSError("No space left on device")
            return move(*args, **kwargs)

        return moved


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_new_folder_is_whole_or_not_there(model, named, tmp_path, monkeypatch, at):
    path = tmp_path / "model"
    failing = Failing(monkeypatch, at)
    try:
        model.save(path)
    except OSError:
        assert not path.exists() or not list(path.iterdir()), "something half-written is there"
    assert failing.left <= 0 or path.is_dir()
    monkeypatch.undo()
    model.save(path)
    assert (de.load(path).embed(named).z == model.embed(named).z).all()
    assert [f.name for f in tmp_path.iterdir()] == ["model"], "nothing else is left"


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_an_old_model_is_kept_until_the_new_one_is_there(
    model, named, folder, tmp_path, monkeypatch, at
):
    new = de.GDE(**SMALL).fit(named, seed=1, **FAST)
    Failing(monkeypatch, at)
    try:
        new.save(folder)
    except OSError:
        kept = de.load(folder).embed(named).z
        assert (kept == model.embed(named).z).all()
    else:
        assert (de.load(folder).embed(named).z == new.embed(named).z).all()
    assert [f.name for f in tmp_path.iterdir()] == ["model"], "nothing else is left"


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_disk_that_fills_up_leaves_nothing(model, tmp_path, monkeypatch, name):
    def full(write):
        def wrapped(path, *args, **kwargs):
            if path.name == name:
                raise OSError("No space left on device")
            return write(path, *args, **kwargs)

        return wrapped

    for method in ("write_bytes", "write_text"):
        monkeypatch.setattr(Path, method, full(getattr(Path, method)))
    with pytest.raises(OSError, match="No space left"):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_model_takes_the_place_of_a_model(model, named, folder):
    new = de.GDE(**SMALL).fit(named, seed=1, **FAST)
    new.save(folder)
    assert (de.load(folder).embed(named).z == new.embed(named).z).all()


def test_other_files_are_not_overwritten(model, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="not a model's"):
        model.save(tmp_path)
    with pytest.raises(FileExistsError, match="is a file"):
        model.save(tmp_path / "thesis.txt")
    with pytest.raises(OSError, match=r"thesis\.txt"):
        model.save(tmp_path / "thesis.txt" / "model")
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_folders_are_made(model, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "a" / "b"):
        assert model.save(path) == path
        de.load(path)


def test_a_bar_in_a_card_does_not_end_a_cell():
    rows = {"distance": "up to |dz| = 5.8", "two\nlines": "a\nb"}
    table = str(ModelCard("", rows, "", ())).splitlines()[4:8]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table]
    assert [len(line) for line in cells] == [2, 2, 2, 2]
    assert cells[2] == [" distance ", r" up to \|dz\| = 5.8 "]
    assert cells[3] == [" two lines ", " a b "]


def test_ranges_of_another_number_of_features_are_refused(folder):
    def shorten(config, tensors):
        tensors["support.low"] = tensors["support.low"][:1]

    rewritten(folder, shorten)
    with pytest.raises(ValueError, match=r"ranges of the training atoms have the shapes \[\(1,\)"):
        de.load(folder)
