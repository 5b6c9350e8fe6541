"""Where encoder and generator meet: standardising, shrinking, and the loss."""

import numpy as np
import pytest
import torch
from torch import nn

from distembed.batch import SetBatch
from distembed.data.synthetic.gaussians import Gaussians
from distembed.data.transforms.chain import Chain
from distembed.encoders.joined import Joined
from distembed.encoders.moments import Moments
from distembed.generators.flow import Flow
from distembed.model import CONDITIONINGS
from distembed.model.conditioning import Direct, Shrinkage, Size
from distembed.model.network import Network
from distembed.protocols import Step
from distembed.registry import build
from distembed.rng import stream

LATENT = 5
SIZES = [8, 16, 64]


def network(objectives=(), transform=()):
    torch.manual_seed(0)
    encoder, generator = Moments((2,), LATENT), Flow((2,), LATENT + 1, width=16, depth=1)
    conditioning = Shrinkage(LATENT)
    return Network(encoder, conditioning, generator, Chain.build(transform), objectives)


def sets(count=400, size=256, seed=0):
    return Gaussians.prior(count, 2, 10, size=size, seed=seed)


@pytest.fixture(scope="module")
def prepared():
    net = network()
    net.prepare(sets().batch(range(400)), SIZES, stream("prepare"))
    return net


@torch.no_grad()
def test_without_a_size_the_embedding_is_left_alone(prepared):
    z = torch.randn(7, LATENT, generator=stream("z"))
    condition = prepared.condition(z)
    u = prepared.conditioning.standardise(z)
    assert condition.shape == (7, LATENT + 1)
    assert condition[:, :LATENT].equal(u)
    assert not condition[:, LATENT].any()
    endless = prepared.condition(z, torch.full((7,), torch.inf))
    assert endless.equal(condition)


@torch.no_grad()
def test_more_atoms_are_shrunk_less(prepared):
    z = prepared.encode(sets(seed=1).batch(range(50)))
    whole = prepared.condition(z)
    gaps = [
        float((prepared.condition(z, torch.full((50,), float(m))) - whole).norm())
        for m in (8, 80, 800, 80_000)
    ]
    assert gaps == sorted(gaps, reverse=True)
    # s = sqrt(8 / (8 + m)): a hundredth at 80,000 atoms
    assert gaps[-1] < 0.02 * gaps[0]


def test_embeddings_are_standardised(prepared):
    z = prepared.encode(sets().batch(range(400)))
    u = prepared.condition(z)[:, :LATENT].detach()
    # each set was prepared on with these very atoms
    torch.testing.assert_close(u.mean(0), torch.zeros(LATENT), rtol=0, atol=1e-4)
    assert (u.std(0, unbiased=False) < 1 + 1e-4).all()
    assert u.std(0, unbiased=False).max() > 1 - 1e-4


@pytest.mark.parametrize("m", [8, 30])
@torch.no_grad()
def test_shrinkage_brings_a_small_sample_closer_to_the_whole(prepared, m):
    unseen = sets(count=600, seed=1)
    few = unseen.batch(range(600), m, stream("few"))
    whole = prepared.condition(prepared.encode(unseen.batch(range(600), 4000, stream("whole"))))
    z = prepared.encode(few)
    plain, shrunk = prepared.condition(z), prepared.condition(z, few.effective_sizes)
    error = [(c - whole)[:, :LATENT].square().sum(1) for c in (plain, shrunk)]
    gain = error[0] - error[1]
    # paired over 600 unseen sets
    assert gain.mean() > 5 * gain.std() / len(gain) ** 0.5
    assert error[1].mean() < error[0].mean()


@torch.no_grad()
def test_shrinkage_does_no_harm_to_large_samples(prepared):
    unseen = sets(count=200, seed=1)
    many = unseen.batch(range(200), 1000, stream("many"))
    whole = prepared.condition(prepared.encode(unseen.batch(range(200), 20_000, stream("whole"))))
    z = prepared.encode(many)
    plain, shrunk = prepared.condition(z), prepared.condition(z, many.effective_sizes)
    errors = [float((c - whole)[:, :LATENT].square().sum(1).mean()) for c in (plain, shrunk)]
    # a size beyond any that was looked at is extrapolated
    assert errors[1] < 1.2 * errors[0]


@torch.no_grad()
def test_coordinates_that_training_moves_are_not_shrunk_at_the_start():
    torch.manual_seed(0)
    encoder = Joined((2,), 15, ["closed_form", {"name": "deepsets", "width": 8}])
    net = Network(encoder, Shrinkage(15), Flow((2,), 16, width=16, depth=1), Chain.build(()))
    net.prepare(sets().batch(range(400)), SIZES, stream("prepare"))
    informed, linear = encoder.traits.informed, net.conditioning.linear
    assert informed == 13
    assert linear[:, :informed].any()
    assert not linear[:, informed:].any()
    # nor do they say how far others shrink: they mean something else after a step
    assert not linear[[13, 14, 29, 30]].any()


@torch.no_grad()
@pytest.mark.parametrize("name", CONDITIONINGS)
def test_every_conditioning_ends_at_the_embedding(name):
    conditioning = build(CONDITIONINGS, name, "conditioning", LATENT)
    z = 3 + torch.randn(200, LATENT, generator=stream("z")) * torch.tensor([1, 2, 4, 1e-3, 0])
    conditioning.prepare(z, lambda: [], 0)
    exact = conditioning(z)
    assert exact.shape == (200, conditioning.outputs)
    assert exact.equal(conditioning(z, torch.full((200,), torch.inf)))
    if name == "none":
        assert exact is z
        return
    u = exact[:, :LATENT]
    torch.testing.assert_close(u.mean(0), torch.zeros(LATENT), rtol=0, atol=1e-4)
    # a coordinate below 3 % of the largest deviation is not scaled up to one
    deviation = z.std(0, unbiased=False)
    expected = deviation / deviation.clamp_min(0.03 * deviation.max())
    torch.testing.assert_close(u.std(0, unbiased=False), expected, rtol=1e-3, atol=1e-6)
    s = conditioning(z, torch.full((200,), 24.0))[:, LATENT]
    torch.testing.assert_close(s, torch.full((200,), 0.5))  # sqrt(8 / (8 + 24))


def test_without_its_network_the_shrinkage_is_linear_and_has_no_parameters():
    conditioning = Shrinkage(LATENT, network=False)
    assert not list(conditioning.parameters())
    z, sizes = torch.randn(3, LATENT, generator=stream("z")), torch.full((3,), 5.0)
    assert conditioning(z, sizes)[:, :LATENT].equal(z)  # unprepared: nothing to shrink towards


class Mean(nn.Module):
    """An encoder of somebody else's, of as many numbers as there are features."""

    def __init__(self, latent=2):
        super().__init__()
        self.latent = latent
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        return batch.mean(batch.x) + 0 * self.unused


class Ball(nn.Module):
    """A generator of somebody else's: a Gaussian around z, of unit deviation."""

    def __init__(self, columns=2, per_set=True):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(columns))
        self.per_set = per_set

    def loss(self, batch, z, rng):
        error = (batch.x - batch.expand(z * self.scale)[:, :2]).square().sum(1)
        return batch.mean(error) if self.per_set else error.mean()

    def sample(self, z, n, rng):
        noise = torch.randn(len(z), n, 2, generator=rng)
        return (z * self.scale)[:, None, :2] + noise


def prepare(encoder, conditioning, generator):
    net = Network(encoder, conditioning, generator, Chain.build(()))
    net.prepare(sets(20, 32).batch(range(20)), SIZES, stream("prepare"))
    return net


def test_nothing_is_added_to_the_modules_of_a_user():
    net = prepare(Mean(), Direct(2), Ball())
    assert sum(p.numel() for p in net.parameters()) == 1 + 2
    assert not list(net.buffers())
    batch = sets(4, 32).batch(range(4))
    z = net.encode(batch)
    assert z.equal(batch.mean(batch.x))
    one = step()
    expected = net.generator.loss(one.target, net.encode(one.context), one.rng)
    assert net(one).equal(expected)


def test_parts_that_do_not_fit_are_named_before_training():
    with pytest.raises(ValueError, match=r"Mean states latent = 3 and returned .*\(20, 2\)"):
        prepare(Mean(3), Direct(3), Ball(3))
    with pytest.raises(
        ValueError, match=r"Ball cannot score sets from 3 columns: .*3 columns for latent = 2"
    ):
        prepare(Mean(), Size(2), Ball(2))
    with pytest.raises(ValueError, match=r"Ball returned a loss of shape \(\) for 2 sets"):
        prepare(Mean(), Direct(2), Ball(per_set=False))
    with pytest.raises(TypeError, match=r"Linear has no attribute `latent`"):
        Network(nn.Linear(2, 2), Direct(2), Ball(), Chain.build(()))


def step(b=4, seed=0):
    data = sets(count=b, seed=seed)
    context = data.batch(range(b), 10, stream("context"))
    target = data.batch(range(b), 6, stream("target"))
    return Step(context, target, torch.arange(b), 0, stream("noise"))


def test_the_loss_is_one_number_a_set(prepared):
    loss = prepared(step())
    assert loss.shape == (4,)
    assert loss.isfinite().all()


def test_gradient_reaches_what_is_trained():
    net = network()
    net(step()).sum().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_objectives_are_added():
    seen = []

    def objective(model, context, z):
        seen.append((model, context, z))
        return torch.arange(4.0)

    plain, more = network(), network(objectives=[objective, objective])
    context = step()
    expected = plain(step()) + 2 * torch.arange(4.0)
    torch.testing.assert_close(more(context), expected)
    model, asked, z = seen[0]
    assert model is more
    assert asked is context
    assert z.equal(more.encode(context.context))


def test_an_objective_with_weights_is_refused():
    with pytest.raises(TypeError, match="Linear has parameters"):
        network(objectives=[nn.Linear(2, 2)])


def test_atoms_are_transformed_before_they_are_embedded():
    scale = [{"name": "arcsinh", "cofactor": 2.0}]
    plain, net = network(), network(transform=scale)
    batch = sets().batch(range(4))
    ground = batch.replace(x=torch.asinh(batch.x / 2))
    assert net.to_ground(batch).x.equal(ground.x)
    assert net.encode(batch).equal(plain.encode(ground))


def test_float64_data_are_welcome():
    net = network()
    batch = sets().batch(range(4)).to(dtype=torch.float64)
    z = net.encode(batch)
    assert z.dtype == torch.float32
    assert net.to_ground(batch).x.dtype == torch.float32


def test_sets_that_are_all_alike_can_be_prepared_on():
    net = network()
    one = torch.randn(1, 30, 2, generator=stream("one"))
    net.prepare(SetBatch.from_dense(one.expand(20, 30, 2)), SIZES, stream("prepare"))
    z = net.encode(SetBatch.from_dense(one))
    assert net.condition(z).isfinite().all()
    assert np.isfinite(net.sample(z, 5, stream("draw")).numpy()).all()
