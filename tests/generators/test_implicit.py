r"""The implicit generator.

The loss is checked over the width c of a draw: $X = c e$ against $Y \sim N(0, 1)$.
Between small samples a plug-in divergence has its minimum below c = 1; the loss of `Implicit` has
it at 1 (`generators.implicit` explains why).
"""

import math

import pytest
import torch
from torch import nn

from distembed.batch import SetBatch
from distembed.divergences.energy import Energy
from distembed.divergences.sliced import SlicedW2
from distembed.generators.implicit import Implicit
from distembed.nn.precision import reduced_to
from distembed.rng import stream
from distembed.testing import check_generator

DIVERGENCES = ["energy", "mmd", "sliced", "sinkhorn"]


class Widen(nn.Module):
    """A field that multiplies noise by c."""

    def __init__(self, c):
        super().__init__()
        self.c = c

    def forward(self, e, z, t, expand):
        return (self.c - 1) * e


def exact(model, c=1.0):
    """Set the base to N(0, 1) and the field to a multiple of the noise."""
    model.base.floor = 0.0
    for p in model.base.parameters():
        nn.init.zeros_(p)
    model.field = Widen(c)
    return model


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_laws(divergence):
    # a loss that falls with the number of drawn atoms needs that number fixed
    model = Implicit((2,), 3, width=16, depth=1, divergence=divergence, draws=8)
    check_generator(model, (2,), 3)


def test_laws_of_the_default():
    check_generator(Implicit((1, 2, 2), 3, width=16, depth=1), (1, 2, 2), 3)


def test_it_starts_from_the_base():
    model = exact(Implicit((2,), 3))
    z = torch.zeros(2, 3)
    e = torch.randn(2, 50, 2, generator=stream("draw"))
    torch.testing.assert_close(model.sample(z, 50, stream("draw")), e)


def vertex(loss, widths=(0.8, 1.0, 1.2)):
    """Return the minimum of a parabola through three mean losses, and its standard error.

    All three losses have the same noise, so the error is that of the vertices of single sets.
    """
    low, mid, high = (loss(c).detach().double() for c in widths)
    h = widths[1] - widths[0]
    curvature = float((low - 2 * mid + high).mean())
    slopes = h * (low - high) / 2 / curvature
    return widths[1] + float(slopes.mean()), float(slopes.std()) / math.sqrt(len(slopes))


@pytest.mark.parametrize(("divergence", "plain"), [("energy", Energy()), ("sliced", SlicedW2())])
def test_the_loss_of_16_atoms_has_its_minimum_at_the_truth(divergence, plain):
    sets, m = 800, 16
    y, x = (torch.randn(sets, m, 1, generator=stream(k)) for k in "yx")
    target, z = SetBatch.from_dense(y), torch.zeros(sets, 2)

    def unbiased(c):
        return exact(Implicit((1,), 2, divergence=divergence), c).loss(target, z, stream("e"))

    at, error = vertex(unbiased)
    # a parabola over 0.8 to 1.2 is good to about 0.01: the losses are nearly even in log c
    assert error < 0.03
    assert at == pytest.approx(1, abs=4 * error + 0.01)
    # measured: 0.88 for the energy distance, 0.86 for the sliced one
    at, error = vertex(lambda c: plain(SetBatch.from_dense(c * x), target))
    assert at + 4 * error < 0.97


@pytest.mark.slow
def test_training_on_16_atoms_keeps_the_variance():
    # z is the mean and the log variance, and the base stays N(0, 1): the field learns both
    rng = stream("train")
    model = exact(Implicit((1,), 2, width=32, depth=1))
    fresh = Implicit((1,), 2, width=32, depth=1)
    model.field = fresh.field
    optimizer = torch.optim.Adam(model.field.parameters(), lr=5e-3)
    steps = 200
    for k in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * (1 + math.cos(math.pi * k / steps)) / 2
        z = torch.rand(16, 2, generator=rng) * 2 - 1
        x = z[:, :1] + (0.5 * z[:, 1:]).exp() * torch.randn(16, 16, generator=rng)
        optimizer.zero_grad()
        model.loss(SetBatch.from_dense(x.unsqueeze(2)), z, rng).mean().backward()
        optimizer.step()
    z = torch.rand(40, 2, generator=stream("z")) * 2 - 1
    x = model.sample(z, 4000, stream("draw"))[:, :, 0]
    ratio = x.var(1) / z[:, 1].exp()
    # 51,200 training atoms would give the variance to 0.006, minibatches to a few times that; a
    # plain energy distance of 16 atoms would settle at 0.88^2 = 0.77
    assert float(ratio.mean()) == pytest.approx(1, abs=0.08)
    assert (x.mean(1) - z[:, 0]).abs().mean() < 0.1


@pytest.mark.parametrize("draws", [None, 5])
def test_any_number_and_weights(draws):
    model = Implicit((2,), 3, width=16, depth=1, draws=draws)
    x = [torch.randn(m, 2, generator=stream("x", m)) for m in (1, 2, 30)]
    batch = SetBatch.from_list(x, [torch.rand(len(s), generator=stream("w")) + 0.1 for s in x])
    loss = model.loss(batch, torch.zeros(3, 3), stream("noise"))
    assert loss.shape == (3,)
    assert loss.isfinite().all()


def test_units_do_not_move_the_loss():
    x = torch.randn(20, 6, 2, generator=stream("x"))
    z = torch.randn(20, 3, generator=stream("z"))
    model = Implicit((2,), 3, width=16, depth=1)
    losses = []
    for unit in (1.0, 1000.0):
        batch = SetBatch.from_dense(unit * x)
        model.prepare(batch, z)
        losses.append(model.loss(batch, z, stream("noise")))
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-3)


def test_directions_are_drawn_anew_at_every_step():
    seeds = []

    class Spy(SlicedW2):
        def __call__(self, a, b):
            seeds.append(self.seed)
            return super().__call__(a, b)

    model = Implicit((2,), 3, width=16, depth=1, divergence=Spy(8))
    seeds.clear()
    batch = SetBatch.from_dense(torch.randn(2, 4, 2, generator=stream("x")))
    rng = stream("noise")
    for _ in range(2):
        model.loss(batch, torch.zeros(2, 3), rng)
    # the same for both terms of a step, and new ones at the next
    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]


def test_reduced_precision_keeps_float32():
    model = Implicit((2,), 3, width=16, depth=1)
    batch = SetBatch.from_dense(torch.randn(4, 9, 2, generator=stream("x")))
    with reduced_to(torch.bfloat16):
        loss = model.loss(batch, torch.zeros(4, 3), stream("noise"))
        assert model.sample(torch.zeros(4, 3), 5, stream("draw")).dtype == torch.float32
    assert loss.dtype == torch.float32
    loss.sum().backward()


def of_equal_sizes(a, b):
    return (a.x.view(len(a), -1) - b.x.view(len(b), -1)).square().mean(1)


def without_a_gradient(a, b):
    return Energy()(a, b).detach()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"divergence": "kl"}, "There is no divergence 'kl'; there are: .*energy"),
        ({"divergence": of_equal_sizes}, "two atoms with one of three .*divergence='energy'"),
        ({"divergence": without_a_gradient}, "without a gradient .*divergence='energy'"),
        ({"draws": 0}, "draws = 0"),
    ],
)
def test_divergences_that_cannot_train_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Implicit((2,), 3, **options)
