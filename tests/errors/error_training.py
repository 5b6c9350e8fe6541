"""Training."""

from pathlib import Path

import numpy as np
from torch import nn

import distembed as de
from distembed.training.objectives import PairDistances


def unknown_setting(sets):
    """A setting that is not there."""
    de.GDE().fit(sets, stpes=100)


def one_set():
    """A single set."""
    de.GDE().fit([np.random.default_rng(0).random((100, 2))])


def sets_of_one_atom():
    """Sets of one atom."""
    atoms = [
        np.random.default_rng(0).random((1, 2)),
        np.random.default_rng(0).random((5, 2)),
        np.random.default_rng(0).random((9, 2)),
    ]
    sets = de.read(atoms, min_size=1)
    de.GDE().fit(sets)


def unknown_device(sets):
    """A device that is not there."""
    de.GDE().fit(sets, device="gpu")


def device_without_cuda(sets):
    """CUDA on a machine without it."""
    de.GDE().fit(sets, device="cuda")


def device_without_float64(sets):
    """A device without float64.

    Use "cpu".
    """
    de.GDE().fit(sets, device="mps")


def loss_that_is_infinite(sets):
    """A loss that is not finite."""

    def objective(network, step, z):
        return z.sum(1) / (0 if network.training else 1)

    de.GDE().fit(sets, steps=20, objectives=[objective])


def learning_rate_that_diverges(sets):
    """A learning rate that is far too large."""
    de.GDE().fit(sets, steps=20, lr=1e30)


def distances_that_overflow():
    """Distances that are not finite."""
    x = np.random.default_rng(0).random((6, 50, 2))
    x[:, 0] = 3e38
    de.GDE(transform=[]).fit(list(x), steps=20, progress=False)


def objective_with_parameters(sets):
    """An objective with parameters."""
    de.GDE().fit(sets, objectives=[nn.Linear(4, 1)])


def objective_of_no_weight():
    """An objective of no weight."""
    PairDistances("exact", weight=0.0)


def more_parts_than_sets(sets):
    """More parts than sets in a batch."""
    de.GDE().fit(sets, batch=4, parts=8, metric_steps=0)


def checkpoint_of_another_run(sets):
    """A checkpoint of another run."""
    quick = {"metric_steps": 0, "steps": 4, "every": 2, "batch": 4, "progress": False}
    de.GDE(latent=4).fit(sets, checkpoint="run.safetensors", lr=1e-3, **quick)
    de.GDE(latent=4).fit(sets, checkpoint="run.safetensors", lr=1e-2, **quick)


def damaged_checkpoint(sets):
    """A damaged checkpoint."""
    Path("run.safetensors").write_bytes(b"half")
    de.GDE().fit(sets, checkpoint="run.safetensors", metric_steps=0)


def model_as_a_checkpoint(sets):
    """A model in place of a checkpoint."""
    de.GDE().fit(sets, checkpoint="model/model.safetensors", metric_steps=0)


def generator_of_scalar_loss(sets):
    """A generator whose loss is one number."""

    class Summed(nn.Module):
        def __init__(self):
            super().__init__()
            self.location = nn.Linear(8, 2)

        def loss(self, batch, z, rng):
            return (batch.mean(batch.x) - self.location(z)).square().sum()

        def sample(self, z, n, rng):
            return self.location(z)[:, None].expand(-1, n, -1)

    de.GDE(generator=Summed(), latent=8).fit(sets, metric_steps=0, progress=False)


def generator_of_another_latent(sets):
    """A generator of another dimension."""

    class Located(nn.Module):
        def __init__(self):
            super().__init__()
            self.location = nn.Linear(16, 2)

        def loss(self, batch, z, rng):
            return (batch.mean(batch.x) - self.location(z)).square().sum(1)

        def sample(self, z, n, rng):
            return self.location(z)[:, None].expand(-1, n, -1)

    de.GDE(generator=Located(), latent=8).fit(sets, metric_steps=0, progress=False)


def encoder_of_another_shape(sets):
    """An encoder that returns another shape."""

    class Means(nn.Module):
        latent = 4

        def forward(self, batch):
            return batch.mean(batch.x)

    de.GDE(encoder=Means()).fit(sets, metric_steps=0, progress=False)
