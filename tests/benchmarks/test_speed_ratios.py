"""The bench of speed: a competitor that computes the same, and ratios within a repeat."""

import copy

import numpy as np
import pytest
import torch

from distembed.benchmarks.padded import Padded, padded
from distembed.benchmarks.speed import BENCH, make_encoder, normal_sets
from distembed.benchmarks.steps import PlainLoop
from distembed.benchmarks.timing import median_ratio, paired_times
from distembed.encoders import ENCODERS
from distembed.model.fit import prepare
from distembed.model.spec import Spec
from distembed.registry import applicable, split_member
from distembed.sets.collection import Sets
from distembed.training.config import TrainConfig
from distembed.training.steps import training_step
from distembed.training.trainer import Trainer

FULL = BENCH.scales["full"]


@pytest.mark.slow
def test_the_rows(cells):
    values = cells("speed")
    assert all(value > 0 for value in values.values())
    arms = {arm.label for arm in FULL.arms}
    for task in FULL.shapes:
        for metric in ("forward", "training"):
            rates = {m for t, m, k in values if (t, k) == (task, f"{metric}_atoms_per_s")}
            ratios = {m for t, m, k in values if (t, k) == (task, f"{metric}_over_padded")}
            assert rates == {*arms, "padded"}
            assert ratios == arms
    assert {k for _, m, k in values if m == "induced"} >= {"us_per_atom_m10", "us_per_atom_m100"}
    assert ("100000 atoms in all", "induced", "largest_over_smallest") in values
    assert ("embed 1000 x 1000", "gde", "embed_seconds") in values
    assert {(m, k) for t, m, k in values if t == "training"} == {
        ("gde", "ms_per_step"),
        ("plain_loop", "ms_per_step"),
        ("gde", "step_over_plain"),
        ("gde", "share_of_draw"),
        ("gde", "share_of_loss"),
    }


@pytest.mark.slow
def test_threads_are_given_back(measured):
    before = torch.get_num_threads()
    assert measured("speed")[0]["environment"]["threads"] == 1
    assert torch.get_num_threads() == before


def plain():
    return next(arm for arm in FULL.arms if arm.label == FULL.plain)


def test_the_padded_network_computes_the_same():
    """A competitor that computes something else would be no competitor."""
    encoder = make_encoder(plain(), FULL, 0).double()
    rng = torch.Generator().manual_seed(0)
    batch = normal_sets(2, 30, 6, FULL.dimension, rng).to(dtype=torch.float64)
    z = Padded(encoder)(*padded(batch))
    torch.testing.assert_close(z, encoder(batch), rtol=1e-6, atol=1e-8)


def test_ratios_are_taken_within_a_repeat():
    """A machine that slows down by ten between repeats changes no ratio."""
    clock = iter([seconds for slow in (1, 1, 10) for seconds in (3 * slow, slow)])
    calls = []

    def paced(run):
        run()
        return next(clock)

    runs = {name: lambda name=name: calls.append(name) for name in ("first", "second")}
    times = paired_times(runs, 2, paced)
    assert calls == ["first", "second"] * 3
    assert times == {"first": [3, 30], "second": [1, 10]}  # the turn that allocates is left out
    assert median_ratio(times["first"], times["second"]) == 3


def test_every_trainable_encoder_takes_part():
    members = {split_member(arm.encoder, "encoder")[0] for arm in FULL.arms}
    untrained = {"moments", "orthogonal_moments", "closed_form"}
    assert members == set(applicable(ENCODERS, "vectors")) - {*untrained, "composed"}
    batch = normal_sets(3, 5, 2, FULL.dimension, torch.Generator())
    for arm in FULL.arms:
        encoder = make_encoder(arm, FULL, 0)
        encoder(batch).square().mean().backward()
        trainable = [p for p in encoder.parameters() if p.requires_grad]
        assert trainable
        assert all(p.grad is not None for p in trainable)


def test_the_plain_loop_takes_the_steps_of_the_trainer():
    """A loop that did less than training needs would make the trainer look slow.

    The first step of AdamW is the same for a gradient of any length, so that three are taken, with
    a gradient that is always clipped; in so long a schedule their learning rate is that of the
    config.
    """
    sets = Sets.from_batch(normal_sets(20, 20, 6, 2, torch.Generator().manual_seed(0)))
    config = TrainConfig(
        steps=10**9, warmup=0, batch=4, context=(4, 8), target=4, clip=1e-3, validation=0
    )
    network = Spec(latent=4).resolved(sets).build(sets.event_shape, 0)
    prepare(network, sets, np.arange(len(sets)), config)
    copied = copy.deepcopy(network).train()
    trainer = Trainer(network, sets, config)
    trainer.module.train()
    numbers = range(3)
    steps = [training_step(trainer.gradient.sampler, k, torch.device("cpu")) for k in numbers]
    loop = PlainLoop(copied, config, steps)
    for k in numbers:
        trainer.step(k)
        loop.step()
    for one, other in zip(network.parameters(), copied.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
