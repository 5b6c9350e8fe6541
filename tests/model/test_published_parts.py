"""A model with a published part stores what it trained, and where the rest was read."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import distembed as de
from distembed.model.storage import WEIGHTS
from distembed.training.checkpoint import safe_open
from distembed.training.weights import trained_state
from tiny_models import ALPHABETS, tiny_model
from token_fakes import Autoregressive, sequences

FAST = {
    "steps": 3,
    "metric_steps": 0,
    "batch": 4,
    "context": (3, 6),
    "target": 3,
    "progress": False,
    "every": 2,
}
NAME = "encoder.point.model"


@pytest.fixture(scope="module")
def sets():
    return de.read(sequences(12, 12, 5), atoms={"name": "tokens", "alphabet": "ACGT"})


def fit(sets, path, train="frozen", **options):
    point = {"name": "hyenadna", "path": str(path), "train": train, "rank": 2}
    if train == "frozen":
        point["at_once"] = 1  # what is kept is then the same to the bit
    encoder = {"name": "composed", "point": point, "width": 4}
    encoder |= {"sets": {"name": "deepsets", "width": 8, "depth": 1}}
    model = de.GDE(encoder=encoder, generator=network(), latent=4, conditioning="none")
    return model.fit(sets, **FAST | options)


def network():
    torch.manual_seed(0)
    return Autoregressive((5,), 4, 4)


@pytest.fixture
def path(tmp_path):
    return shutil.copytree(tiny_model("hyenadna", tmp_path / "made"), tmp_path / "published")


def stored_names(folder):
    return {k for k in load_file(folder / WEIGHTS) if k.startswith(f"model.{NAME}")}


@pytest.mark.parametrize("train", ["frozen", "lora", "all"])
def test_a_folder_holds_what_was_trained(sets, path, tmp_path, train):
    model = fit(sets, path, train)
    folder = model.save(tmp_path / "model")
    again = de.load(folder, generator=network())
    assert (again.embed(sets, covariance=False).z == model.embed(sets, covariance=False).z).all()
    assert (
        again.untrained().embed(sets, covariance=False).z
        == model.untrained().embed(sets, covariance=False).z
    ).all()
    names, part = stored_names(folder), model.network.get_submodule(NAME)
    trained = {n for n, p in part.named_parameters() if p.requires_grad}
    assert names == {f"model.{NAME}.{n}" for n in trained}
    assert bool(names) is (train != "frozen")
    initial = [k for k in load_file(folder / WEIGHTS) if k.startswith(f"initial.{NAME}")]
    assert not initial
    config = json.loads((folder / "config.json").read_text())
    assert config["pretrained"][NAME]["path"] == str(path)
    assert config["pretrained"][NAME]["sha256"][:12] in model.card().rows["published models"]
    assert de.load(again.save(tmp_path / "twice"), generator=network()).card() == model.card()


def test_checkpoints_and_averages_hold_trained_weights_alone(sets, path, tmp_path):
    model = fit(sets, path, "lora", checkpoint=tmp_path / "run.safetensors")
    published = {n for n in trained_state(model.network) if n.startswith(NAME)}
    assert published
    assert all(n.endswith((".a", ".b")) for n in published)
    with safe_open(tmp_path / "run.safetensors", framework="pt") as file:
        names = [k for k in file.keys() if NAME in k]
    assert {k.partition(".")[2] for k in names if not k.startswith("optimizer")} == published


def test_another_published_model_is_refused(sets, path, tmp_path):
    folder = fit(sets, path).save(tmp_path / "model")
    file = path / "model.safetensors"
    before = file.read_bytes()
    save_file({k: v + 1e-3 for k, v in load_file(file).items()}, file)
    with pytest.raises(ValueError, match=f"published model of {NAME} is not the one"):
        de.load(folder, generator=network())
    file.write_bytes(before)
    de.load(folder, generator=network())


def test_a_published_model_that_moved_is_named(sets, path, tmp_path):
    model = fit(sets, path)
    folder = model.save(tmp_path / "model")
    moved = path.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=r"pretrained=\{'old path': 'new path'\}"):
        de.load(folder, generator=network())
    with pytest.raises(ValueError, match="pretrained names 'else'; this model reads"):
        de.load(folder, generator=network(), pretrained={"else": "there"})
    again = de.load(folder, generator=network(), pretrained={str(path): str(moved)})
    assert (again.embed(sets, covariance=False).z == model.embed(sets, covariance=False).z).all()
    # saved again, it knows the new place
    assert de.load(again.save(tmp_path / "again"), generator=network()).spec.encoder["point"][
        "path"
    ] == str(moved)


def test_a_stored_model_downloads_nothing(sets, path, tmp_path):
    model = fit(sets, path)
    model._fitted.spec.encoder["point"]["download"] = True
    again = de.load(model.save(tmp_path / "model"), generator=network())
    assert "download" not in again.spec.encoder["point"]


def test_models_without_published_parts_are_stored_as_before(sets, tmp_path):
    point = {"name": "conv1d", "channels": 8, "depth": 1}
    encoder = {"name": "composed", "point": point, "width": 4}
    model = de.GDE(encoder=encoder, generator=network(), latent=4, conditioning="none")
    folder = model.fit(sets, **FAST).save(tmp_path / "model")
    assert "pretrained" not in json.loads((folder / "config.json").read_text())
    with pytest.raises(ValueError, match="this model reads no published model"):
        de.load(folder, generator=network(), pretrained={"a": "b"})


def test_the_alphabet_is_that_of_the_sets(path):
    assert ALPHABETS["hyenadna"] == "ACGT"
    reads = de.read([["AC-", "T"], ["G-", "C"]], atoms={"name": "tokens", "alphabet": "ACGT-"})
    with pytest.raises(ValueError, match="has '-', for which hyenadna has no token"):
        fit(reads, path)
