"""Laws of every velocity network: a function of one atom, of its set and of its time."""

import math

import pytest
import torch

from distembed.batch import SetBatch
from distembed.nn.backbone import BACKBONES, backbone
from distembed.nn.time import TimeFeatures
from distembed.rng import stream

LATENT = 4
SHAPES = {"mlp": (3,), "unet": (2, 9, 12)}
NAMES = list(BACKBONES)


def network(name, moved=0.2, width=16):
    """Build a network in float64, moved away from its start, where the field is nearly zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        field = backbone(name, SHAPES[name], LATENT, width, 2).double()
        with torch.no_grad():
            for p in field.parameters():
                p.add_(moved * torch.randn_like(p))
    return field


def inputs(name, b=3, n=4):
    rng = stream("inputs")
    x = torch.randn(b, n, math.prod(SHAPES[name]), generator=rng, dtype=torch.float64)
    z = torch.randn(b, LATENT, generator=rng, dtype=torch.float64)
    return x, z, torch.rand(b, n, generator=rng, dtype=torch.float64)


def over_atoms(rows):
    return rows.unsqueeze(1)


def test_every_backbone_has_an_example():
    assert set(SHAPES) == set(BACKBONES)


@pytest.mark.parametrize("name", NAMES)
def test_packed_and_dense_atoms_have_the_same_field(name):
    x, z, t = inputs(name)
    field, batch = network(name), SetBatch.from_dense(x)
    packed = field(batch.x, z, t.flatten(), batch.expand)
    dense = field(x, z, t, over_atoms)
    torch.testing.assert_close(packed.view_as(dense), dense, rtol=0, atol=1e-12)
    assert dense.shape == x.shape


@pytest.mark.parametrize("name", NAMES)
def test_a_scalar_time_is_the_time_of_every_atom(name):
    x, z, t = inputs(name)
    one, field = torch.tensor(0.3, dtype=torch.float64), network(name)
    expected = field(x, z, one.expand_as(t), over_atoms)
    torch.testing.assert_close(field(x, z, one, over_atoms), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_field_of_an_atom_depends_on_itself_its_set_and_its_time(name):
    x, z, t = inputs(name)
    field = network(name)
    before = field(x, z, t, over_atoms)

    def changed(x, z, t):
        return (field(x, z, t, over_atoms) - before).abs().sum(-1) > 1e-12

    for value, arguments in ((x, lambda v: (v, z, t)), (t, lambda v: (x, z, v))):
        other = value.clone()
        other[1, 2] += 0.5
        assert changed(*arguments(other)).nonzero().tolist() == [[1, 2]]
    other = z.clone()
    other[1] += 0.5
    sets = changed(x, other, t)
    assert sets.any(1).tolist() == [False, True, False]
    assert sets[1].all()


@pytest.mark.parametrize("name", NAMES)
def test_the_field_starts_near_zero_and_passes_gradients(name):
    x, z, t = inputs(name)
    field = network(name, moved=0, width=64)
    z.requires_grad_()
    out = field(x, z, t, over_atoms)
    assert 0 < out.square().mean() < 0.02**2
    out.square().sum().backward()
    assert (z.grad != 0).all()
    for parameter, p in field.named_parameters():
        assert p.grad is not None, parameter
        assert p.grad.isfinite().all(), parameter
        assert p.grad.any(), parameter


def test_features_of_time():
    features = TimeFeatures(4)
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    f = features(t)
    assert f.shape == (9, features.size) == (9, 9)
    torch.testing.assert_close(f[:, 0], t)
    torch.testing.assert_close(f[:, 1:5].square() + f[:, 5:].square(), torch.ones(9, 4).double())
    torch.testing.assert_close(f[:, 2], torch.cos(torch.pi * t))
    # a quarter period: the two ends are a right angle apart in the slowest pair
    torch.testing.assert_close(f[[0, -1], 1], torch.tensor([1.0, 0.0]).double())
    assert features(t.view(3, 3)).shape == (3, 3, 9)
