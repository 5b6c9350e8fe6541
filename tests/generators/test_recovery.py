"""Trained generators that are told the parameters of distributions recover the distributions."""

import math

import pytest
import torch
from torch import nn

from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.divergences.bures import bures_w2
from distembed.generators import GENERATORS
from distembed.registry import build
from distembed.rng import stream
from distembed.training.config import TrainConfig
from distembed.training.trainer import train


class Told(nn.Module):
    """A generator whose z are known numbers of each set, standardised."""

    def __init__(self, generator, parameters):
        super().__init__()
        self.generator = generator
        self.centre, self.scale = parameters.mean(0), parameters.std(0)
        self.z = self.standardised(parameters)

    def standardised(self, parameters):
        return ((parameters - self.centre) / self.scale).float()

    def loss(self, step):
        return self.generator.loss(step.target, self.z[step.index], step.rng)


def trained(name, sets, parameters, options=None, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = build(
            GENERATORS, name, "generator", sets.event_shape, parameters.shape[1], options=options
        )
    told = Told(generator, parameters)
    look = sets.batch(range(len(sets)), 64, stream("look"))
    generator.prepare(look, told.z)
    # the generator sees targets alone, and its average forgets the start within the run
    fixed = {"context": (1, 1), "validation": 0, "ema": 0.99, "every": settings["steps"]}
    train(told, sets, TrainConfig(**fixed, **settings))
    return told


def mean_and_root(sets):
    values, vectors = torch.linalg.eigh(sets.cov)
    root = (vectors * values.sqrt().unsqueeze(1)) @ vectors.mT
    row, column = torch.triu_indices(*root.shape[1:])
    return torch.cat([sets.mean, root[:, row, column]], 1)


def recovered(name, options, n=1000, **settings):
    """True W2 of the samples of unseen sets, and that of the best constant covariance."""
    sets = Gaussians.prior(500, 5, df=40, scale=0.1, seed=0)
    unseen = Gaussians.prior(20, 5, df=40, scale=0.1, seed=1)
    told = trained(name, sets, mean_and_root(sets), options, **settings)
    z = told.standardised(mean_and_root(unseen))
    x = told.generator.sample(z, n, stream("draw")).double()
    mean, centred = x.mean(1), x - x.mean(1, keepdim=True)
    cov = centred.mT @ centred / n
    constant = sets.cov.mean(0).expand_as(unseen.cov)
    baseline = bures_w2(unseen.mean, constant, unseen.mean, unseen.cov)
    return float(bures_w2(mean, cov, unseen.mean, unseen.cov).mean()), float(baseline.mean())


RECOVERING = [name for name in GENERATORS if name != "wormhole"]
"""A wormhole draws one fixed number of atoms, and starts from no Gaussian."""
MODES = {"explicit": {"likelihood": "mixture"}}
"""Options with which a generator can say more than a Gaussian."""


# Half the baseline is 0.12; the floor, mean and covariance of 1000 atoms, is 0.06.


@pytest.mark.parametrize("name", RECOVERING)
def test_gaussians_are_recovered(name):
    found, baseline = recovered(name, {"width": 64}, steps=40, warmup=20, target=32)
    assert found < baseline / 2


@pytest.mark.parametrize("name", RECOVERING)
def test_a_generator_learns_what_its_base_cannot_say(name):
    # two narrow modes at c +- 1: a Gaussian of their moments is sqrt(2 - 2 sqrt(2 / pi)) away
    c = torch.linspace(-3, 3, 200, dtype=torch.float64)
    mean = torch.stack([c - 1, c + 1], 1)[:, :, None]
    cov = torch.full((200, 2, 1, 1), 0.01, dtype=torch.float64)
    sets = Mixtures(torch.ones(200, 2), mean, cov, seed=0)
    options = {"width": 32, "depth": 2} | MODES.get(name, {})
    told = trained(name, sets, c[:, None], options, steps=150, lr=1e-2, warmup=20, batch=16)
    x = told.generator.sample(told.z[::10], 1000, stream("draw"))
    truth = sets.batch(range(0, 200, 10), 1000, stream("truth")).x.view(20, 1000, 1)
    gap = x.sort(1).values - truth.sort(1).values
    w2 = gap.square().mean((1, 2)).sqrt().mean()
    # two samples of the truth are about 0.15 apart: an unequal share of atoms crosses over
    assert w2 < math.sqrt(2 - 2 * math.sqrt(2 / math.pi)) / 2
