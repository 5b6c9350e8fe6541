"""The closed form of a set: each part is scaled by what it is worth in W2."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.encoders.closed_form import ClosedForm
from distembed.encoders.fourier import FourierFeatures, reduced_mean
from distembed.encoders.moments import moment_count
from distembed.encoders.projection import PrincipalProjection
from distembed.encoders.relative_atoms import WHITEN_UP_TO, relative_atoms
from distembed.encoders.scales import floored
from distembed.encoders.statistics import Covariance, Variance, run
from distembed.rng import stream

LATENT = 16


def prepared(batch, latent=7 * LATENT // 8):
    encoder = ClosedForm(tuple(batch.event_shape), latent).double()
    encoder.prepare(batch)
    return encoder


def deviations(encoder, batch):
    blocks = encoder(batch)[:, : sum(encoder.sizes)].split(encoder.sizes, 1)
    return torch.stack([block.var(0).sum().sqrt() for block in blocks])


def relative(batch, floor):
    statistic = Covariance if batch.flat.shape[1] <= WHITEN_UP_TO else Variance
    return relative_atoms(batch, *statistic(batch.flat64).of(batch), floor)


@pytest.mark.parametrize(("d", "latent"), [(2, 13), (3, 7), (5, 3), (5, 1), (20, 28), (40, 28)])
def test_blocks_are_scaled_moments_and_a_kernel_mean(d, latent):
    x = torch.randn(6, 50, d, generator=stream("blocks"), dtype=torch.float64)
    batch = SetBatch.from_dense(x)
    encoder = prepared(batch, latent)
    count = min(moment_count(d), latent - latent // 7)
    assert sum(encoder.sizes) == count + min(8, latent - count) == latent
    z = encoder(batch)
    assert z.shape == (6, latent)
    scale = encoder.scales.repeat_interleave(torch.tensor(encoder.sizes))
    torch.testing.assert_close(z[:, :count], scale[:count] * encoder.moments(batch))
    whitened = batch.replace(x=relative(batch, encoder.floor))
    shape = encoder.scales[2] * encoder.shape(encoder.fourier.mean(whitened))
    torch.testing.assert_close(z[:, count:], shape, rtol=0, atol=1e-12)


def test_what_the_blocks_cannot_fill_is_zero():
    batch = SetBatch.from_dense(white())
    capacity = ClosedForm.capacity((2,))
    assert capacity == moment_count(2) + 8
    z = prepared(batch, capacity + 3)(batch)
    assert z[:, :capacity].any(0).all()
    assert not z[:, capacity:].any()


def white(b=40, m=200, d=2):
    """Sets of mean zero and covariance I, to rounding."""
    x = torch.randn(b, m, d, generator=stream("white"), dtype=torch.float64)
    x = x - x.mean(1, keepdim=True)
    factor = torch.linalg.cholesky(x.mT @ x / m)
    return torch.linalg.solve_triangular(factor, x.mT, upper=False).mT


def test_shifts_are_worth_one():
    shift = 5 * torch.randn(40, 1, 2, generator=stream("shift"), dtype=torch.float64)
    batch = SetBatch.from_dense(white() + shift)
    encoder = prepared(batch)
    # W2^2 of shifts is the squared distance of means. Halves of 32 atoms have means that err by
    # 2 / 32 in square, against squared distances of 100: an attenuation of 0.1 % and little noise
    assert float(encoder.scales[0]) == pytest.approx(1, abs=0.02)
    z = encoder(batch)
    distances = torch.pdist(batch.mean(batch.flat))
    assert float((torch.pdist(z) / distances).median()) == pytest.approx(1, abs=0.02)


def test_scales_are_worth_one():
    scale = torch.rand(40, 1, 1, generator=stream("scale"), dtype=torch.float64) * 5 + 0.2
    encoder = prepared(SetBatch.from_dense(white() * scale))
    # W2 of s Z and t Z is |s - t| sqrt(2), which is the distance of root covariances. A half of
    # 32 atoms knows a deviation to 1 / 8 of itself: an attenuation of at most some per cent
    assert float(encoder.scales[1]) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_shape_is_seen_where_nothing_else_differs():
    angle = torch.rand(40, generator=stream("angle"), dtype=torch.float64) * torch.pi
    place = torch.stack([angle.cos(), angle.sin()], 1)[:, None]
    side = torch.randint(2, (40, 200, 1), generator=stream("side")) * 2.0 - 1
    x = white() * 0.2 + side * place
    x = x - x.mean(1, keepdim=True)
    factor = torch.linalg.cholesky(x.mT @ x / 200)
    batch = SetBatch.from_dense(torch.linalg.solve_triangular(factor, x.mT, upper=False).mT)
    encoder = prepared(batch)
    deviation = deviations(encoder, batch)
    assert deviation[2] > 3 * deviation[:2].max()
    pairs = torch.combinations(torch.arange(40))
    z = encoder(batch)
    d = (z[pairs[:, 0]] - z[pairs[:, 1]]).norm(dim=1)
    truth = pairwise_w2(batch, pairs)
    # moments are equal to rounding and know nothing; without shape the correlation would be zero
    # with a standard error of at most 1 / sqrt(40 sets)
    assert float(torch.corrcoef(torch.stack([d, truth]))[0, 1]) > 4 / 40**0.5


def test_noise_is_worth_nothing():
    # Sets of one distribution: distances of one half say nothing of W2 of the other, so the slope
    # of shape is as often negative as positive, and zero where it is negative. Were W2 taken of
    # the same atoms it would always be positive.
    scales = []
    for draw in range(6):
        x = torch.randn(30, 64, 2, generator=stream("same law", draw), dtype=torch.float64)
        scales.append(float(prepared(SetBatch.from_dense(x)).scales[2]))
    assert min(scales) < 0.1 * max(3.0, *scales)


def test_units_go_through():
    shift = torch.randn(30, 1, 2, generator=stream("units"), dtype=torch.float64)
    batch = SetBatch.from_dense(white(30, 50) + shift)
    z = []
    for unit in (1.0, 1024.0):  # a power of two rounds nothing
        scaled = batch.replace(x=unit * batch.x)
        encoder = prepared(scaled)
        z.append(encoder(scaled) / unit)
    torch.testing.assert_close(z[0], z[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sets", [1, 2, 8])
@pytest.mark.parametrize("atoms", [1, 2, 30])
def test_few_sets_few_atoms_and_equal_sets_are_finite(sets, atoms):
    one = torch.randn(atoms, 3, generator=stream("few"), dtype=torch.float64)
    encoder = prepared(SetBatch.from_list([one] * sets))
    assert encoder.scales.isfinite().all()
    assert (encoder.scales > 0).all()
    other = SetBatch.from_list([one, one + 1, 2 * one])
    z = encoder(other)
    assert z.isfinite().all()
    assert (torch.pdist(z) > 0.1).all() or atoms == 1


def test_no_part_is_lost():
    # deviations 10, 1 and 2 without scales; a part that is worth nothing keeps 3 % of the largest
    scales = floored(torch.tensor([4.0, 1.0, 0.0]), torch.tensor([100.0, 1.0, 4.0]))
    torch.testing.assert_close(scales, torch.tensor([2.0, 1.0, 0.03 * 20 / 2]))
    # and one without any deviation gets a scale that is harmless
    assert floored(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.0, 0.0, 1.0]))[1] == 1


def test_a_mean_of_projections_is_the_projected_mean():
    fourier, projection = FourierFeatures(3, 64).double(), PrincipalProjection(64, 5).double()
    x = torch.randn(5000, 3, generator=stream("features"), dtype=torch.float64)
    batch = SetBatch.from_list(
        [x[:10], x[10:], x[:1]], [torch.rand(10) + 0.1, torch.ones(4990), torch.ones(1)]
    )
    projection.fit(torch.randn(20, 64, generator=stream("fit"), dtype=torch.float64))
    mean = fourier.mean(batch)
    torch.testing.assert_close(mean, batch.mean(fourier(batch.x)), rtol=0, atol=1e-12)
    reduced = run(reduced_mean(fourier, projection, batch.x), batch)
    torch.testing.assert_close(reduced, projection(mean), rtol=0, atol=1e-12)
