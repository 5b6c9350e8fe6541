"""Calibration of probabilities: it undoes known distortions, and keeps the order of sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from distembed.heads import SetClassifier
from distembed.heads.calibration import Calibration, reliability
from distembed.heads.rows import as_rows

SEEDS = st.integers(0, 2**31 - 1)


def bold(rng, n, slope):
    """Probabilities that are too bold by a factor of their log odds, and classes by the true."""
    odds = rng.normal(size=n)
    p = 1 / (1 + np.exp(-slope * odds))
    code = (rng.uniform(size=n) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    return np.stack([1 - p, p], 1), code, odds


def test_platt_undoes_a_slope():
    rng = np.random.default_rng(0)
    p, code, odds = bold(rng, 5000, 3.0)
    q = Calibration.fit("platt", p, code)(p)
    # the slope of 5,000 sets has a standard error of about 0.035; 5 of them move q by 0.05
    np.testing.assert_allclose(q[:, 1], 1 / (1 + np.exp(-odds)), atol=0.05)
    assert reliability(q, code).error < 0.03 < reliability(p, code).error
    assert reliability(q, code).brier < reliability(p, code).brier


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from(["platt", "isotonic"]))
def test_the_order_of_two_classes_stays_and_rows_sum_to_one(seed, name):
    rng = np.random.default_rng(seed)
    p, code, _ = bold(rng, 60, 2.0)
    q = Calibration.fit(name, p, code)(p)
    np.testing.assert_allclose(q.sum(1), 1)
    order = np.argsort(p[:, 1])
    assert (np.diff(q[order, 1]) >= -1e-12).all()


def test_isotonic_of_its_own_probabilities_is_the_pooled_share():
    p = np.repeat([[0.9, 0.1], [0.1, 0.9]], 10, axis=0)
    code = np.array([0] * 7 + [1] * 3 + [0] * 4 + [1] * 6)
    q = Calibration.fit("isotonic", p, code)(p)
    np.testing.assert_allclose(q[:, 1], [0.3] * 10 + [0.6] * 10)


def test_none_is_the_identity_and_others_are_refused():
    p = np.array([[0.2, 0.8]])
    assert Calibration.fit("none", p, np.array([1]))(p) is p
    with pytest.raises(ValueError, match="calibration is 'beta'"):
        Calibration.fit("beta", p, np.array([1]))
    with pytest.raises(ValueError, match="calibration is 'beta'"):
        SetClassifier(calibration="beta").fit(np.arange(20.0)[:, None], np.repeat([0, 1], 10))


def test_probabilities_against_the_order_become_those_of_the_classes():
    p, code, _ = bold(np.random.default_rng(1), 400, -2.0)
    q = Calibration.fit("platt", p, code)(p)
    np.testing.assert_allclose(q, np.broadcast_to(q[0], q.shape))
    assert abs(q[0, 1] - code.mean()) < 0.01


def test_reliability_by_hand():
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.2, 0.8]])
    code = np.array([0, 1, 1, 1])
    result = reliability(p, code, bins=2)
    np.testing.assert_allclose(result.predicted, [0.2, 0.7])
    np.testing.assert_allclose(result.observed, [0.5, 1.0])
    assert result.brier == pytest.approx(2 * (0.01 + 0.49 + 0.16 + 0.04) / 4)
    assert result.base == pytest.approx(2 * (0.75 * 0.0625 + 0.25 * 0.5625))
    assert result.error == pytest.approx(0.3)
    assert result.low[0] < 0.5 < result.high[0] <= 1


@pytest.mark.parametrize("name", ["platt", "isotonic"])
def test_a_calibrated_classifier_is_fitted_on_heads_of_other_folds(name):
    rng = np.random.default_rng(2)
    z = rng.normal(size=(90, 2))
    y = np.array(["a", "b", "c"])[np.digitize(z[:, 0] + 0.7 * rng.normal(size=90), [-0.5, 0.5])]
    head = SetClassifier(calibration=name, penalties=(0.1,), folds=3).fit(z, y)
    q = head.predict_proba(z)
    np.testing.assert_allclose(q.sum(1), 1)
    assert (head.predict(z) == head.classes_[q.argmax(1)]).all()
    assert not np.allclose(q, head.head_.predict(as_rows(z)))


@pytest.mark.parametrize("shares", [(0.97, 0.03), (0.9, 0.08, 0.02)])
def test_platt_keeps_the_shares_of_rare_classes(shares):
    counts = (1000 * np.array(shares)).round().astype(int)
    code = np.repeat(np.arange(len(shares)), counts)
    p = np.tile(shares, (len(code), 1))  # nothing is known, and it is said
    q = Calibration.fit("platt", p, code)(p)
    # Platt's targets move a share by about 1 / n
    np.testing.assert_allclose(q.mean(0), shares, atol=0.003)
