"""Where encoder and generator meet: standardising, shrinking, and the loss."""

import numpy as np
import pytest
import torch
from torch import nn

from distembed.batch import SetBatch
from distembed.data.synthetic.gaussians import Gaussians
from distembed.data.transforms.chain import Chain
from distembed.encoders.deepsets import DeepSets
from distembed.encoders.moments import Moments
from distembed.generators.flow import Flow
from distembed.model.network import Network
from distembed.protocols import Step
from distembed.rng import stream

LATENT = 5
SIZES = [8, 16, 64]


def network(objectives=(), transform=()):
    torch.manual_seed(0)
    encoder, generator = Moments((2,), LATENT), Flow((2,), LATENT + 1, width=16, depth=1)
    return Network(encoder, generator, Chain.build(transform), LATENT, objectives)


def sets(count=400, size=256, seed=0):
    return Gaussians.prior(count, 2, 10, size=size, seed=seed)


@pytest.fixture(scope="module")
def prepared():
    made = network()
    made.prepare(sets().batch(range(400)), SIZES, stream("prepare"))
    return made


@torch.no_grad()
def test_without_a_size_the_embedding_is_left_alone(prepared):
    z = torch.randn(7, LATENT, generator=stream("z"))
    condition = prepared.condition(z)
    u = (z - prepared.z_centre) / prepared.z_scale
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
    encoder, generator = DeepSets((2,), 12), Flow((2,), 13, width=16, depth=1)
    made = Network(encoder, generator, Chain.build(()), 12)
    made.prepare(sets().batch(range(400)), SIZES, stream("prepare"))
    fixed = encoder.fixed
    assert 0 < fixed < 12
    assert made.linear[:, :fixed].any()
    assert not made.linear[:, fixed:].any()
    # nor do they say how far others shrink: they mean something else after a step
    assert not made.linear[[*range(fixed, 12), *range(13 + fixed, 25)]].any()


def step(b=4, seed=0):
    data = sets(count=b, seed=seed)
    context = data.batch(range(b), 10, stream("context"))
    target = data.batch(range(b), 6, stream("target"))
    return Step(context, target, torch.arange(b), 0, stream("noise"))


def test_the_loss_is_one_number_a_set(prepared):
    loss = prepared.loss(step())
    assert loss.shape == (4,)
    assert loss.isfinite().all()


def test_gradient_reaches_what_is_trained():
    made = network()
    made.loss(step()).sum().backward()
    silent = [n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_objectives_are_added():
    seen = []

    def objective(model, given, z):
        seen.append((model, given, z))
        return torch.arange(4.0)

    plain, more = network(), network(objectives=[objective, objective])
    given = step()
    wanted = plain.loss(step()) + 2 * torch.arange(4.0)
    torch.testing.assert_close(more.loss(given), wanted)
    model, asked, z = seen[0]
    assert model is more
    assert asked is given
    assert z.equal(more.encode(given.context))


def test_an_objective_with_weights_is_refused():
    with pytest.raises(TypeError, match="Linear has parameters"):
        network(objectives=[nn.Linear(2, 2)])


def test_atoms_are_transformed_before_they_are_embedded():
    scale = [{"name": "arcsinh", "cofactor": 2.0}]
    plain, made = network(), network(transform=scale)
    batch = sets().batch(range(4))
    ground = batch.replace(x=torch.asinh(batch.x / 2))
    assert made.to_ground(batch).x.equal(ground.x)
    assert made.encode(batch).equal(plain.encode(ground))


def test_float64_data_are_welcome():
    made = network()
    batch = sets().batch(range(4)).to(dtype=torch.float64)
    z = made.encode(batch)
    assert z.dtype == torch.float32
    assert made.to_ground(batch).x.dtype == torch.float32


def test_sets_that_are_all_alike_can_be_prepared_on():
    made = network()
    one = torch.randn(1, 30, 2, generator=stream("one"))
    made.prepare(SetBatch.from_dense(one.expand(20, 30, 2)), SIZES, stream("prepare"))
    z = made.encode(SetBatch.from_dense(one))
    assert made.condition(z).isfinite().all()
    assert np.isfinite(made.sample(z, 5, stream("draw")).numpy()).all()
