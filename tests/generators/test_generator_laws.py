"""Every generator that can be named keeps the promises of the protocol."""

import pytest
import torch

from distembed.generators import GENERATORS
from distembed.registry import build
from distembed.rng import stream
from distembed.testing import check_generator

LATENT = 3


def make(name, event_shape, **options):
    return build(GENERATORS, {"name": name, **options}, "generator", event_shape, LATENT)


def test_the_family_is_not_empty():
    assert set(GENERATORS) >= {"flow", "diffusion"}


@pytest.mark.parametrize("event_shape", [(1,), (5,), (1, 8, 8), (40,)], ids=str)
@pytest.mark.parametrize("name", GENERATORS)
def test_promises(name, event_shape):
    report = check_generator(make(name, event_shape), event_shape, LATENT)
    assert {c.law for c in report.checks} >= {"seed", "zero", "independence", "weights"}


def test_the_ancestral_sampler_keeps_them_too():
    check_generator(make("diffusion", (5,), sampler="ancestral", calls=4), (5,), LATENT)


@pytest.mark.parametrize("name", GENERATORS)
def test_an_unprepared_generator_works(name):
    generator = make(name, (2,))
    z = torch.randn(4, LATENT, generator=stream("z"))
    n = getattr(generator, "fixed_size", 6)
    assert generator.sample(z, n, stream("draw")).isfinite().all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("flow", {"calls": 0}, "two network calls a step"),
        ("flow", {"calls": 5}, "two network calls a step"),
        ("diffusion", {"calls": 0}, "at least one network call"),
        ("diffusion", {"sampler": "euler"}, "'heun', 'ddim', 'ancestral'"),
    ],
)
def test_bad_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, (2,), **options)
