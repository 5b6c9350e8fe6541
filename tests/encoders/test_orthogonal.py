"""Moments with the length of what they leave out: Pythagoras, exactly, and W2 where it holds."""

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.encoders.moments import Moments, moment_count
from distembed.encoders.orthogonal import OrthogonalMoments
from distembed.geometry.remainder import SHARED, add_remainders
from distembed.rng import stream


def spread(sets=12, m=9, d=6, scale=1.0):
    rng = stream("orthogonal", sets, m, d)
    x = torch.randn(sets, m, d, generator=rng, dtype=torch.float64)
    width = torch.rand(sets, 1, d, generator=rng, dtype=torch.float64)
    centre = torch.randn(sets, 1, d, generator=rng, dtype=torch.float64)
    return SetBatch.from_dense(scale * (x * width + centre))


def prepared(batch, latent, **options):
    encoder = OrthogonalMoments(tuple(batch.event_shape), latent, **options).double()
    encoder.prepare(batch)
    return encoder


@pytest.mark.parametrize("latent", [1, 2, 6, 15])
def test_z_and_the_remainder_have_the_length_of_all_moments(latent):
    """On all axes, mean and root are a vector Z, and |z|^2 + u^2 is its squared length."""
    batch = spread()
    every = Moments((6,), moment_count(6)).double()
    every.prepare(batch)
    z = prepared(batch, latent)(batch)
    floor = every.floor**2
    expected = every(batch).square().sum(1)  # both are centred at the mean of the sets
    torch.testing.assert_close(z.square().sum(1) - floor, expected, rtol=1e-9, atol=1e-9)


def test_nothing_is_left_where_all_moments_fit():
    batch = spread()
    z = prepared(batch, moment_count(6) + 1)(batch)
    every = Moments((6,), moment_count(6)).double()
    every.prepare(batch)
    torch.testing.assert_close(z[:, :-1], every(batch), rtol=0, atol=1e-12)
    floor = float(every.floor)
    np.testing.assert_allclose(z[:, -1].numpy(), floor, rtol=1e-3)


def test_variance_outside_of_the_axes_is_left():
    """Two axes of six: the trace of what is outside is in the last coordinate."""
    batch = spread()
    encoder = prepared(batch, 30, axes=2)
    x = batch.x.view(12, 9, 6)
    centred = x - x.mean(1, keepdim=True)
    inside = (centred @ encoder.moments.axes.double()).square().sum(2).mean(1)
    outside = centred.square().sum(2).mean(1) - inside
    floor = encoder.moments.floor.double() ** 2
    torch.testing.assert_close(encoder(batch)[:, -1] ** 2, outside + floor, rtol=1e-5, atol=1e-9)


def test_units_are_those_of_the_atoms():
    one, ten = (prepared(spread(scale=s), 5)(spread(scale=s)) for s in (1.0, 10.0))
    torch.testing.assert_close(10 * one, ten, rtol=1e-5, atol=1e-6)


def test_the_derivative_by_the_weights_is_finite_where_nothing_is_left():
    batch = SetBatch.from_dense(torch.ones(3, 4, 2, dtype=torch.float64))
    encoder = prepared(spread(d=2), 9)
    w = batch.w.clone().requires_grad_()
    encoder(batch.replace(w=w)).sum().backward()
    assert w.grad.isfinite().all()


def test_distances_are_w2_between_sets_that_share_no_direction():
    """Every coupling costs E|x|^2 + E|y|^2 there, which two lengths of 16 numbers know."""
    rng = stream("own directions")
    sets, m, own = 60, 30, 4
    width = 1 + 3 * torch.rand(sets, 1, 1, generator=rng, dtype=torch.float64)
    x = torch.zeros(sets, m, sets, own, dtype=torch.float64)
    each = torch.arange(sets)
    x[each, :, each] = width * torch.randn(sets, m, own, generator=rng, dtype=torch.float64)
    batch = SetBatch.from_dense(x)
    i, j = torch.combinations(each).T
    w2_squared = pairwise_w2(batch, torch.stack([i, j], 1)).square().numpy()
    z = prepared(batch, 16)(batch)
    plain = (z[i] - z[j]).square().sum(1).numpy()
    u, v = z[i, -1].numpy(), z[j, -1].numpy()
    far = plain > 7 * SHARED * 2 * u * v  # of the remainders of others a part is shared
    assert far.mean() > 0.5
    error = np.abs(add_remainders(plain, u, v) / w2_squared - 1)[far]
    # lengths are counted from the mean of the sets: that is one part in as many as there are
    assert error.mean() < 2 / sets
    assert np.abs(plain / w2_squared - 1)[far].mean() > 0.5
