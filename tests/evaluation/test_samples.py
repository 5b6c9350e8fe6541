"""Scores of samples, and samples without a model."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.divergences.energy import unbiased_energy
from distembed.evaluation.halves import EvaluationConfig, HeldOutHalves
from distembed.evaluation.samples import context_half, draw, gaussian, pooled, score_samples
from distembed.evaluation.subject import Subject
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
    for function in (context_half, gaussian, pooled):
        one, same, other = (function(context(), [1, 3, 9], seed).x for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


class Ladder:
    """Draws the numbers 0 to n - 1 for every set."""

    def embed(self, sets):
        return SimpleNamespace(z=np.zeros((len(sets), 2)))

    def sample(self, z, n, rng):
        return np.tile(np.arange(n, dtype=np.float32)[None, :, None], (len(z), 1, 1))


ENERGY = EvaluationConfig(metrics=("energy_unbiased",))


def unequal_halves():
    """Three sets, of which the first has a context of a single atom."""
    rng = stream(0, "halves")
    target = SetBatch.from_list(
        [torch.randn(m, 1, generator=rng) for m in (3, 4, 5)],
        [torch.rand(m, generator=rng) + 0.1 for m in (3, 4, 5)],
    )
    context = SetBatch.from_list([torch.randn(m, 1, generator=rng) for m in (1, 4, 5)])
    return HeldOutHalves(context, context, target, (5, 5))


def score(sets, counts):
    model = Subject.of(Ladder())
    models = {"gde": (model, np.zeros((3, 2)))}
    scores = score_samples(models, sets, "vectors", np.asarray(counts, float), ENERGY, 0)
    return next(s for s in scores if s.method == "gde")


def test_drawn_atoms_have_the_weights_of_the_target():
    sets = unequal_halves()
    atoms = torch.cat([torch.arange(float(m)) for m in (3, 4, 5)])[:, None]
    values = unbiased_energy(sets.target.replace(x=atoms), sets.target)
    assert score(sets, [[1, 1, 1]]).value == pytest.approx(float(values[1:].mean()), rel=1e-6)
    # a resample of the last set alone has its value
    last = score(sets, [[0, 0, 3]])
    assert last.low == last.high == pytest.approx(float(values[2]), rel=1e-6)


def test_a_model_with_a_ground_space_draws_in_it():
    class Ground(Ladder):
        atom_transform = staticmethod(lambda x: 10 * x)

        def sample(self, z, n, rng, effective_sizes, ground):
            assert ground == "model"
            self.sizes = effective_sizes.tolist()
            return super().sample(z, n, rng)

    model, sets = Ground(), unequal_halves()
    drawn = draw(Subject.of(model), np.zeros((3, 2)), sets, 0)
    assert drawn.sizes.tolist() == [3, 4, 5]
    assert model.sizes == pytest.approx([1, 4, 5])
