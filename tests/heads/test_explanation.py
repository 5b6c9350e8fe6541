"""Explanations: closed forms of a mean, the derivative of a tilt, and the null."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sklearn")

import distembed as de
from distembed.heads import (
    SetClassifier,
    SetOrdinal,
    SetRegressor,
    SetSurvival,
    event_times,
    explain,
    explanation,
)
from distembed.heads.hazards import ProportionalHazards
from distembed.heads.rows import as_rows


@pytest.fixture(scope="module")
def cohort():
    """Sets whose label is the spread of the second of three features."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 2, 60)
    x = [
        np.stack([rng.normal(size=30), s * rng.normal(size=30) + s, rng.normal(size=30)], 1)
        for s in spread
    ]
    sets = de.read([a.astype(np.float32) for a in x]).with_meta({"y": spread})
    model = de.GDE(latent=6).fit(sets, steps=1, warmup=0, metric_steps=0, progress=False)
    return sets, model, model.embed(sets), spread


@pytest.mark.parametrize("correction", ["none", "calibrated"])
def test_the_effect_of_a_feature_is_the_derivative_of_a_tilt(cohort, correction):
    sets, model, table, y = cohort
    head = SetRegressor(correction=correction).fit(table, y)
    result = explain(model, sets, table, head, y, permutations=1, most_sets=5)
    rows = [sets.ids.tolist().index(name) for name in result.ids]
    batch = sets.batch(rows)
    x = batch.flat.double()
    centred = x - batch.expand(batch.mean(x))
    tilt = centred / batch.mean(centred.square()).mean(0).sqrt()
    for j in range(3):
        ends = []
        for step in (-1e-3, 1e-3):
            tilted = batch.replace(w=batch.w.double() * (1 + step * tilt[:, j]), x=x)
            z = model.embedder.double()(tilted).detach().numpy()
            model.embedder.float()
            moved = replace(table.select(rows), z=z)
            ends.append(head.head_.predict(as_rows(moved)).mean())
        assert result.effect[j] == pytest.approx((ends[1] - ends[0]) / 2e-3, rel=2e-2, abs=2e-3)


def test_contributions_of_a_set_sum_to_zero_and_are_the_effects(cohort):
    sets, model, table, y = cohort
    head = SetRegressor().fit(table, y)
    result = explain(model, sets, table, head, y, permutations=1, most_sets=8, most_atoms=20)
    assert len(result.ids) == 8
    assert len(result.atoms) == 160
    sums = np.bincount(result.owner, result.contribution)
    np.testing.assert_allclose(sums, 0, atol=1e-8 * np.abs(result.contribution).max() * 20)


def test_the_feature_that_the_label_is_in_stands_out(cohort):
    sets, model, table, y = cohort
    head = SetRegressor().fit(table, y)
    result = explain(model, sets, table, head, y, permutations=99)
    assert result.order[0] == 1
    assert result.p[1] == pytest.approx(0.01)
    assert result.effect[1] > result.high[1]
    assert result.unit == "the target"


@pytest.mark.slow
def test_labels_of_chance_have_no_effect_beyond_the_null(cohort):
    """Of 20 targets of chance at most 5 have an effect below p = 0.05: one is expected."""
    sets, model, table, _ = cohort
    rng, below = np.random.default_rng(1), 0
    for seed in range(20):
        y = rng.normal(size=60)
        head = SetRegressor(penalties=(0.1,), correction="none", scale="common").fit(table, y)
        result = explain(model, sets, table, head, y, permutations=39, most_sets=4, rng=seed)
        below += (result.p <= 0.05).any()
    assert below <= 5


def test_classes_and_orders(cohort):
    sets, model, table, y = cohort
    stage = np.array(["a", "b", "c"])[np.digitize(y, [1.0, 1.5])]
    head = SetOrdinal(penalties=(0.1,), correction="none").fit(table, stage)
    ordered = explain(model, sets, table, head, stage, permutations=9)
    assert ordered.effect[1] > ordered.high[1]
    assert ordered.unit == "the log odds of a higher class"
    head = SetClassifier(penalties=(0.1,), correction="none").fit(table, stage)
    lowest = explain(model, sets, table, head, stage, label="a", permutations=9)
    assert lowest.effect[1] < lowest.low[1]
    with pytest.raises(ValueError, match="one is explained: a, b, c"):
        explain(model, sets, table, head, stage, permutations=9)
    two = np.where(y > 1.2, "wide", "narrow")
    head = SetClassifier(penalties=(0.1,), correction="none").fit(table, two)
    assert explain(model, sets, table, head, two, permutations=2).unit == "the log odds of wide"


def test_times_have_effects_on_the_log_hazard(cohort):
    sets, model, table, y = cohort
    followed = event_times(np.exp(-2 * y), np.arange(60) % 4 > 0)
    head = SetSurvival(penalties=(0.1,), correction="none").fit(table, followed)
    result = explain(model, sets, table, head, followed, permutations=19)
    assert result.unit == "the log hazard"
    assert result.order[0] == 1
    assert result.effect[1] > result.high[1]
    # the head orders sets by the spread of feature 2 as a regression of the logarithm does
    assert np.corrcoef(head.predict(table), y)[0, 1] > 0.9
    chance = event_times(np.random.default_rng(0).permutation(np.exp(-2 * y)), np.ones(60))
    head = SetSurvival(penalties=(0.1,), correction="none").fit(table, chance)
    assert explain(model, sets, table, head, chance, permutations=19).p.min() > 0.05


def test_what_is_left_of_times_are_events_less_expected_ones():
    """Without a slope 1/2 and 1/2 + 1 events are expected until the times of two sets."""
    y, x = event_times([1, 2], [1, 1]), np.zeros((2, 1))
    head = SimpleNamespace(predict=lambda rows: rows[:, 0], model=ProportionalHazards().fit(x, y))
    assert explanation._left(head, x, y) == pytest.approx(0.5)


def test_an_order_may_name_classes_that_no_set_has(cohort):
    sets, model, table, y = cohort
    stage = np.where(y > 1.2, "c", "b")
    named, spare = (
        SetOrdinal(order=order, penalties=(0.1,), correction="none").fit(table, stage)
        for order in (["b", "c"], ["a", "b", "c"])
    )
    one, two = (explain(model, sets, table, h, stage, permutations=19) for h in (named, spare))
    np.testing.assert_allclose(two.low, one.low, rtol=1e-6)
    np.testing.assert_array_equal(two.p, one.p)


def test_the_null_has_the_sets_that_the_head_was_fitted_to(cohort, monkeypatch):
    sets, model, table, y = cohort
    new = replace(table, trained=None)
    head = SetRegressor(penalties=(0.1,), correction="none", calibration=0.5).fit(new, y)
    counts = set()
    fit = explanation.fit_head
    monkeypatch.setattr(
        explanation, "fit_head", lambda rows, *rest: counts.add(len(rows)) or fit(rows, *rest)
    )
    result = explain(model, sets, table, head, y, permutations=9)
    assert counts == {30}
    assert len(result.ids) == 60  # effects are of all sets
