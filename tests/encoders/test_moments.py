"""Untrained summaries: their distances are the distances that they promise."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.batch import SetBatch
from distembed.divergences.bures import bures_w2
from distembed.encoders.moments import AXES, Moments, moment_count
from distembed.rng import stream

sizes = st.lists(st.integers(1, 30), min_size=2, max_size=5)


def ragged(sizes, d, seed=0, zero=False):
    rng = np.random.default_rng(seed)
    atoms = [rng.normal(size=(m, d)) * rng.uniform(0.2, 3) + rng.normal(size=d) for m in sizes]
    weights = [rng.random(m) + 0.05 for m in sizes]
    for w in weights:
        if zero and len(w) > 2:
            w[1] = 0
    return SetBatch.from_list(atoms, weights)


def moments_of(batch):
    for b in range(len(batch)):
        x, w = batch[b].x.numpy(), batch[b].w.numpy()
        mean = w @ x
        yield mean, (x - mean).T @ ((x - mean) * w[:, None])


def root_of(cov, floor):
    values, vectors = np.linalg.eigh(cov + floor**2 * np.eye(len(cov)))
    return (vectors * np.sqrt(values)) @ vectors.T


@given(sizes, st.integers(1, 4), st.booleans(), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_mean_cov_keeps_mean_and_root_covariance(sizes, d, prepared, spare):
    batch = ragged(sizes, d)
    encoder = Moments((d,), moment_count(d) + spare).double()
    if prepared:
        encoder.prepare(batch)
    z = encoder(batch).numpy()
    floor = float(encoder.floor)
    known = [(mean, root_of(cov, floor)) for mean, cov in moments_of(batch)]
    for i, (m1, r1) in enumerate(known):
        for j, (m2, r2) in enumerate(known):
            wanted = math.hypot(np.linalg.norm(m1 - m2), np.linalg.norm(r1 - r2))
            # rows of an unprepared projection are orthonormal to float32
            tolerance = 1e-10 if prepared else 1e-6 * (1 + wanted)
            assert np.linalg.norm(z[i] - z[j]) == pytest.approx(wanted, abs=tolerance)


@given(sizes, st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_mean_cov_is_an_upper_bound_of_bures(sizes, d):
    batch = ragged(sizes, d)
    encoder = Moments((d,), moment_count(d)).double()
    encoder.prepare(batch)
    z = encoder(batch)
    mean, cov = (torch.from_numpy(np.stack(v)) for v in zip(*moments_of(batch), strict=True))
    cov = cov + float(encoder.floor) ** 2 * torch.eye(d).double()
    bures = bures_w2(mean[:, None], cov[:, None], mean, cov)
    latent = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")
    assert (latent >= bures - 1e-9).all()
    if d == 1:  # numbers commute
        torch.testing.assert_close(latent, bures, rtol=0, atol=1e-9)


def test_many_dimensions_take_principal_axes():
    d = AXES + 4
    scales = torch.linspace(3, 0.1, d, dtype=torch.float64)
    x = torch.randn(5, 400, d, generator=stream("axes"), dtype=torch.float64) * scales
    batch = SetBatch.from_dense(x)
    encoder = Moments((d,), moment_count(d)).double()
    encoder.prepare(batch)
    assert encoder.axes.shape == (d, AXES)
    torch.testing.assert_close(encoder.axes.T @ encoder.axes, torch.eye(AXES).double())
    pooled = torch.cov((x - x.mean((0, 1))).reshape(-1, d).T, correction=0)
    values = torch.linalg.eigvalsh(pooled).flip(0)
    kept = (encoder.axes.T @ pooled @ encoder.axes).diagonal()
    torch.testing.assert_close(kept, values[:AXES])
    # distances: means in all dimensions, root covariances on the axes
    z = encoder(batch)
    floor = float(encoder.floor)
    axes = encoder.axes.numpy()
    (m1, c1), (m2, c2) = list(moments_of(batch))[:2]
    r1, r2 = (root_of(axes.T @ c @ axes, floor) for c in (c1, c2))
    wanted = math.hypot(np.linalg.norm(m1 - m2), np.linalg.norm(r1 - r2))
    assert float((z[0] - z[1]).norm()) == pytest.approx(wanted, rel=1e-9)


@given(sizes, st.integers(1, 5), st.integers(1, 8), st.booleans())
@settings(max_examples=25, deadline=None)
def test_mean_keeps_the_distance_of_means(sizes, d, latent, prepared):
    batch = ragged(sizes, d)
    encoder = Moments((d,), latent, "mean").double()
    if prepared:
        encoder.prepare(batch)
    z = encoder(batch)
    means = batch.mean(batch.x)
    gap = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist") - torch.cdist(
        means, means, compute_mode="donot_use_mm_for_euclid_dist"
    )
    if latent >= d:
        torch.testing.assert_close(gap, torch.zeros_like(gap), rtol=0, atol=1e-6)
    assert (gap < 1e-6).all(), "a projection never lengthens a distance"


@pytest.mark.parametrize("latent", [3, 6, 9, 30, 200])
def test_covariances_never_crowd_out_the_mean(latent):
    encoder = Moments((12,), latent)
    means, roots = (len(i.rows) for i in encoder.projections)
    assert means + roots == latent
    assert means >= min(12, 2 * latent // 3)


def quantile_bins(x, w, bins):
    """Mean of the quantile function over each of some equal bins, by overlaps of intervals."""
    order = np.argsort(x)
    x, w = x[order], w[order] / w.sum()
    ends = np.concatenate([[0], np.cumsum(w)])
    edges = np.linspace(0, 1, bins + 1)
    low = np.maximum(ends[:-1, None], edges[None, :-1])
    high = np.minimum(ends[1:, None], edges[None, 1:])
    return (np.clip(high - low, 0, None) * x[:, None]).sum(0) * bins


@given(sizes, st.integers(1, 9), st.booleans(), st.booleans())
@settings(max_examples=50, deadline=None)
def test_binned_quantiles_are_the_integral(sizes, bins, zero, equal):
    batch = ragged(sizes, 1, zero=zero)
    if equal:
        batch = SetBatch.from_dense(torch.randn(3, 8, 1, generator=stream("q")).double())
        batch.x[3] = batch.x[2]  # duplicated
    encoder = Moments((1,), bins, "quantiles", projections=1, bins=bins).double()
    vector = encoder.vector(batch).numpy()
    sign = float(encoder.axes[0, 0])
    for b, row in enumerate(vector):
        x, w = batch[b].x[:, 0].numpy(), batch[b].w.numpy()
        wanted = quantile_bins(sign * x, w, bins) / math.sqrt(bins)
        np.testing.assert_allclose(row, wanted, atol=1e-12)


@pytest.mark.parametrize("d", [1, 3])
def test_quantiles_of_a_shifted_set_move_by_the_shift(d):
    rng = stream("shift")
    x = torch.randn(20, d, generator=rng, dtype=torch.float64)
    delta = torch.randn(d, generator=rng, dtype=torch.float64)
    encoder = Moments((d,), 2_000, "quantiles", projections=500, bins=4).double()
    z = encoder.vector(SetBatch.from_list([x, x + delta]))
    moved = float((z[1] - z[0]).norm() / delta.norm())
    # each projection moves by its component of the shift
    theta = encoder.axes.T @ delta / delta.norm()
    assert moved == pytest.approx(math.sqrt(d * float(theta.square().mean())), rel=1e-10)
    # E theta^2 = 1 / d and E theta^4 = 3 / (d (d + 2)), so over P directions moved^2 has
    # the standard error sqrt((3 d / (d + 2) - 1) / P)
    error = math.sqrt((3 * d / (d + 2) - 1) / 500)
    assert moved**2 == pytest.approx(1, abs=5 * error + 1e-6)


def test_quantiles_tend_to_w2_in_one_dimension():
    # of Gaussians: W2^2 = (m1 - m2)^2 + (s1 - s2)^2, up to the tails inside the outer bins
    grid = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    normal = torch.distributions.Normal(0.0, 1.0).icdf(grid)[:, None]
    batch = SetBatch.from_list([normal, 2 * normal + 3])
    gaps = []
    for bins in (16, 128):
        z = Moments((1,), bins, "quantiles", 16, 1, bins).double().vector(batch)
        gaps.append(math.sqrt(10) - float((z[1] - z[0]).norm()))
    assert 0 < gaps[1] < gaps[0] / 4 < 0.01  # a mean inside a bin only loses


def test_summaries_of_one_atom():
    x = torch.tensor([[[1.0, 2.0]]])
    for kind in ("mean", "mean_cov", "quantiles"):
        encoder = Moments((2,), 600, kind)
        assert encoder(SetBatch.from_dense(x)).isfinite().all()


@pytest.mark.parametrize("atoms", [3, 40])
def test_axes_of_large_images_are_those_of_the_covariance(atoms, monkeypatch):
    """Above 1,024 pixels no covariance is held, and the leading axes are the same."""
    rng = stream("large images", atoms)
    # ten directions stand out: power iterations find those, to (0.05)^12 or better
    scale = torch.full((1200,), 0.01, dtype=torch.float64)
    scale[:10] = torch.linspace(10, 5, 10)
    x = torch.randn(4, atoms // 2 + 1, 1200, generator=rng, dtype=torch.float64) * scale
    batch = SetBatch.from_dense(x)
    large = Moments((1200,), 8, axes=10).double()
    large.prepare(batch)
    eye = torch.eye(10, dtype=torch.float64)
    torch.testing.assert_close(large.axes.mT @ large.axes, eye, rtol=0, atol=1e-6)
    monkeypatch.setattr("distembed.encoders.moments._EXACT_UP_TO", 1200)
    exact = Moments((1200,), 8, axes=10).double()
    exact.prepare(batch)
    # axes of the same variance may turn among each other: what they explain is compared
    centred = x.flatten(0, 1) - x.flatten(0, 1).mean(0)
    explained = [(centred @ m.axes).square().sum() for m in (large, exact)]
    torch.testing.assert_close(*explained, rtol=1e-6, atol=0)
    torch.testing.assert_close(large.floor, exact.floor)
