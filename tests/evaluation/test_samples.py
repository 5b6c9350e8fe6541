"""Samples without a model."""

import math

import torch

from distembed.batch import SetBatch
from distembed.evaluation.samples import context_half, gaussian, pooled
from distembed.nn.per_set import moments_per_set as moments
from distembed.rng import stream


def context():
    rng = stream(0, "context")
    xs = [b + 0.1 * torch.rand(m, 2, generator=rng) for b, m in enumerate((1, 5, 30))]
    return SetBatch.from_list(xs, [[1.0], [0, 1, 2, 3, 4], torch.rand(30, generator=rng)])


def test_the_truth_again_is_the_context():
    sets = context()
    again = context_half(sets, [4, 5, 7], 0)
    assert again.sizes.tolist() == [1, 5, 7]
    assert torch.equal(again[1].x, sets[1].x)
    assert set(map(tuple, again[2].x.tolist())) <= set(map(tuple, sets[2].x.tolist()))


def test_gaussian_has_the_moments_of_the_context():
    sets = context()
    draws = 20_000
    mean, cov = moments(sets)
    centre, spread = moments(gaussian(sets, [draws] * 3, 0))
    for b in range(3):
        deviation = cov[b].diagonal().sqrt()
        assert ((centre[b] - mean[b]).abs() <= 5 * deviation / math.sqrt(draws) + 1e-6).all()
        # the variance of a sample covariance is c_ii c_jj + c_ij^2 over n
        noise = (torch.outer(deviation, deviation) ** 2 + cov[b] ** 2).sqrt() / math.sqrt(draws)
        assert ((spread[b] - cov[b]).abs() <= 5 * noise + 1e-6).all()
    images = sets.replace(x=sets.x.reshape(-1, 1, 2))
    assert gaussian(images, [2, 3, 4], 0).event_shape == (1, 2)


def test_pooled_atoms_are_those_of_others():
    sets = context()
    drawn = pooled(sets, [500, 500, 500], 0)
    # atoms of set b lie between b and b + 0.1
    source = drawn.x[:, 0].floor().long().view(3, 500)
    for b in range(3):
        others = {0, 1, 2} - {b}
        assert set(source[b].tolist()) == others
        share = (source[b] == min(others)).float().mean()
        assert abs(share - 0.5) < 5 * math.sqrt(0.25 / 500)
    mean = sets.mean(sets.x)[1]
    ones = drawn[0].x[drawn[0].x[:, 0].floor() == 1]
    assert ((ones.mean(0) - mean).abs() < 5 * ones.std(0) / math.sqrt(len(ones))).all()
    assert (ones != sets[1].x[0]).any(1).all()  # its weight is zero


def test_draws_are_reproducible():
    for draw in (context_half, gaussian, pooled):
        one, same, other = (draw(context(), [1, 3, 9], seed).x for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
