"""The state before training is exact, and is stored only as far as it cannot be rebuilt."""

import numpy as np
import pytest
import torch
from torch import nn

import distembed as de
from distembed.data.synthetic.gaussians import Gaussians
from distembed.generators import GENERATORS
from distembed.model.initial import initial_network, snapshot, unrebuildable
from distembed.model.spec import Spec
from distembed.registry import applicable
from distembed.rng import stream

LATENT = 15
GENERATOR_NAMES = applicable(GENERATORS, "vectors")


class Own(nn.Module):
    """A user's own encoder, with a buffer that training moves."""

    def __init__(self, latent=LATENT):
        super().__init__()
        self.latent = latent
        self.outer = nn.Linear(2, latent)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, batch):
        if self.training:
            self.calls += 1
        return self.outer(batch.mean(batch.flat))


class Fitted:
    """What `initial_network` reads of a fitted model."""

    event_shape = (2,)

    def __init__(self, spec, network, initial):
        self.spec, self.network, self.initial = spec, network, initial
        self.config = de.TrainConfig(seed=3)
        self.runtime = type("Runtime", (), {"device": torch.device("cpu")})


def trained(spec):
    """Build, prepare and train in one leap; return what is stored, and the exact start."""
    network = spec.build((2,), 3)
    built = snapshot(network)
    batch = Gaussians.prior(30, 2, 10, size=40).batch(range(30))
    network.transform.fit(batch.x, batch.w)
    network.prepare(batch, [8, 20], stream("prepare"))
    initial = snapshot(network)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter += torch.randn(parameter.shape, generator=stream("training"))
    network.train()(step(batch))
    return Fitted(spec, network, unrebuildable(spec, network, built, initial)), initial


def step(batch):
    context, target = batch.split(20, 8, stream("parts"))
    return de.protocols.Step(context, target, torch.arange(len(batch)), 0, stream("noise"))


def spec(encoder="closed_form", generator="flow"):
    transform = [{"name": "standardise", "over": "all"}]
    return Spec(encoder, generator, LATENT, "shrinkage", transform)


@pytest.mark.parametrize("generator", GENERATOR_NAMES)
def test_the_start_of_every_generator_is_rebuilt(generator):
    fitted, initial = trained(spec(generator=generator))
    rebuilt = initial_network(fitted).state_dict()
    assert [name for name in initial if not rebuilt[name].equal(initial[name])] == []


@pytest.mark.parametrize("encoder", ["deepsets", "attention", "kernel", "composed"])
def test_the_start_of_other_encoders_is_rebuilt(encoder):
    fitted, initial = trained(spec(encoder))
    rebuilt = initial_network(fitted).state_dict()
    assert [name for name in initial if not rebuilt[name].equal(initial[name])] == []
    assert not fitted.initial


def test_a_module_of_the_user_is_stored_with_buffers_that_move():
    fitted, initial = trained(spec(Own()))
    assert set(fitted.initial) == {
        "encoder.outer.weight",
        "encoder.outer.bias",
        "encoder.calls",
    }
    fitted.spec.encoder.outer.weight.data += 1  # the user goes on with the module
    rebuilt = initial_network(fitted).state_dict()
    assert [name for name in initial if not rebuilt[name].equal(initial[name])] == []


def test_frozen_parameters_are_neither_copied_nor_stored():
    own = Own()
    own.outer.weight.requires_grad_(False)
    fitted, initial = trained(spec(own))
    assert "encoder.outer.weight" not in initial
    assert set(fitted.initial) == {"encoder.outer.bias", "encoder.calls"}
    assert initial_network(fitted).encoder.outer.weight.equal(own.outer.weight)


def test_a_training_that_gains_nothing_ends_at_its_start():
    sets = Gaussians.prior(30, 2, 10, size=40)
    model = de.GDE(latent=4).fit(sets, steps=2, lr=1e-12, progress=False)
    np.testing.assert_array_equal(
        model.untrained().embed(sets, covariance=False).z, model.embed(sets, covariance=False).z
    )
