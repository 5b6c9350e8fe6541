"""Trivial geometries must be what they say they are, or beating them means nothing."""

import math

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.benchmarks.pair_distances import COSTLY
from distembed.divergences.bures import bures_w2
from distembed.divergences.exact import pairwise_w2
from distembed.encoders.kernel import KernelMean
from distembed.evaluation import BASELINES
from distembed.evaluation.baselines import (
    ExactDistance,
    MeanCov,
    affordable_atoms,
    build_baselines,
)
from distembed.nn.per_set import moments_per_set as moments
from distembed.registry import applicable, lookup
from distembed.rng import stream

F64 = torch.float64
PAIRS = torch.combinations(torch.arange(6))


def baseline(name):
    return lookup(BASELINES, name, "baseline")()


def sets(d=2, m=40, seed=0, same=False):
    rng = stream(seed, "sets")
    x = torch.randn(6, m, d, generator=rng, dtype=F64)
    scale = torch.rand(6, 1, d, generator=rng, dtype=F64) + 0.5
    shift = torch.randn(6, 1, d, generator=rng, dtype=F64)
    return SetBatch.from_dense(x[:1].expand(6, -1, -1) if same else x * scale + shift)


@pytest.mark.parametrize("name", applicable(BASELINES, "vectors"))
def test_distances(name):
    d = baseline(name)(sets(), PAIRS)
    assert d.shape == (15,)
    assert (d > 0).all()
    assert torch.equal(d, baseline(name)(sets(), PAIRS))
    torch.testing.assert_close(d, baseline(name)(sets(), PAIRS.flip(1)))
    assert baseline(name)(sets(same=True), PAIRS).abs().max() < 1e-6


@pytest.mark.parametrize("name", applicable(BASELINES, "vectors"))
def test_images_and_weights(name):
    x = torch.randn(6, 8, 2, 3, generator=stream(0))
    ws = torch.rand(6, 8, generator=stream(1))
    ws[:, 0] = 0
    batch = SetBatch.from_dense(x, ws)
    d = baseline(name)(batch, PAIRS)
    assert torch.isfinite(d).all()
    flat = baseline(name)(batch.replace(x=batch.x.flatten(1)), PAIRS)
    torch.testing.assert_close(flat, d)
    if name.startswith("ot"):
        return  # on so few atoms it draws none
    moved = batch.x.clone()
    moved[batch.w == 0] = 7
    if not name.startswith("kernel"):  # whose bandwidth looks at atoms
        torch.testing.assert_close(baseline(name)(batch.replace(x=moved), PAIRS), d)


def test_gaussian_baselines_are_ordered():
    """|means| <= Bures <= (mean, root covariance) (Bhatia, Jain, Lim, 2019), Bures <= W2."""
    batch = sets(d=3)
    mean, bures, upper, ot = (
        baseline(n)(batch, PAIRS).double() for n in ("mean", "bures", "mean_cov", "ot")
    )
    assert (mean <= bures + 1e-12).all()
    assert (bures <= upper + 1e-12).all()
    assert (bures <= ot + 1e-9).all()
    (m, c), (i, j) = moments(batch), PAIRS.T
    torch.testing.assert_close(bures, bures_w2(m[i], c[i], m[j], c[j]))


def test_mean_by_hand():
    batch = SetBatch.from_list([[[0.0], [2.0]], [[5.0]]], [[1.0, 3.0], [1.0]])
    d = baseline("mean")(batch, torch.tensor([[0, 1]]))
    assert d.item() == pytest.approx(3.5)


def test_quantiles_are_about_w2_in_size():
    batch = sets(d=1, m=200)
    torch.testing.assert_close(
        baseline("quantiles")(batch, PAIRS), pairwise_w2(batch, PAIRS), rtol=0.05, atol=0.02
    )
    shifted = SetBatch.concat([sets(d=3), sets(d=3).replace(x=sets(d=3).x + 2)])
    d = baseline("quantiles")(shifted, torch.tensor([[0, 6]]))
    assert d.item() == pytest.approx(2 * math.sqrt(3), rel=0.2)


@pytest.mark.parametrize(
    ("name", "scale"), [("kernel_0.5", 0.5), ("kernel_1", 1), ("kernel_2", 2)]
)
def test_kernel_is_the_maximum_mean_discrepancy(name, scale):
    batch = sets(m=20)
    encoder = KernelMean((2,), 2)
    encoder.prepare(batch)
    sigma = scale * float(encoder.fourier.median)
    distances = baseline(name)(batch, PAIRS)
    x = batch.x.view(6, 20, 2)
    kernel = torch.exp(-(torch.cdist(x[:, None], x[None]) ** 2) / (2 * sigma**2)).mean((2, 3))
    i, j = PAIRS.T
    truth = (kernel[i, i] + kernel[j, j] - 2 * kernel[i, j]).sqrt()
    # the square is a mean over 512 frequencies of something between zero and four
    torch.testing.assert_close(distances**2, truth**2, rtol=0, atol=5 * 0.5 / math.sqrt(512))


def test_standardised_transport_sees_shape_only():
    batch = sets()
    d = baseline("ot_standardised")(batch, PAIRS)
    scale, shift = torch.rand(6, 2, dtype=F64) + 0.1, torch.randn(6, 2, dtype=F64)
    moved = batch.replace(x=batch.x * batch.expand(scale) + batch.expand(shift))
    torch.testing.assert_close(baseline("ot_standardised")(moved, PAIRS), d)
    flat = batch.replace(x=batch.x * torch.tensor([1.0, 0.0], dtype=F64))
    assert torch.isfinite(baseline("ot_standardised")(flat, PAIRS)).all()


def test_many_dimensions_are_taken_on_principal_axes():
    d = MeanCov().axes + 30
    basis = torch.linalg.qr(torch.randn(d, d, generator=stream(0), dtype=F64)).Q[:5]
    low = sets(d=5)
    high = low.replace(x=low.x @ basis)
    for name in ("mean_cov", "bures"):
        torch.testing.assert_close(
            baseline(name)(high, PAIRS), baseline(name)(low, PAIRS), rtol=1e-6, atol=1e-6
        )


def test_cost_is_bounded():
    assert affordable_atoms(10, 512) == 512
    assert affordable_atoms(10**9, 512) == 50
    sizes = [affordable_atoms(n, 10**6) for n in (10, 100, 1000, 10**4)]
    assert sizes == sorted(sizes, reverse=True)
    batch = sets(m=70)
    part = ExactDistance(atoms=50)(batch, PAIRS)
    assert not np.allclose(part, pairwise_w2(batch, PAIRS))


def test_baselines_are_built_from_names_and_options():
    built = build_baselines(["mean", {"name": "kernel_1", "scale": 3.0}], "vectors")
    assert list(built) == ["mean", "kernel_1, scale=3.0"]
    assert built["kernel_1, scale=3.0"].scale == 3.0
    assert tuple(name for name in BASELINES if baseline(name).costly) == COSTLY
    with pytest.raises(ValueError, match="There is no baseline 'nope'; there are: bures"):
        build_baselines(["nope"], "vectors")
    with pytest.raises(ValueError, match="has no option 'colour'"):
        build_baselines([{"name": "mean", "colour": 1}], "vectors")


def test_a_baseline_of_numbers_is_refused_for_tokens():
    with pytest.raises(ValueError, match=r"mean is not defined for tokens.*of tokens: ot"):
        build_baselines(["mean"], "tokens")
