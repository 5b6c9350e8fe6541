"""Linear optimal transport, Fourier sliced W2 and histograms, by what is exact about them."""

import math

import numpy as np
import pytest
import torch
from scipy.cluster.vq import kmeans2
from scipy.integrate import quad
from scipy.spatial.distance import cdist

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.evaluation.codebook import (
    Histogram,
    LinearTransport,
    _first_centres,
    pooled_centres,
)
from distembed.evaluation.fourier import FourierSliced, _transform
from distembed.rng import stream

F64 = torch.float64
PAIRS = torch.combinations(torch.arange(5))


def sets(m=30, d=2, weighted=False, seed=0):
    rng = stream(seed, "sets")
    x = torch.randn(5, m, d, generator=rng, dtype=F64) * torch.rand(5, 1, d, generator=rng) + (
        3 * torch.randn(5, 1, d, generator=rng, dtype=F64)
    )
    w = torch.rand(5, m, generator=rng, dtype=F64) if weighted else None
    return SetBatch.from_dense(x, w)


def test_the_transform_is_the_integral_of_the_quantile_function():
    """Against numerical integration of the step function, for weights and frequency zero too."""
    rng = np.random.default_rng(0)
    y, w = rng.normal(size=6), rng.dirichlet(np.ones(6))
    frequency = torch.tensor([[0.0, 0.3, 1.0, 4.7]], dtype=F64)
    values = _transform(torch.from_numpy(y)[:, None], torch.from_numpy(w), frequency)[0]
    order = y.argsort()
    edges = np.concatenate([[0], w[order].cumsum()])
    for f, value in zip(frequency[0].tolist(), values.tolist(), strict=True):
        parts = [
            y[i] * quad(lambda t, f=f: math.cos(2 * math.pi * f * t), edges[k], edges[k + 1])[0]
            for k, i in enumerate(order)
        ]
        assert value == pytest.approx(sum(parts), abs=1e-9)


def test_fourier_features_have_the_sliced_distance():
    """In one dimension the sliced W2 is W2, and frequencies alone are random.

    The squared difference of a feature is at most 4 times a squared bound of the distance, and
    the error of the mean falls with the number of directions.
    """
    batch = sets(m=40, d=1)
    truth = pairwise_w2(batch, PAIRS)
    several = torch.stack(
        [FourierSliced(directions=400, frequencies=8, seed=s)(batch, PAIRS) for s in range(6)]
    )
    square = several.square()
    error = square.std(0) / math.sqrt(len(square))
    # 5 standard errors of a mean over six seeds, whose deviation is estimated from the six
    assert ((square.mean(0) - truth.square()).abs() < 5 * error + 0.02 * truth.square()).all()


@pytest.mark.parametrize("copies", [2, 5])
def test_features_are_of_the_distribution(copies):
    batch = sets(weighted=True)
    repeated = SetBatch.from_dense(
        batch.x.view(5, 30, 2).repeat(1, copies, 1), batch.w.view(5, 30).repeat(1, copies)
    )
    own, other = (FourierSliced().features(b) for b in (batch, repeated))
    torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-9)


def test_linear_transport_of_shifts_is_exact():
    """Sets that are shifts of one another have shifted couplings, so the distance is the shift."""
    base = sets().select([0])
    shift = torch.tensor([[0.0, 0.0], [3.0, 4.0], [-1.0, 2.0]], dtype=F64)
    batch = SetBatch.from_dense(base.x[None] + shift[:, None])
    pairs = torch.combinations(torch.arange(3))
    expected = (shift[pairs[:, 0]] - shift[pairs[:, 1]]).norm(dim=1)
    torch.testing.assert_close(LinearTransport(centres=8)(batch, pairs), expected)


def test_linear_transport_keeps_means():
    """Coupled means average to the mean of the set, so the distance of means is a lower bound."""
    batch = SetBatch.from_dense(torch.randn(2, 12, 2, generator=stream("atoms"), dtype=F64))
    baseline = LinearTransport(centres=24, pooled=2000)
    mean = batch.mean(batch.x)
    vectors = baseline.embeddings(batch).view(2, 24, 2)
    # every atom is a centre, of share 1 / 24
    torch.testing.assert_close(vectors.sum(1) / math.sqrt(24), mean)
    assert baseline(batch, torch.tensor([[0, 1]])) > (mean[0] - mean[1]).norm()


def test_histograms_of_sets_on_the_centres_are_exact():
    """If all atoms are centres nothing is rounded, and the distance is W2."""
    atoms = torch.randn(6, 2, generator=stream("atoms"), dtype=F64)
    index = torch.randint(6, (5, 20), generator=stream("index"))
    batch = SetBatch.from_dense(atoms[index])
    torch.testing.assert_close(
        Histogram(centres=20)(batch, PAIRS), pairwise_w2(batch, PAIRS), rtol=1e-6, atol=1e-6
    )


def test_histograms_are_near_w2_to_the_width_of_their_cells():
    """Atoms move to their centres by at most the radius r on both sides: |W2 - W2'| <= 2 r."""
    batch = sets(weighted=True)
    centre = pooled_centres(batch, 40, 4096)
    r = cdist(batch.x.numpy(), centre).min(1).max()
    gap = Histogram(centres=40, pooled=4096)(batch, PAIRS) - pairwise_w2(batch, PAIRS)
    assert gap.abs().max() <= 2 * r
    assert r < 1.5


def test_centres_are_at_most_the_distinct_atoms():
    batch = SetBatch.from_dense(torch.zeros(3, 4, 2))
    assert pooled_centres(batch, 5, 100).tolist() == [[0.0, 0.0]]


def test_first_centres_are_those_of_scipy():
    x = torch.randn(300, 3, generator=stream("points"), dtype=F64).numpy()
    expected, _ = kmeans2(x, 12, iter=20, minit="++", rng=np.random.default_rng(0))
    centre, _ = kmeans2(x, _first_centres(x, 12), iter=20, minit="matrix")
    assert centre == pytest.approx(expected, abs=1e-12)


def test_linear_transport_by_hand():
    """One centre with all the mass: the embedding is the mean."""
    batch = sets(weighted=True)
    torch.testing.assert_close(
        LinearTransport(centres=1)(batch, PAIRS),
        (batch.mean(batch.x)[PAIRS[:, 0]] - batch.mean(batch.x)[PAIRS[:, 1]]).norm(dim=1),
    )
