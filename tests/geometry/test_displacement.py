"""Shortest paths: closed forms, and W2 that is proportional to the difference of positions."""

import itertools

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.divergences.bures import bures_w2
from distembed.divergences.exact import ExactW2
from distembed.divergences.mixture import mixture_w2
from distembed.geometry.displacement import (
    gaussian_path,
    geodesic_error,
    length_over_chord,
    mixture_path,
    sample_path,
)
from distembed.nn.sqrtm import sqrtm
from distembed.rng import stream

F64 = torch.float64
T = [0.0, 0.3, 0.75, 1.0]


def gaussians(b, d, seed=0, rank=None):
    rng = stream(seed, "gaussians")
    factor = torch.randn(b, d, rank or d + 2, generator=rng, dtype=F64)
    return torch.randn(b, d, generator=rng, dtype=F64), factor @ factor.mT


@pytest.mark.parametrize("rank", [None, 1], ids=["regular", "singular"])
def test_a_path_of_gaussians_is_shortest(rank):
    (mean0, mean1), (cov0, cov1) = gaussians(2, 3, rank=rank)
    mean, cov = gaussian_path(mean0, cov0, mean1, cov1, T)
    for end, (m, c) in ((0, (mean0, cov0)), (-1, (mean1, cov1))):
        torch.testing.assert_close(mean[end], m)
        torch.testing.assert_close(cov[end], c)
    whole = bures_w2(mean0, cov0, mean1, cov1)
    for i, j in itertools.combinations(range(len(T)), 2):
        part = bures_w2(mean[i], cov[i], mean[j], cov[j])
        torch.testing.assert_close(part, (T[j] - T[i]) * whole)


def test_a_path_of_gaussians_is_that_of_the_optimal_map():
    """C_t = M C_0 M with M = (1 - t) I + t A, and A the map of Gelbrich."""
    (mean0, mean1), (cov0, cov1) = gaussians(2, 3)
    root = sqrtm(cov0)
    inverse = torch.linalg.inv(root)
    optimal = inverse @ sqrtm(root @ cov1 @ root) @ inverse
    _, cov = gaussian_path(mean0, cov0, mean1, cov1, T)
    for t, c in zip(T, cov, strict=True):
        move = (1 - t) * torch.eye(3, dtype=F64) + t * optimal
        torch.testing.assert_close(c, move @ cov0 @ move)


def test_paths_of_several_gaussians_are_their_own():
    mean, cov = gaussians(6, 2)
    means, covs = gaussian_path(mean[:3], cov[:3], mean[3:], cov[3:], T)
    for b in range(3):
        own = gaussian_path(mean[b], cov[b], mean[3 + b], cov[3 + b], T)
        torch.testing.assert_close((means[:, b], covs[:, b]), own)


def test_a_path_of_mixtures_is_shortest_in_mw2():
    rng = stream("mixtures")
    sides = []
    for seed, k in ((0, 3), (1, 2)):
        w = torch.rand(k, generator=rng, dtype=F64)
        sides.append((w / w.sum(), *gaussians(k, 2, seed)))
    path = mixture_path(*sides[0], *sides[1], T)
    at = [(path.weights, m, c) for m, c in zip(path.means, path.covs, strict=True)]
    whole = mixture_w2(*sides[0], *sides[1])
    assert mixture_w2(*at[0], *sides[0]) < 1e-6
    assert mixture_w2(*at[-1], *sides[1]) < 1e-6
    for i, j in itertools.combinations(range(len(T)), 2):
        torch.testing.assert_close(mixture_w2(*at[i], *at[j]), (T[j] - T[i]) * whole)


def test_a_path_of_single_components_is_that_of_gaussians():
    (mean0, mean1), (cov0, cov1) = gaussians(2, 2)
    one = torch.ones(1, dtype=F64)
    path = mixture_path(one, mean0[None], cov0[None], one, mean1[None], cov1[None], T)
    mean, cov = gaussian_path(mean0, cov0, mean1, cov1, T)
    torch.testing.assert_close((path.means[:, 0], path.covs[:, 0]), (mean, cov))


def sample(m, seed, weighted=False):
    rng = stream(seed, "sample")
    x = torch.randn(1, m, 2, generator=rng, dtype=F64) + seed
    return SetBatch.from_dense(x, torch.rand(1, m, generator=rng) if weighted else None)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_path_of_samples_is_shortest(weighted):
    a, b = sample(12, 0, weighted), sample(9 if weighted else 12, 1, weighted)
    path = sample_path(a, b, T)
    w2 = ExactW2()
    torch.testing.assert_close(
        w2(path.select([0]), a), torch.zeros(1, dtype=F64), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        w2(path.select([3]), b), torch.zeros(1, dtype=F64), atol=1e-6, rtol=0
    )
    whole = w2(a, b)
    for i, j in itertools.combinations(range(len(T)), 2):
        gap = w2(path.select([i]), path.select([j]))
        torch.testing.assert_close(gap, (T[j] - T[i]) * whole, rtol=1e-5, atol=1e-6)
    assert length_over_chord(path) == pytest.approx(1, rel=1e-5)


def test_length_over_chord_of_a_half_circle():
    angle = torch.linspace(0, torch.pi, 201, dtype=F64)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    atoms = torch.tensor([[0.0, 0.0], [5.0, 1.0]], dtype=F64)
    path = SetBatch.from_dense(circle[:, None] + atoms)
    assert length_over_chord(path) == pytest.approx(np.pi / 2, rel=1e-4)
    with pytest.raises(ValueError, match="ends of the path coincide"):
        length_over_chord(path.select([0, 100, 0]))


def test_geodesic_error():
    np.testing.assert_allclose(geodesic_error([[0.1, 0.3], [1.0, 0.0]], [2.0, 5.0]), [0.1, 0.1])
    with pytest.raises(ValueError, match="coincide"):
        geodesic_error([0.1], 0.0)


@pytest.mark.parametrize("t", [[-0.1], [1.1], 0.5, [np.nan]], ids=str)
def test_positions_beyond_the_ends_are_refused(t):
    (mean0, mean1), (cov0, cov1) = gaussians(2, 2)
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        gaussian_path(mean0, cov0, mean1, cov1, t)


def test_a_path_is_between_two_sets():
    with pytest.raises(ValueError, match="between two sets"):
        sample_path(SetBatch.concat([sample(3, 0), sample(3, 1)]), sample(3, 2), T)
