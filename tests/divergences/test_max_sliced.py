"""Max-sliced transport against closed forms and a search over all directions of the plane."""

import math

import pytest
import torch

from distembed.batch import SetBatch
from distembed.divergences.exact import ExactW2
from distembed.divergences.max_sliced import MaxSlicedW2
from distembed.divergences.sliced import SlicedW2
from distembed.rng import stream

F64 = torch.float64


def sets(sizes, d, *key):
    rng = stream("max sliced", *key)
    xs = [torch.randn(m, d, generator=rng, dtype=F64) for m in sizes]
    return SetBatch.from_list(xs, [torch.rand(m, generator=rng, dtype=F64) + 0.1 for m in sizes])


def test_on_the_line_it_is_exact():
    a, b = sets((1, 4, 9), 1, 0), sets((5, 3, 30), 1, 1)
    torch.testing.assert_close(MaxSlicedW2()(a, b), ExactW2()(a, b))


def test_on_the_plane_it_is_the_best_of_all_directions():
    a, b = sets((5, 20, 9, 40), 2, 2), sets((7, 15, 30, 3), 2, 3)
    angle = torch.arange(4000, dtype=F64) * math.pi / 4000
    every = torch.stack([angle.cos(), angle.sin()], 1)
    best = torch.stack([SlicedW2(along=[v])(a, b) for v in every[::20].tolist()]).amax(0)
    found = MaxSlicedW2()(a, b)
    # a direction that is off by t costs at most about t^2 / 2 of a smooth maximum
    assert (found > best - 1e-5).all()
    assert (found < 1.005 * best).all()


@pytest.mark.parametrize("d", [2, 10, 50])
def test_a_shift_and_a_stretch_along_one_axis(d):
    """Along u alone the sets differ, so that u is best and the value is that of the line."""
    rng = stream("axis", d)
    x = torch.randn(1, 40, d, generator=rng, dtype=F64)
    u = torch.nn.functional.normalize(torch.randn(d, generator=rng, dtype=F64), dim=0)
    a = SetBatch.from_dense(x - x.mean(1, keepdim=True))
    along = (a.x @ u)[:, None]
    shifted = a.replace(x=a.x + 1.3 * u)
    assert MaxSlicedW2()(a, shifted).item() == pytest.approx(1.3, rel=1e-9)
    stretched = a.replace(x=a.x + 2 * along * u)
    wanted = 2 * along.square().mean().sqrt()
    assert MaxSlicedW2()(a, stretched).item() == pytest.approx(float(wanted), rel=1e-4)
    assert SlicedW2()(a, stretched) < MaxSlicedW2()(a, stretched)


def test_between_sliced_and_exact():
    a, b = sets((10,) * 8, 4, 4), sets((12,) * 8, 4, 5)
    found = MaxSlicedW2()(a, b)
    assert (found <= ExactW2()(a, b) + 1e-12).all()
    assert (found >= SlicedW2(64)(a, b)).all()


def test_ascent_only_improves():
    a, b = sets((20,) * 4, 8, 6), sets((25,) * 4, 8, 7)
    values = [MaxSlicedW2(steps=k)(a, b) for k in (0, 5, 20)]
    assert (values[0] < values[1]).all()
    assert (values[1] <= values[2]).all()


def test_gradient_is_that_along_the_best_direction():
    a, b = sets((4,), 2, 8), sets((3,), 2, 9)
    # the maximum can lie where two couplings tie, and has no derivative there; with a shift that
    # rules it lies elsewhere
    b = b.replace(x=b.x + torch.tensor([40.0, 30.0], dtype=F64))
    compare = MaxSlicedW2(candidates=4, starts=1, steps=60)
    inputs = [t.clone().requires_grad_() for t in (a.x, a.w, b.x)]
    assert torch.autograd.gradcheck(
        lambda x, w, y: compare(a.replace(x=x, w=w), b.replace(x=y)), inputs, atol=1e-4
    )


@pytest.mark.parametrize("option", [{"candidates": 0}, {"starts": 0}, {"steps": -1}])
def test_bad_options(option):
    with pytest.raises(ValueError, match="at least one candidate"):
        MaxSlicedW2(**option)


def test_directions_of_the_user():
    a, b = sets((5, 3), 3, 10), sets((4, 6), 3, 11)
    line = ExactW2()(a.replace(x=a.x[:, 1:2]), b.replace(x=b.x[:, 1:2]))
    torch.testing.assert_close(SlicedW2(along=[[0.0, 7.0, 0.0]])(a, b), line)
    torch.testing.assert_close(SlicedW2(along=torch.tensor([[0.0, 1.0, 0.0]] * 2))(a, b), line)
    with pytest.raises(ValueError, match="2 numbers and an atom 3"):
        SlicedW2(along=[[1.0, 0.0]])(a, b)
    with pytest.raises(ValueError, match="no direction"):
        SlicedW2(along=[[0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="at least one"):
        SlicedW2(along=[])
