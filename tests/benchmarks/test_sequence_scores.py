"""Scores of the bench of sequences, and the division of real sets."""

import numpy as np
import pytest
import torch

from distembed.benchmarks.sequence_problems import known, real
from distembed.benchmarks.sequences import _compared


@pytest.mark.slow
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
    assert {m for m, k in values if k == "spectrum"} == {"gde", "floor"}
    assert values["masked", "bits_bound"] > values["truth", "bits"]
    assert values["gde", "r2_weights"] <= 1
    assert {m for m, k in values if k == "pearson_w2"} == {"gde", "untrained"}


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


@pytest.mark.parametrize("name", ["rsva_G", "tcr"])
def test_real_sets_are_divided_by_set_and_by_atom(name, data_dir, monkeypatch):
    monkeypatch.setenv("DISTEMBED_DATA", str(data_dir))
    problem = real(name, test=8, atoms=40, seed=0)
    assert len(problem.labels) == len(problem.train)
    assert len(problem.unseen.context) == len(problem.unseen.label) == 8
    apart = problem.seen.target
    train = problem.train.batch(range(len(apart)))
    assert (apart.sizes >= 1).all()
    assert ((train.sizes + apart.sizes) >= 6).all()
    if name == "tcr":  # distinct chains: no sequence is on both sides of a division
        for b in range(len(apart)):
            own, other = ({tuple(x.tolist()) for x in v[b].x} for v in (train, apart))
            assert not own & other
        assert (problem.unseen.label >= 0).all()
    else:
        assert (problem.unseen.label == -1).all()
        assert len(set(problem.labels.tolist())) == len(problem.train)
