"""Every generator by name satisfies the laws of the protocol, on the kinds it is defined for.

Each member is built with its example options, and meets each of its kinds of atoms at one shape.
The shapes rotate over the members, so that every shape meets some members and every member a full
and a diagonal base; all members at all shapes would find no more.
"""

import pytest
import torch
from generator_fakes import TOKEN_GENERATORS

from distembed.generators import GENERATORS
from distembed.protocols import GeneratorTraits, generator_traits
from distembed.registry import build, lookup
from distembed.rng import stream
from distembed.testing import check_generator

LATENT = 3
SHAPES = {
    "vectors": [(5,), (1,), (40,)],
    "counts": [(4,)],
    "images": [(1, 8, 8)],
    "tokens": [(6,), (1,)],
}


def counts(shape):
    def draw(m, rng):
        rate = 5 * torch.rand(shape, generator=rng, dtype=torch.float64)
        return torch.poisson(rate.expand(m, *shape), generator=rng)

    return draw


def tokens(shape, vocab=4):
    def draw(m, rng):
        x = torch.randint(1, vocab + 1, (m, *shape), generator=rng)
        length = torch.randint(1, shape[0] + 1, (m, 1), generator=rng)
        return torch.where(torch.arange(shape[0]) < length, x, 0)

    return draw


DRAWS = {"counts": counts, "tokens": tokens}


def cases(family):
    for number, (name, member) in enumerate(family.items()):
        for kind in member.atoms:
            shape = SHAPES[kind][number % len(SHAPES[kind])]
            yield pytest.param(family, name, kind, shape, id=f"{name}-{kind}-{shape}")


def make(name, event_shape, family=GENERATORS, **options):
    options = {"name": name, **family[name].example, **options}
    try:
        return build(family, options, "generator", event_shape, LATENT)
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("family", "name", "kind", "shape"), [*cases(GENERATORS), *cases(TOKEN_GENERATORS)]
)
def test_laws(family, name, kind, shape):
    atoms = DRAWS[kind](shape) if kind in DRAWS else None
    report = check_generator(make(name, shape, family), shape, LATENT, atoms=atoms)
    assert {c.law for c in report.checks} >= {"seed", "zero", "independence", "weights"}


def test_every_shape_meets_a_member():
    shapes = {case.values[3] for case in cases(GENERATORS)}
    assert shapes == {shape for kind in SHAPES for shape in SHAPES[kind]}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("flow", {"sampler": "ancestral", "calls": 4}),
        ("flow", {"dropout": 0.5}),
        ("flow", {"base_network": True}),
    ],
    ids=str,
)
def test_laws_hold_for_options(name, options):
    check_generator(make(name, (5,), **options), (5,), LATENT)


@pytest.mark.parametrize("name", GENERATORS)
def test_an_unprepared_generator_works(name):
    generator = make(name, (2,))
    z = torch.randn(4, LATENT, generator=stream("z"))
    n = generator_traits(generator).fixed_size or 6
    assert generator.sample(z, n, stream("draw")).isfinite().all()


@pytest.mark.parametrize(
    ("name", "options", "traits"),
    [
        ("flow", {}, GeneratorTraits()),
        ("diffusion", {"calls": 4}, GeneratorTraits()),
        ("explicit", {}, GeneratorTraits(masked=True)),
        ("explicit", {"likelihood": "mixture", "width": 8}, GeneratorTraits()),
        ("explicit", {"likelihood": "poisson"}, GeneratorTraits(raw_atoms=True)),
        ("vae", {}, GeneratorTraits()),
        ("vae", {"likelihood": "bernoulli", "width": 8}, GeneratorTraits(raw_atoms=True)),
        ("wormhole", {}, GeneratorTraits(fixed_size=64)),
        ("wormhole", {"atoms": 7}, GeneratorTraits(fixed_size=7)),
    ],
)
def test_traits_are_the_same_before_and_after_construction(name, options, traits):
    assert generator_traits(lookup(GENERATORS, name, "generator"), **options) == traits
    assert generator_traits(make(name, (2,), **options)) == traits


def test_traits_of_a_foreign_module():
    class Described(torch.nn.Module):
        traits = GeneratorTraits(fixed_size=3)

    assert generator_traits(torch.nn.Identity()) == GeneratorTraits()
    assert generator_traits(Described()).fixed_size == 3


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("flow", {"calls": 0}, "two network calls a step"),
        ("flow", {"calls": 5}, "two network calls a step"),
        ("diffusion", {"calls": 0}, "at least one network call"),
        ("diffusion", {"sampler": "euler"}, "'heun', 'ddim', 'ancestral'"),
        ("flow", {"guidance": 2.0}, "trained without embeddings"),
        ("flow", {"dropout": 1.0}, r"in \[0, 1\)"),
        ("flow", {"dropout": -0.1}, r"in \[0, 1\)"),
        ("flow", {"backbone": "gnn"}, "no backbone 'gnn'; there are: mlp, unet"),
    ],
)
def test_invalid_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, (2,), **options)
