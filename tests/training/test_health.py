"""Health of z, and the warning for a generator that ignores it."""

import math
import re

import pytest
import torch
from torch import nn

from distembed.batch import SetBatch
from distembed.data.synthetic.gaussians import Gaussians
from distembed.model.gde import GDE
from distembed.protocols import Step
from distembed.rng import stream
from distembed.training.health import Conditional, Health, health

SETS, M = 4000, 10


class Means(nn.Module):
    """The embedding is the mean; the loss is the squared error, or ignores z."""

    def __init__(self, uses_z=True):
        super().__init__()
        self.uses_z = uses_z

    def encode(self, batch):
        return batch.mean(batch.x)

    def score(self, step, z):
        noise = torch.randn(len(z), generator=step.rng)
        centre = z if self.uses_z else torch.zeros_like(z)
        return (step.target.mean(step.target.x) - centre).square().sum(1) + noise


def steps(between):
    rng = stream("health", str(between))
    centre = between * torch.randn(SETS, 1, 1, generator=rng)
    draw = (centre + torch.randn(SETS, M, 1, generator=rng) for _ in range(2))
    context, target = (SetBatch.from_dense(x) for x in draw)
    return [Step(context, target, torch.arange(SETS), 0, stream("noise"))]


@pytest.mark.parametrize("between", [0.0, 0.5, 2.0])
def test_closed_forms(between):
    result = health(Means(), steps(between))
    # halves of five atoms: variance b^2 between sets, 1 / 5 within
    share = between**2 / (between**2 + 2 / M)
    # a correlation of 4000 pairs has a standard error of at most 1 / sqrt(4000)
    assert result.z_signal == pytest.approx(share, abs=4 / SETS**0.5)
    # E (y - z')^2 - E (y - z)^2 = 2 Cov(y, z) = 2 b^2
    assert result.z_used == pytest.approx(2 * between**2, abs=4 * result.error + 1e-6)


def test_the_same_noise_on_both_sides():
    result = health(Means(uses_z=False), steps(1.0))
    assert result.z_used == 0
    assert result.error == 0
    assert result.z_signal > 0.8


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (Health(0.9, 0.0, 0.0, 1.0), "ignores z .*posterior collapse.*Usual fixes: train longer"),
        (Health(0.02, 0.01, 0.01, 1.0), "hardly differ between sets .*raise the context"),
        (Health(0.9, 0.0, 0.0, 1.0, "nats a sequence"), "0 nats a sequence.*condition='both'"),
        (Health(0.9, 0.5, 0.1, 1.0), None),
        (Health(0.9, 0.0, 0.5, 1.0), None),  # few sets, a large standard error
    ],
)
def test_advice(result, message):
    advice = result.advice()
    if message is None:
        assert advice is None
    else:
        assert re.search(message, advice)


class Unconditional(nn.Module):
    """A generator that ignores z."""

    def __init__(self, latent):
        super().__init__()
        self.latent = latent
        self.log_scale = nn.Parameter(torch.zeros(2))

    def loss(self, batch, z, rng):
        return batch.mean((batch.x / self.log_scale.exp()).square()).sum(1) + self.log_scale.sum()

    def sample(self, z, n, rng):
        noise = torch.randn(len(z), n, 2, generator=rng)
        return noise * self.log_scale.exp()


def test_training_warns_of_a_generator_that_ignores_z():
    sets = Gaussians.prior(60, 2, 10, size=40)
    with pytest.warns(UserWarning, match="The generator ignores z"):
        model = GDE(latent=4, generator=Unconditional(5)).fit(
            sets, steps=4, every=2, batch=8, context=(8, 16), progress=False
        )
    assert model.history[-1]["z_used"] == pytest.approx(0, abs=1e-6)
    assert model.history[-1]["z_signal"] > 0.8


def test_no_warning_for_a_generator_that_uses_z():
    sets = Gaussians.prior(60, 2, 10, size=40)
    model = GDE(latent=4).fit(sets, steps=2, batch=8, context=(8, 16), progress=False)
    assert isinstance(model.network, Conditional)
    assert model.history[-1]["z_used"] > 0.5


class Binary(nn.Module):
    """One symbol of two, whose probability is the embedding; the loss is in nats."""

    loss_unit = "nats a sequence"

    def encode(self, batch):
        return batch.mean((batch.x == 2).double())

    def score(self, step, z):
        p = step.target.expand(z)
        nats = torch.where(step.target.x == 2, p.log(), (-p).log1p())
        return -step.target.mean(nats).squeeze(1)


def test_z_used_is_the_information_of_z_in_nats():
    """Sets with p = 0.2 and 0.8 in turn: another set costs KL(0.2, 0.8) = 0.6 log 4 nats."""
    p = torch.tensor([0.2, 0.8]).repeat(20)[:, None, None]
    rng = stream("binary")
    context, target = (
        SetBatch.from_dense(1 + (torch.rand(40, 2000, 1, generator=rng) < p).long())
        for _ in range(2)
    )
    result = health(Binary(), [Step(context, target, torch.arange(40), 0, stream("noise"))])
    assert result.unit == "nats a sequence"
    assert result.z_used == pytest.approx(0.6 * math.log(4), abs=5 * result.error)
    assert result.error < 0.02
    assert result.advice() is None
