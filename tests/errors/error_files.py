"""Saved models."""

import json
from pathlib import Path

import distembed as de


def model_not_there():
    """A model that is not there."""
    de.load("models")


def folder_without_a_model():
    """A folder that is no model."""
    Path("models").mkdir()
    de.load("models")


def truncated_weights():
    """Weights that are truncated."""
    path = Path("model/model.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    de.load("model")


def edited_config():
    """A config that was edited."""
    path = Path("model/config.json")
    path.write_text(path.read_text().replace("deepsets", "kernel"))
    de.load("model")


def damaged_config():
    """A config that is cut."""
    path = Path("model/config.json")
    path.write_text(path.read_text()[:50])
    de.load("model")


def model_of_another_format():
    """A model of a newer version."""
    path = Path("model/config.json")
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"format": 99, "distembed": "9.0"}))
    de.load("model")


def model_into_a_file(model):
    """A model saved into a file."""
    model.save("cells.csv")


def model_into_a_full_folder(model):
    """A model saved beside other files."""
    Path("results").mkdir()
    Path("results/notes.txt").write_text("mine")
    model.save("results")


def module_that_is_not_stored(sets):
    """A model with an encoder of your own."""
    from torch import nn

    class Means(nn.Module):
        latent = 2

        def forward(self, batch):
            return batch.mean(batch.x)

    model = de.GDE(encoder=Means())
    model.fit(sets, steps=1, metric_steps=0, progress=False).save("mine")
    de.load("mine")


def module_of_another_shape(sets):
    """An encoder of your own of another shape."""
    from torch import nn

    class Means(nn.Module):
        def __init__(self, latent):
            super().__init__()
            self.latent, self.outputs = latent, nn.Linear(2, latent)

        def forward(self, batch):
            return self.outputs(batch.mean(batch.x))

    model = de.GDE(encoder=Means(4))
    model.fit(sets, steps=1, metric_steps=0, progress=False).save("mine")
    de.load("mine", encoder=Means(8))
