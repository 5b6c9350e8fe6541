r"""The implicit generator.

What training minimises is checked over the width c of a draw: $X = c e$ against $Y \sim N(0, 1)$.
With few atoms a divergence as it is has its minimum below c = 1; what `Implicit` minimises has it
at 1 (`generators.implicit` says why).
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


def silent(made, c=1.0):
    """The generator with its base at N(0, 1) and its field known."""
    made.base.floor = 0.0
    for p in made.base.parameters():
        nn.init.zeros_(p)
    made.field = Widen(c)
    return made


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_promises(divergence):
    # a loss that falls with the number of drawn atoms needs that number fixed
    made = Implicit((2,), 3, width=16, depth=1, divergence=divergence, draws=8)
    check_generator(made, (2,), 3)


def test_promises_of_the_default():
    check_generator(Implicit((1, 2, 2), 3, width=16, depth=1), (1, 2, 2), 3)


def test_it_starts_from_the_base():
    made = silent(Implicit((2,), 3))
    z = torch.zeros(2, 3)
    e = torch.randn(2, 50, 2, generator=stream("draw"))
    torch.testing.assert_close(made.sample(z, 50, stream("draw")), e)


def vertex(loss, widths=(0.8, 1.0, 1.2)):
    """Where a parabola through three mean losses is least, and the standard error of that.

    The noise of all three is common, so the error is that of the vertex set by set.
    """
    low, mid, high = (loss(c).detach().double() for c in widths)
    h = widths[1] - widths[0]
    curvature = float((low - 2 * mid + high).mean())
    slopes = h * (low - high) / 2 / curvature
    return widths[1] + float(slopes.mean()), float(slopes.std()) / math.sqrt(len(slopes))


@pytest.mark.parametrize(("divergence", "plain"), [("energy", Energy()), ("sliced", SlicedW2())])
def test_16_atoms_do_not_shrink_what_is_minimised(divergence, plain):
    sets, m = 800, 16
    y, x = (torch.randn(sets, m, 1, generator=stream(k)) for k in "yx")
    target, z = SetBatch.from_dense(y), torch.zeros(sets, 2)

    def ours(c):
        return silent(Implicit((1,), 2, divergence=divergence), c).loss(target, z, stream("e"))

    at, error = vertex(ours)
    # a parabola over 0.8 to 1.2 is good to about 0.01: the losses are nearly even in log c
    assert error < 0.03
    assert at == pytest.approx(1, abs=4 * error + 0.01)
    # measured: 0.88 for the energy distance, 0.86 for the sliced one
    at, error = vertex(lambda c: plain(SetBatch.from_dense(c * x), target))
    assert at + 4 * error < 0.97


def test_training_on_16_atoms_keeps_the_variance():
    # mean and log variance are told, and the base stays N(0, 1): all is left to the field
    rng = stream("train")
    made = silent(Implicit((1,), 2, width=32, depth=1))
    fresh = Implicit((1,), 2, width=32, depth=1)
    made.field = fresh.field
    optimizer = torch.optim.Adam(made.field.parameters(), lr=5e-3)
    steps = 200
    for k in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * (1 + math.cos(math.pi * k / steps)) / 2
        z = torch.rand(16, 2, generator=rng) * 2 - 1
        x = z[:, :1] + (0.5 * z[:, 1:]).exp() * torch.randn(16, 16, generator=rng)
        optimizer.zero_grad()
        made.loss(SetBatch.from_dense(x.unsqueeze(2)), z, rng).mean().backward()
        optimizer.step()
    z = torch.rand(40, 2, generator=stream("z")) * 2 - 1
    drawn = made.sample(z, 4000, stream("draw"))[:, :, 0]
    ratio = drawn.var(1) / z[:, 1].exp()
    # 51,200 training atoms would give the variance to 0.006, minibatches to a few times that; a
    # plain energy distance of 16 atoms would settle at 0.88^2 = 0.77
    assert float(ratio.mean()) == pytest.approx(1, abs=0.08)
    assert (drawn.mean(1) - z[:, 0]).abs().mean() < 0.1


@pytest.mark.parametrize("draws", [None, 5])
def test_any_number_and_weights(draws):
    made = Implicit((2,), 3, width=16, depth=1, draws=draws)
    x = [torch.randn(m, 2, generator=stream("x", m)) for m in (1, 2, 30)]
    batch = SetBatch.from_list(x, [torch.rand(len(s), generator=stream("w")) + 0.1 for s in x])
    loss = made.loss(batch, torch.zeros(3, 3), stream("noise"))
    assert loss.shape == (3,)
    assert loss.isfinite().all()


def test_units_do_not_move_the_loss():
    x = torch.randn(20, 6, 2, generator=stream("x"))
    z = torch.randn(20, 3, generator=stream("z"))
    made = Implicit((2,), 3, width=16, depth=1)
    losses = []
    for unit in (1.0, 1000.0):
        batch = SetBatch.from_dense(unit * x)
        made.prepare(batch, z)
        losses.append(made.loss(batch, z, stream("noise")))
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-3)


def test_directions_are_fresh():
    seen = []

    class Spy(SlicedW2):
        def __call__(self, a, b):
            seen.append(self.seed)
            return super().__call__(a, b)

    made = Implicit((2,), 3, width=16, depth=1, divergence=Spy(8))
    seen.clear()
    batch = SetBatch.from_dense(torch.randn(2, 4, 2, generator=stream("x")))
    rng = stream("noise")
    for _ in range(2):
        made.loss(batch, torch.zeros(2, 3), rng)
    # the same for both terms of a step, others at the next
    assert seen[0] == seen[1] != seen[2] == seen[3]


def test_the_field_does_not_move_the_base():
    made = Implicit((2,), 3, width=16, depth=1)
    batch = SetBatch.from_dense(torch.randn(4, 9, 2, generator=stream("x")) * 2 + 1)
    z = torch.randn(4, 3, generator=stream("z"))
    gradients = []
    for loss in (
        made.loss(batch, z, stream("loss")),
        made.base.negative_log_likelihood(batch, made.base(z)),
    ):
        made.zero_grad()
        loss.sum().backward()
        gradients.append([p.grad.clone() for p in made.base.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_reduced_precision_keeps_float32():
    made = Implicit((2,), 3, width=16, depth=1)
    batch = SetBatch.from_dense(torch.randn(4, 9, 2, generator=stream("x")))
    with reduced_to(torch.bfloat16):
        loss = made.loss(batch, torch.zeros(4, 3), stream("noise"))
        assert made.sample(torch.zeros(4, 3), 5, stream("draw")).dtype == torch.float32
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
def test_what_cannot_train_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Implicit((2,), 3, **options)
