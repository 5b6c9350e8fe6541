"""Small modules whose training has a closed form."""

import torch
from torch import nn

from distembed.data.synthetic.gaussians import Gaussians
from distembed.training.config import TrainConfig
from distembed.training.trainer import Trainer

FAST = {"steps": 6, "every": 3, "batch": 4, "context": (2, 4), "target": 2, "warmup": 2}


class Killed(Exception):
    """Stand for the end of a process."""


class Scalar(nn.Module):
    """One weight and a loss `f(weight, step)`, `(B,)`."""

    def __init__(self, f, start=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))
        self.f = f

    def forward(self, step):
        return self.f(self.weight, step) + torch.zeros(len(step.index))


def sets(count=10, size=20, seed=0):
    return Gaussians.prior(count, 2, 10, size=size, seed=seed)


def config(**settings):
    return TrainConfig(**{**FAST, **settings})


def train(module, collection, settings, **options):
    return Trainer(module, collection, settings, **options).fit()
