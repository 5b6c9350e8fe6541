"""Exams: a truth that is true, pairs that are fair, and a grade of one for who knows it."""

import numpy as np
import pytest
import torch

from distembed.benchmarks import exam as module
from distembed.benchmarks.exam import COSTLY, Exam
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


def test_who_knows_the_truth_has_grade_one():
    sets, known = line()
    exam = Exam.of(sets)
    assert exam.agreement is None
    assert exam.pairs.shape == (66, 2)
    assert exam.grade(known) == pytest.approx(1)
    assert exam.grade(known.numpy() * [1, 0]) < 0.99
    assert exam.grade(-3 * known) == pytest.approx(1)


def test_baselines_are_graded_on_the_same_points(monkeypatch):
    sets, _ = line()
    exam = Exam.of(sets)
    batch = exam.batch
    assert torch.equal(batch.x, sets.batch(range(12)).x)
    assert exam.baselines["mean"] == pytest.approx(exam.grade(batch.mean(batch.x.double())))
    assert exam.baselines["mean"] < exam.baselines["bures"]
    monkeypatch.setattr(module, "FEW_PAIRS", 20)
    few = Exam.of(sets)
    assert all((few.baselines[n] == exam.baselines[n]) == (n not in COSTLY) for n in few.names)
    assert set(Exam.of(sets, ["mean"]).baselines) == {"mean"}


def test_a_measured_truth_is_near_the_formula():
    sets, known = line(size=60)
    i, j = pairs = np.stack(np.triu_indices(12, 1))
    truth = measured_w2(as_mixtures(sets), pairs.T, 200)
    # a mean and a deviation of 2 x 200 points are off by at most 1.5 / sqrt(400) and 0.7 of it
    error = np.abs(truth.w2 - sets.w2(i, j))
    assert error.max() < 5 * np.sqrt(2) * 1.5 / np.sqrt(400)
    assert 0.97 < truth.agreement < 1
    exam = Exam.of(as_mixtures(sets), ["mean", "ot"], 200)
    assert exam.agreement == truth.agreement
    assert np.array_equal(exam.w2, truth.w2)
    assert exam.grade(known) > 0.97


def test_a_truth_is_the_mean_of_two_measurements(monkeypatch):
    sets = as_mixtures(line()[0])
    pairs = np.array([[0, 1], [2, 3], [4, 5], [0, 7]])
    seen = []

    def fake():
        def compare(a, b):
            assert a.sizes.tolist() == b.sizes.tolist() == [30] * 4
            seen.extend([a.x, b.x])
            return torch.tensor([[1.0, 2, 3, 4], [3, 2, 5, 8]][len(seen) // 2 - 1]).double()

        return compare

    monkeypatch.setattr(measured, "ExactW2", fake)
    for _ in range(2):  # the second time it comes from the disk
        truth = measured_w2(sets, pairs, 30)
        assert truth.w2.tolist() == [2, 2, 4, 6]
        assert truth.agreement == pytest.approx(0.8)  # ranks 1 2 3 4 and 2 1 3 4
    assert len(seen) == 4
    assert seen[0].dtype == torch.float64
    # every pair and every measurement has atoms of its own: set 0 comes in two pairs
    atoms = torch.cat(seen).flatten()
    assert len(atoms.unique()) == len(atoms)


def test_few_pairs_of_mixtures_are_chosen_at_random(monkeypatch):
    monkeypatch.setattr(module, "FEW_PAIRS", 15)
    exam = Exam.of(as_mixtures(line()[0]), ["mean"], 20)
    assert len(np.unique(exam.pairs, axis=0)) == len(exam.pairs) == len(exam.w2) == 15
    assert len(set(exam.pairs.flatten())) > 8
    assert (exam.pairs[:, 0] < exam.pairs[:, 1]).all()
