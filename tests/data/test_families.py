"""Families for the bench of generators: closed-form moments against drawn atoms."""

import math

import pytest
import torch

from distembed.data.synthetic import families
from distembed.data.synthetic.counts import NegativeBinomials
from distembed.data.synthetic.families import Moons
from distembed.nn.per_set import moments_per_set
from distembed.rng import stream

PRIORS = ("blobs", "counts", "low_rank", "moons", "rings")


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_is_a_function_of_its_seed(name):
    prior = getattr(families, name)
    one, same, other = prior(3, 20, seed=1), prior(3, 20, seed=1), prior(3, 20, seed=2)
    assert one.batch(range(3)).x.equal(same.batch(range(3)).x)
    assert not one.batch(range(3)).x.equal(other.batch(range(3)).x)
    assert one.batch(range(3)).x.shape == (60, *one.event_shape)
    # sets differ, and more atoms are drawn than there are where an rng is given
    assert not one.batch([0]).x.equal(one.batch([1]).x)
    assert one.batch([0], 31, stream("more")).sizes.tolist() == [31]


def test_rings_have_eight_equal_modes():
    ring = families.rings(1, 8000)
    mean, cov = ring.moments()
    # eight points of a circle of radius r: mean zero, covariance r^2 / 2
    radius = float(ring.mean.norm(dim=2).mean())
    assert 2 <= radius <= 4
    torch.testing.assert_close(mean, torch.zeros(1, 2).double(), atol=1e-12, rtol=0)
    wanted = (radius**2 / 2 + families.RING_WIDTH**2) * torch.eye(2).double()
    torch.testing.assert_close(cov[0], wanted)


def test_no_two_rings_are_turned_alike():
    mean = families.rings(20).mean[:, 0]
    angle = torch.atan2(mean[:, 1], mean[:, 0])
    # an eighth of a turn, uniformly: deviation pi / 4 / sqrt(12), known from 20 to a sixth
    assert float(angle.std()) == pytest.approx(math.pi / 4 / 12**0.5, rel=0.5)
    turn = families.moons(20).turn
    assert float(turn.std()) == pytest.approx(2 * math.pi / 12**0.5, rel=0.5)


def test_moons_have_their_moments():
    m = 200_000
    x = Moons([0.0], [1.0], [0.1]).batch([0], m, stream("moons"))
    mean, cov = moments_per_set(x)
    # halves: x = +-(cos a - 1/2), y = +-(sin a - 1/4), so the mean is zero, and
    # E x^2 = 1/2 + 1/4, E y^2 = 1/2 - 2 / pi * 1/2 + 1/16, E xy = -E sin a / 2 + 1/8
    wanted = torch.tensor(
        [
            [0.75 + 0.01, -1 / math.pi + 0.125],
            [-1 / math.pi + 0.125, 0.5 - 1 / math.pi + 0.0625 + 0.01],
        ]
    )
    error = 5 / m**0.5  # of numbers whose deviations are below one
    torch.testing.assert_close(mean[0].float(), torch.zeros(2), atol=error, rtol=0)
    torch.testing.assert_close(cov[0].float(), wanted, atol=error, rtol=0)
    turned = Moons([math.pi / 2], [1.0], [0.1]).batch([0], m, stream("moons"))
    torch.testing.assert_close(turned.x, torch.stack([-x.x[:, 1], x.x[:, 0]], 1))


def test_negative_binomials_have_their_moments():
    m = 100_000
    sets = NegativeBinomials([[3.0, 20.0]], [[0.5, 5.0]])
    mean, cov = moments_per_set(sets.batch([0], m, stream("counts")))
    variance = sets.mean[0] + sets.mean[0].square() / sets.dispersion[0]
    assert ((mean[0] - sets.mean[0]).abs() < 5 * (variance / m).sqrt()).all()
    # the excess kurtosis of a negative binomial is 6 / r + 1 / variance
    spread = variance * ((2 + 6 / sets.dispersion[0] + 1 / variance) / m).sqrt()
    assert ((cov[0].diagonal() - variance).abs() < 5 * spread).all()


def test_low_rank_covariances_have_three_large_axes():
    values = torch.linalg.eigvalsh(families.low_rank(4).cov)
    torch.testing.assert_close(values[:, :47], torch.full((4, 47), 0.1).double())
    assert (values[:, 47:] > 0.2).all()


@pytest.mark.parametrize(
    ("mean", "dispersion", "message"),
    [([[1.0]], [[1.0, 1.0]], "both need"), ([[0.0]], [[1.0]], "are positive")],
)
def test_bad_parameters_are_refused(mean, dispersion, message):
    with pytest.raises(ValueError, match=message):
        NegativeBinomials(mean, dispersion)
