"""The configs of the GDE paper load, name models that can be built, and train."""

import gzip
import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest

import distembed as de
from distembed.cli.configfile import load_config
from distembed.model.gde import GDE

PAPER = Path(__file__).parents[2] / "examples" / "paper"
CONFIGS = sorted(PAPER.glob("*.yaml"))


@pytest.fixture(scope="module")
def sets():
    """Return the module that writes training sets."""
    spec = importlib.util.spec_from_file_location("paper_sets", PAPER / "sets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_states_the_published_settings(path):
    config = load_config(path)
    model, train = config.model, config.train
    assert config.data.path == f"paper_sets/{path.stem}"
    assert model.generator.name == "diffusion"
    assert model.conditioning.name == "none"
    assert model.transform == ()
    assert (train.lr, train.ema, train.metric_steps, train.seed) == (2e-4, 0, 0, 42)
    parts = [m.model_dump(exclude_none=True) for m in (model.encoder, model.generator)]
    shape = (1, 28, 28) if path.stem == "table2_images" else (5,)
    own = GDE(*parts, model.latent, conditioning="none", transform=())
    network = own.spec.build(shape, seed=0)
    sampling = network.generator.sampling
    assert (sampling.calls, sampling.sampler) == (400, "ancestral")


def test_every_config_has_sets(sets):
    assert {path.stem for path in CONFIGS} == {*sets.PRIORS, "table2_images"}


def test_a_config_trains_on_the_sets_that_are_written(sets, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored = sets.write("figure3", 24)
    assert len(stored) == 24
    few = ("train.steps=2", "train.every=1", "train.batch=4", "split.test=4")
    assert run("fit", PAPER / "figure3.yaml", *few).code == 0
    assert de.load("runs/paper_figure3").spec.encoder == {"name": "gnn", "width": 64, "depth": 2}


def test_images_are_mixtures_of_three_classes(sets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.arange(400, dtype=np.uint8).reshape(100, 2, 2)
    for name, array in (("images-idx3", x), ("labels-idx1", np.arange(100, dtype=np.uint8) % 4)):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        with gzip.open(f"train-{name}-ubyte.gz", "wb") as file:
            file.write(header + array.tobytes())
    mixed = sets.images("train-images-idx3-ubyte.gz")
    assert mixed.sizes.tolist() == [100] * 10_000
    assert set(mixed.meta) == {"weight_0", "weight_1", "weight_2"}
