"""Pairs with a known W2: a truth that is true, and a correlation of one for the truth itself."""

import numpy as np
import pytest
import torch

from distembed.benchmarks.pair_distances import COSTLY
from distembed.benchmarks.truth import PairSettings, PairTruth
from distembed.data.synthetic.gaussians import Gaussians, Mixtures
from distembed.evaluation import truth as measured
from distembed.evaluation.truth import measured_w2
from distembed.rng import stream


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def line(sets=12, size=40, seed=0):
    """Gaussians on a line, and their means and deviations."""
    rng = stream(seed, "line")
    mean = 4 * torch.rand(sets, 1, generator=rng, dtype=torch.float64)
    deviation = 0.5 + torch.rand(sets, 1, generator=rng, dtype=torch.float64)
    return Gaussians(mean, (deviation**2)[..., None], size, seed), torch.cat([mean, deviation], 1)


def as_mixtures(sets):
    """The same distributions, without a formula."""
    ones = torch.ones(len(sets), 1)
    return Mixtures(ones, sets.mean[:, None], sets.cov[:, None], sets.size, sets.seed)


def test_true_parameters_correlate_perfectly():
    sets, parameters = line()
    truth = PairTruth.of(sets)
    assert truth.agreement is None
    assert truth.pairs.shape == (66, 2)
    assert truth.correlation(parameters) == pytest.approx(1)
    assert truth.correlation(parameters.numpy() * [1, 0]) < 0.99
    assert truth.correlation(-3 * parameters) == pytest.approx(1)
    assert truth.correlation(parameters.numpy() * [1, 0], near=1.0) < 0.99


def test_baselines_are_computed_on_the_same_atoms():
    sets, _ = line()
    truth = PairTruth.of(sets)
    batch, values = truth.batch, truth.baselines()
    assert torch.equal(batch.x, sets.batch(range(12)).x)
    assert values["mean"] == pytest.approx(truth.correlation(batch.mean(batch.x.double())))
    assert values["mean"] < values["bures"]
    fewer = PairTruth.of(sets, PairSettings(measured_pairs=20)).baselines()
    assert all((fewer[name] == values[name]) == (name not in COSTLY) for name in values)
    assert set(PairTruth.of(sets, PairSettings(("mean",))).baselines()) == {"mean"}


def test_a_measured_truth_is_near_the_formula():
    sets, parameters = line(size=60)
    i, j = pairs = np.stack(np.triu_indices(12, 1))
    truth = measured_w2(as_mixtures(sets), pairs.T, 200)
    # a mean and a deviation of 2 x 200 atoms are off by at most 1.5 / sqrt(400) and 0.7 of it
    error = np.abs(truth.w2 - sets.w2(i, j))
    assert error.max() < 5 * np.sqrt(2) * 1.5 / np.sqrt(400)
    assert 0.97 < truth.agreement < 1
    settings = PairSettings(("mean", "ot"), measured_atoms=200)
    held_out = PairTruth.of(as_mixtures(sets), settings)
    assert held_out.agreement == truth.agreement
    assert np.array_equal(held_out.w2, truth.w2)
    assert held_out.correlation(parameters) > 0.97


def test_a_truth_is_the_mean_of_two_measurements(monkeypatch):
    sets = as_mixtures(line()[0])
    pairs = np.array([[0, 1], [2, 3], [4, 5], [0, 7]])
    samples = []

    def fake():
        def compare(a, b):
            assert a.sizes.tolist() == b.sizes.tolist() == [30] * 4
            samples.extend([a.x, b.x])
            return torch.tensor([[1.0, 2, 3, 4], [3, 2, 5, 8]][len(samples) // 2 - 1]).double()

        return compare

    monkeypatch.setattr(measured, "ExactW2", fake)
    for _ in range(2):  # the second time it comes from the disk
        truth = measured_w2(sets, pairs, 30)
        assert truth.w2.tolist() == [2, 2, 4, 6]
        assert truth.agreement == pytest.approx(0.8)  # ranks 1 2 3 4 and 2 1 3 4
    assert len(samples) == 4
    assert samples[0].dtype == torch.float64
    # every pair and every measurement has atoms of its own: set 0 comes in two pairs
    atoms = torch.cat(samples).flatten()
    assert len(atoms.unique()) == len(atoms)


def test_pairs_of_mixtures_are_a_random_choice():
    truth = PairTruth.of(as_mixtures(line()[0]), PairSettings(("mean",), 15, 20))
    assert len(np.unique(truth.pairs, axis=0)) == len(truth.pairs) == len(truth.w2) == 15
    assert len(set(truth.pairs.flatten())) > 8
    assert (truth.pairs[:, 0] < truth.pairs[:, 1]).all()
