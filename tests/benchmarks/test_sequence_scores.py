"""Scores of the bench of sequences, and the division of real sets."""

import math

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.benchmarks.sequence_models import bits
from distembed.benchmarks.sequence_problems import known, real
from distembed.benchmarks.sequences import _compared


def test_no_method_has_fewer_bits_than_the_known_law(cells):
    pytest.importorskip("sklearn")
    values = {(m, k): v for (_, m, k), v in cells("sequences").items()}
    methods = {m for m, k in values if k == "bits"}
    assert methods == {"gde", "unconditional", "markov", "positions", "truth"}
    # letters of uniform DNA but for a motif, and an end: about two bits a letter
    assert 1.8 < values["truth", "bits"] < 2.1
    for method in methods - {"truth"}:
        excess = values[method, "bits"] - values["truth", "bits"]
        assert values[method, "bits_above_truth"] == pytest.approx(excess)
        assert excess > 0
    for method in methods - {"truth", "gde"}:
        saved = values[method, "bits"] - values["gde", "bits"]
        assert values[method, "bits_saved"] == pytest.approx(saved)
        assert values[method, "bits_saved_low"] < saved
    assert values["masked", "bits_bound"] > values["truth", "bits"]
    assert values["gde", "r2_weights"] <= 1
    assert {m for m, k in values if k == "pearson_w2"} == {"gde", "untrained"}


def test_bits_are_those_of_all_atoms_over_all_residues():
    batch = SetBatch.from_list(
        [torch.tensor([[1, 0, 0], [2, 1, 1]]), torch.tensor([[1, 1, 0]])], [[3.0, 1.0], [1.0]]
    )
    nats = -math.log(2) * torch.tensor([1.0, 9.0, 5.0])
    # three quarters of 1 bit and a quarter of 9, over 0.75 * 1 + 0.25 * 3 residues
    np.testing.assert_allclose(bits(batch, nats), [3.0 / 1.5, 5.0 / 2], rtol=1e-6)


def test_what_is_saved_is_paired_over_sets():
    values = {"gde": np.array([1.0, 2.0, 3.0]), "markov": np.array([1.5, 2.5, 3.5])}
    scores = {(s.method, s.metric): s.value for s in _compared(values)}
    # the difference is the same in every set: no width, however much the sets differ
    assert scores["markov", "bits_saved"] == 0.5
    assert scores["markov", "bits_saved_low"] == 0.5
    values["markov"][0] = 1.0
    scores = {(s.method, s.metric): s.value for s in _compared(values)}
    # t of two degrees of freedom is 4.303, and the deviation of (0, 1/2, 1/2) over root 3 is 1/6
    assert scores["markov", "bits_saved_low"] == pytest.approx(1 / 3 - 4.303 / 6, abs=1e-3)


def test_the_truth_is_the_law_of_the_targets():
    problem = known("motifs", 4, 3, 20, seed=1)
    assert problem.unseen.truth.shape == (60,)
    assert problem.unseen.truth.isfinite().all()
    assert not torch.equal(problem.unseen.context.x, problem.unseen.target.x)
    assert problem.parameters.shape == (4, 3)
    assert problem.unseen.parameters.shape == (3, 3)
    assert known("chains", 4, 3, 20, seed=1).parameters is None


def rows_of(batch):
    return [tuple(x[x > 0].tolist()) for x in batch.x]


@pytest.mark.parametrize("name", ["rsva_G", "tcr"])
def test_real_sets_are_divided_by_set_and_by_atom(name, data_dir, monkeypatch):
    monkeypatch.setenv("DISTEMBED_DATA", str(data_dir))
    problem = real(name, test=8, atoms=40, seed=0)
    assert len(problem.labels) == len(problem.train)
    assert len(problem.unseen.context) == len(problem.unseen.label) == 8
    train = problem.train.batch(range(len(problem.seen.target)))
    sizes = [(train.sizes, problem.seen.target.sizes)]
    for first, second in sizes:
        assert (second >= 1).all()
        assert ((first + second) >= 6).all()
    if name == "tcr":  # distinct chains: no sequence is on both sides of a division
        own, apart = train.x.split(train.sizes.tolist()), problem.seen.target
        for b, x in enumerate(own):
            rows = {tuple(r.tolist()) for r in x}
            assert not rows & {tuple(r.tolist()) for r in apart.select([b]).x}
        assert (problem.unseen.label >= 0).all()
    else:
        assert (problem.unseen.label == -1).all()
        assert problem.seen.label.tolist() == list(range(len(problem.seen.label))) or len(
            set(problem.seen.label.tolist())
        ) == len(problem.seen.label)
