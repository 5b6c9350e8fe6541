"""The conditioned field and its features of time."""

import torch

from distembed.batch import SetBatch
from distembed.nn.film import FiLMNet
from distembed.nn.time import TimeFeatures
from distembed.rng import stream


def net(dim=3, latent=4, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = FiLMNet(dim, latent, width=16, depth=2, **options).double()
        with torch.no_grad():  # away from the start, where the field is almost silent
            for p in made.parameters():
                p.add_(0.3 * torch.randn_like(p))
    return made


def inputs(b=3, n=5, dim=3, latent=4):
    rng = stream("film")
    x = torch.randn(b, n, dim, generator=rng, dtype=torch.float64)
    z = torch.randn(b, latent, generator=rng, dtype=torch.float64)
    t = torch.rand(b, n, generator=rng, dtype=torch.float64)
    return x, z, t


def wide(h):
    return h.unsqueeze(1)


def test_packed_and_dense_atoms_have_the_same_field():
    x, z, t = inputs()
    field, batch = net(), SetBatch.from_dense(x)
    packed = field(batch.x, z, t.flatten(), batch.expand)
    dense = field(x, z, t, wide)
    torch.testing.assert_close(packed.view_as(dense), dense, rtol=0, atol=1e-12)
    assert dense.shape == x.shape


def test_a_scalar_time_is_that_time_for_every_atom():
    x, z, _ = inputs()
    one = torch.tensor(0.3, dtype=torch.float64)
    torch.testing.assert_close(net()(x, z, one, wide), net()(x, z, one.expand(3, 5), wide))


def test_an_atom_sees_itself_its_set_and_its_time_alone():
    x, z, t = inputs()
    field = net()
    before = field(x, z, t, wide)
    for changed, arguments in (
        (x, lambda v: (v, z, t)),
        (t, lambda v: (x, z, v)),
    ):
        other = changed.clone()
        other[1, 2] += 0.5
        moved = (field(*arguments(other), wide) - before).abs().sum(-1) > 1e-12
        assert moved.nonzero().tolist() == [[1, 2]]
    other = z.clone()
    other[1] += 0.5
    moved = (field(x, other, t, wide) - before).abs().sum(-1) > 1e-12
    assert moved.any(1).tolist() == [False, True, False]
    assert moved[1].all()


def test_it_starts_near_silence_and_lets_gradient_through():
    x, z, t = (v.float() for v in inputs())
    torch.manual_seed(0)
    field = FiLMNet(3, 4, width=64)
    out = field(x, z, t, wide)
    assert 0 < out.abs().max() < 0.1 * x.abs().max()
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in field.parameters())


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
