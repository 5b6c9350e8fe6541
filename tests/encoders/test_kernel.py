"""The kernel mean against the closed form of the maximum mean discrepancy of Gaussians."""

import math

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.encoders.kernel import KernelMean
from distembed.rng import stream

P, Q = (0.0, 1.0), (1.5, 0.5)
"""Mean and deviation of two Gaussians."""


def quadrature(*gaussians, nodes=60):
    """Weighted atoms that integrate like the Gaussians: no sampling error is left."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    return SetBatch.from_list([(m + s * x)[:, None] for m, s in gaussians], [w] * len(gaussians))


def kernel(p, q, sigma):
    """E k(X, Y) for k(x, y) = exp(-(x - y)^2 / 2 sigma^2)."""
    variance = sigma**2 + p[1] ** 2 + q[1] ** 2
    return sigma / math.sqrt(variance) * math.exp(-((p[0] - q[0]) ** 2) / (2 * variance))


def mmd_squared(sigma):
    return kernel(P, P, sigma) + kernel(Q, Q, sigma) - 2 * kernel(P, Q, sigma)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_distance_is_the_mmd(sigma):
    latent = 40_000
    encoder = KernelMean((1,), latent, bandwidths=(sigma,)).double()
    z = encoder(quadrature(P, Q))
    gap = z[0] - z[1]
    # |gap|^2 is a mean over L / 2 frequencies of |phi_P - phi_Q|^2, cosine and sine of each
    terms = (gap[: latent // 2].square() + gap[latent // 2 :].square()) * latent / 2
    error = float(terms.std()) / math.sqrt(latent / 2)
    assert error < 0.01 * mmd_squared(sigma)
    assert float(gap.square().sum()) == pytest.approx(mmd_squared(sigma), abs=5 * error)


def test_several_bandwidths_average_their_kernels():
    latent, sigmas = 40_000, (0.5, 2.0)
    z = KernelMean((1,), latent, bandwidths=sigmas).double()(quadrature(P, Q))
    gap = z[0] - z[1]
    terms = (gap[: latent // 2].square() + gap[latent // 2 :].square()) * latent / 2
    error = float(terms.std()) / math.sqrt(latent / 2)
    wanted = sum(map(mmd_squared, sigmas)) / 2
    assert float(gap.square().sum()) == pytest.approx(wanted, abs=5 * error)


def test_the_norm_of_an_atom_is_one():
    z = KernelMean((3,), 10, features=10)(
        SetBatch.from_list([torch.randn(1, 3, generator=stream("atom"))])
    )
    assert float(z.norm()) == pytest.approx(1, abs=1e-6)


def test_the_bandwidth_is_the_median_distance():
    x = torch.randn(100, 8, 2, generator=stream("median"), dtype=torch.float64)
    encoder = KernelMean((2,), 8)
    encoder.prepare(SetBatch.from_dense(x))
    # 8 atoms of each of 100 sets are all of them, and |x - y|^2 = 2 chi^2_2 has the median
    # 4 log 2; 800 atoms know a median of pairs to about 1 / sqrt(800)
    assert float(encoder.fourier.median) == pytest.approx(
        math.sqrt(4 * math.log(2)), rel=5 / 800**0.5
    )
    assert float(encoder.fourier.median) == pytest.approx(
        float(torch.pdist(x.view(-1, 2)).median()), rel=1e-6
    )


def test_units_do_not_matter_once_prepared():
    x = torch.randn(30, 8, 2, generator=stream("units"))
    z = []
    for unit in (1.0, 1024.0):  # a power of two rounds nothing
        encoder = KernelMean((2,), 8)
        encoder.prepare(SetBatch.from_dense(unit * x))
        z.append(encoder(SetBatch.from_dense(unit * x)))
    torch.testing.assert_close(z[0], z[1], rtol=0, atol=1e-5)
    assert z[0].std() > 0.01


def test_many_features_reduced_keep_the_distances_that_few_features_cannot():
    rng = stream("reduced")
    mean = 3 * torch.randn(60, 1, 2, generator=rng)
    batch = SetBatch.from_dense(mean + torch.randn(60, 50, 2, generator=rng))
    full = KernelMean((2,), 4000)
    full.prepare(batch)
    wanted = torch.pdist(full(batch))
    error = []
    for features in (16, 512):
        encoder = KernelMean((2,), 16, features=features)
        encoder.prepare(batch)
        error.append(float((torch.pdist(encoder(batch)) - wanted).square().mean().sqrt()))
    assert error[1] < error[0] / 2


def test_relative_atoms_show_shape_alone():
    batch = SetBatch.from_dense(torch.randn(20, 50, 2, generator=stream("shape")).double())
    encoder = KernelMean((2,), 8, relative=True).double()
    encoder.prepare(batch)
    encoder.floor.fill_(1e-9)
    moved = batch.replace(x=7 * batch.x + 3)
    torch.testing.assert_close(encoder(moved), encoder(batch), rtol=0, atol=1e-9)
    assert encoder.traits.passes == 2


def test_learned_frequencies_are_not_fixed():
    assert KernelMean((2,), 8).traits.informed == 8
    assert KernelMean((2,), 8, learned=True).traits.informed == 0


@pytest.mark.slow
def test_the_default_is_far_above_an_untuned_bandwidth():
    # 2-D mixtures of three parts; the GDE paper's kernel had a bandwidth of 0.1, in the units of
    # the data
    from scipy.stats import spearmanr

    from distembed.data.synthetic.gaussians import Gaussians, Mixtures
    from distembed.divergences.exact import pairwise_w2

    parts = Gaussians.prior(3 * 60, 2, 10, seed=3)
    weights = torch.rand(60, 3, generator=stream("weights")) + 0.05
    sets = Mixtures(weights, parts.mean.view(60, 3, 2), parts.cov.view(60, 3, 2, 2), size=200)
    batch = sets.batch(range(60))
    pairs = torch.combinations(torch.arange(60))[::4]
    truth = pairwise_w2(sets.batch(range(60), 200, stream("fresh")), pairs)
    default, narrow = KernelMean((2,), 32), KernelMean((2,), 32, features=32, bandwidths=(0.1,))
    found = []
    for encoder in (default, narrow):
        if encoder is default:  # the other keeps a bandwidth of 0.1 in the units of the data
            encoder.prepare(batch)
        z = encoder(batch)
        distance = (z[pairs[:, 0]] - z[pairs[:, 1]]).norm(dim=1)
        found.append(float(spearmanr(distance, truth).statistic))
    assert found[0] > 0.85
    assert found[0] > found[1] + 0.1
