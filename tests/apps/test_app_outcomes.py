"""Outcomes of applications: heads, joined features, scores by hand."""

import numpy as np
import pytest

from distembed.apps.outcomes import (
    Inputs,
    Outcome,
    balanced_accuracy,
    predicted,
    ranked,
)
from distembed.encoders.sequence_features import mean_kmers
from distembed.model.embeddings import Embeddings
from distembed.sets.read import read

pytest.importorskip("sklearn")


def table(z):
    size = np.full(len(z), 50)
    return Embeddings(
        z.astype(np.float32), np.arange(len(z)).astype(str), size, size.astype(float)
    )


def halves(x):
    return Inputs(table(x[:60]), table(x[60:]))


def test_a_joined_head_has_what_both_inputs_have():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 100, 2))
    y = a[:, 0] + b[:, 0]
    inputs = {"gde": halves(a), "useless": Inputs(*np.split(rng.normal(size=(100, 2)), [60])),
              "features": Inputs(b[:60], b[60:])}  # fmt: skip
    result = predicted(Outcome("sum", y[:60], y[60:]), inputs)
    r2 = {s.method: s.value for s in result.scores if s.metric == "r2"}
    # the two parts have half of the variance each, and no noise
    assert r2["joined"] > 0.99
    assert 0.2 < r2["gde"] < 0.8
    assert r2["useless"] < 0.2
    by_hand = 1 - np.square(y[60:] - result.values["gde"]).sum() / np.square(
        y[60:] - y[:60].mean()
    ).sum()  # fmt: skip
    assert r2["gde"] == pytest.approx(by_hand)
    mae = {s.method: s.value for s in result.scores if s.metric == "mae"}
    assert mae["gde"] == pytest.approx(np.abs(y[60:] - result.values["gde"]).mean())


def test_units_are_resampled_as_a_whole():
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(8), 5)
    # the error of a prediction is that of its unit, so that five sets say as much as one
    y = rng.normal(size=40)
    error = rng.normal(size=8)[unit]
    x = np.concatenate([y, y + error])[:, None]

    def half_width(units):
        outcome = Outcome("level", y, y, units=units)
        scores = predicted(outcome, {"gde": Inputs(x[:40], x[40:])}).scores
        (mae,) = (s for s in scores if s.metric == "mae")
        return mae.value, mae.high - mae.low

    (value, alone), (same, whole) = half_width(None), half_width(unit)
    assert value == same
    assert 1.7 < whole / alone < 2.8  # sqrt(5) but for chance
    repeated = half_width(np.arange(40).astype(str))
    assert repeated[1] > 0.5 * alone


def test_wide_features_are_rotated_without_a_loss():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 200))
    inputs = Inputs(x[:20], x[20:])
    turned = inputs.rotated()
    assert turned.train.shape[1] == 19
    # inner products of centred training sets are what a linear head sees
    centred = x[:20] - x[:20].mean(0)
    np.testing.assert_allclose(turned.train @ turned.train.T, centred @ centred.T, atol=1e-9)
    np.testing.assert_allclose(
        turned.test @ turned.train.T, (x[20:] - x[:20].mean(0)) @ centred.T, atol=1e-9
    )
    narrow = Inputs(x[:20, :5], x[20:, :5])
    assert narrow.rotated() is narrow


def test_three_classes_have_a_balanced_accuracy_and_no_area():
    x = np.repeat(np.eye(3), 20, axis=0)
    y = np.repeat(["a", "b", "c"], 20)
    order = np.random.default_rng(0).permutation(60)
    inputs = {"gde": Inputs(table(x[order[:40]]), table(x[order[40:]]))}
    result = predicted(Outcome("class", y[order[:40]], y[order[40:]]), inputs)
    assert {s.metric for s in result.scores} == {"balanced_accuracy"}
    assert all(s.value == 1 and s.task == "class" for s in result.scores)
    assert result.labels.tolist() == ["a", "b", "c"]


def test_balanced_accuracy_by_hand():
    y = np.array(["a", "a", "a", "b"])
    chosen = np.array(["a", "b", "a", "b"])
    counts = np.array([[1.0, 1, 1, 1], [0, 3, 0, 1], [0, 0, 0, 4]])
    estimate = balanced_accuracy(y, chosen, counts)
    assert estimate.value == pytest.approx((2 / 3 + 1) / 2)
    # the last resample has one class only
    assert estimate.draws.tolist() == pytest.approx([(2 / 3 + 1) / 2, 0.5, 1.0])


def test_the_area_counts_ties_half_and_weights_resamples():
    positive = np.array([False, False, True, True])
    values = {"gde": np.array([0.1, 0.5, 0.5, 0.9]), "flat": np.zeros(4)}
    scores = {s.method: s for s in ranked("x", positive, values)}
    assert scores["gde"].value == 3.5 / 4
    assert scores["flat"].value == 0.5
    assert scores["flat"].low == scores["flat"].high == 0.5
    assert scores["gde"].low <= 3.5 / 4 <= scores["gde"].high
    assert scores["gde"].task == "x"


def test_shares_of_kmers_by_hand():
    sets = read([["ACA", "C"], ["CC", "CCC"]], atoms={"name": "tokens", "alphabet": "AC"})
    shares = mean_kmers(sets.batch([0, 1]), vocab=2, most=4)
    # A, C, AA, AC, CA, CC; a sequence without a word of two letters adds nothing to them
    expected = [[1 / 3, 2 / 3, 0, 0.25, 0.25, 0], [0, 1, 0, 0, 0, 1]]
    np.testing.assert_allclose(shares, expected)
