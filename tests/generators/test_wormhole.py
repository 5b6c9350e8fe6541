"""The fixed-size decoder of the Wormhole baseline."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.divergences.sinkhorn import Sinkhorn
from distembed.generators.wormhole import Wormhole
from distembed.nn.precision import reduced_to
from distembed.rng import stream


def test_a_sample_is_the_decoded_atoms_in_random_order():
    model = Wormhole((1, 2), latent=3, atoms=8)
    z = torch.randn(2, 3, generator=stream("z"))
    one, two = (model.sample(z, 8, stream("order", k)) for k in range(2))
    assert one.shape == (2, 8, 1, 2)
    assert not one.equal(two)
    # the same atoms, and another order for each set
    row = one.flatten(2)[:, :, 0]
    torch.testing.assert_close(row.sort(1).values, two.flatten(2)[:, :, 0].sort(1).values)
    same = model.sample(z[:1].expand(2, -1), 8, stream("order"))
    assert not same[0].equal(same[1])
    assert model.sample(z, 8, stream("order", 0)).equal(one)


@pytest.mark.parametrize("n", [1, 7, 9])
def test_another_number_of_atoms_is_refused(n):
    model = Wormhole((2,), latent=3, atoms=8)
    with pytest.raises(ValueError, match=rf"n = {n} .* k = 8 .*atoms={n}.*'flow'"):
        model.sample(torch.zeros(1, 3), n, stream("draw"))


def test_the_loss_is_the_divergence_of_decoded_atoms_in_training_units():
    model = Wormhole((2,), latent=3, atoms=8)
    x = 100 * torch.randn(40, 30, 2, generator=stream("x")) + 1000
    z = torch.randn(40, 3, generator=stream("z"))
    model.prepare(SetBatch.from_dense(x), z)
    # overall deviation of 2,400 numbers, 1 / sqrt(2 * 2400) of it is its standard error
    assert float(model.unit) == pytest.approx(100, rel=0.08)
    target = SetBatch.from_list([x[0], x[1, :5]], [[1.0] * 30, [3.0, 1.0, 1.0, 1.0, 0.0]])
    atoms = SetBatch.from_dense(model.sample(z[:2], 8, stream("order")))
    expected = Sinkhorn()(atoms, target) / model.unit.square() / 2
    loss = model.loss(target, z[:2], stream("noise"))
    # float32 atoms near 1000, 6e-8 of it a rounding
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=0)


def test_units_do_not_move_the_loss():
    x = torch.randn(10, 6, 2, generator=stream("x"))
    z = torch.randn(10, 3, generator=stream("z"))
    model = Wormhole((2,), latent=3, atoms=8)
    losses = []
    for unit in (1.0, 1000.0):
        batch = SetBatch.from_dense(unit * x)
        model.prepare(batch, z)
        losses.append(model.loss(batch, z, stream("noise")))
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)


def test_gradients_reach_everything_and_reduced_precision_works():
    model = Wormhole((2,), latent=3, atoms=8)
    batch = SetBatch.from_dense(torch.randn(4, 6, 2, generator=stream("x")))
    z = torch.randn(4, 3, generator=stream("z"), requires_grad=True)
    with reduced_to(torch.bfloat16):
        loss = model.loss(batch, z, stream("noise"))
        assert model.sample(z, 8, stream("draw")).dtype == torch.float32
    assert loss.shape == (4,)
    assert loss.dtype == torch.float32
    loss.sum().backward()
    assert all(p.grad.any() for p in model.parameters())
    assert z.grad.any(1).all()


@pytest.mark.slow
def test_it_learns_a_shift():
    rng = stream("train")
    model = Wormhole((2,), latent=1, width=32, atoms=16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(80):
        z = torch.rand(16, 1, generator=rng) * 4 - 2
        x = z[:, None] + 0.3 * torch.randn(16, 16, 2, generator=rng)
        optimizer.zero_grad()
        model.loss(SetBatch.from_dense(x), z, rng).mean().backward()
        optimizer.step()
    z = torch.tensor([[-1.5], [0.0], [1.5]])
    atoms = model.sample(z, 16, rng)
    # a mean of the 24,000 atoms near a z would be good to 0.01; the rest is training
    assert (atoms.mean(1) - z).abs().max() < 0.1
    assert atoms.std(1).mean() == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"atoms": 0}, "atoms = 0"), ({"divergence": "kl"}, "There is no divergence 'kl'")],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Wormhole((2,), latent=3, **options)
