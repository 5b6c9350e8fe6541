"""Scores of an evaluation, placed for the page."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.evaluation.metrics import number
from distembed.evaluation.result import Score
from distembed.report.results import metrics_of

METHODS = ("gde", "mean", "bures", "ot", "floor")
finite = st.floats(-0.999, 0.999).map(lambda x: round(x, 6))


@given(st.sampled_from(["w2", "spearman_w2"]), st.lists(finite, min_size=5, max_size=5))
def test_right_is_better_for_every_metric(metric, values):
    (comparison,) = metrics_of([Score(metric, m, v) for m, v in zip(METHODS, values, strict=True)])
    sign = 1 if metric == "spearman_w2" else -1
    value = dict(zip(METHODS, values, strict=True))
    places = [line.place for line in comparison.lines]
    assert places == sorted(places, reverse=True)
    assert all(4 - 1e-9 <= place <= 96 + 1e-9 for place in places)
    for line in comparison.lines:
        if line.method in ("gde", "floor"):
            assert line.kind == line.method
            continue
        gain = sign * (value[line.method] - value["gde"])
        assert line.kind == ("better" if gain > 0 else "worse" if gain < 0 else "level")
        assert line.bar[0] == pytest.approx(min(line.place, comparison.own))
        assert sum(line.bar) == pytest.approx(max(line.place, comparison.own))
    assert comparison.beaten == any(line.kind == "better" for line in comparison.lines)


def test_the_primary_metric_is_marked():
    scores = [Score("energy_unbiased", "gde", 0.1), Score("w2_debiased", "gde", 0.2)]
    assert [comparison.primary for comparison in metrics_of(scores)] == [True, False]


def test_a_loss_is_called_a_loss():
    rows = [Score("spearman_w2", "gde", 0.93, 0.9, 0.95, p=0.2)]
    rows += [Score("spearman_w2", "mean", 0.9), Score("spearman_w2", "mean_cov", 0.975)]
    (metric,) = metrics_of([*rows, Score("spearman_w2", "floor", 0.99)])
    verdict = metric.verdict.replace("\u00a0", " ")
    for fact in ("1 of 2 baselines", "0.930", "mean and root covariance (0.975)", "p = 0.2, not"):
        assert fact in verdict, fact
    assert [line.method for line in metric.lines] == ["floor", "mean_cov", "gde", "mean"]
    assert metric.lines[2].interval == "0.900 to 0.950"


def test_a_gain_and_a_tie_are_not_confused():
    rows = [Score("w2", "gde", 1.0), Score("w2", "mean", 1.0), Score("w2", "pooled", 2.0)]
    (metric,) = metrics_of(rows)
    assert metric.verdict.startswith(
        "The GDE (1.00) is better than 1 of 2 baselines and level with 1;"
    )
    assert not metric.beaten


def test_what_is_not_defined_has_no_place_and_the_gde_may_be_absent():
    rows = [Score("energy", "mean", 0.2), Score("energy", "ot", math.nan, math.nan, math.nan)]
    (metric,) = metrics_of(rows)
    assert (metric.verdict, metric.own) == ("", None)
    assert [(line.value, line.place) for line in metric.lines][1] == ("–", None)
    assert [line.kind for line in metric.lines] == ["unknown", "unknown"]
    assert metrics_of([Score("energy", "gde", math.nan)])[0].own is None


def test_metrics_keep_their_order_and_wide_ranges_are_logarithmic():
    rows = [Score("energy", "gde", 0.01), Score("w2", "gde", 1.0), Score("energy", "x", 1.0)]
    energy, w2 = metrics_of([*rows, Score("energy", "y", 0.1)])
    assert (energy.key, w2.key) == ("energy", "w2")
    assert "logarithm" in energy.scale
    assert [line.place for line in energy.lines] == pytest.approx([96, 50, 4])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.99973, "0.9997"), (0.5, "0.500"), (1234.5, "1234"), (1e-5, "1.00e-05"), (123.4, "123")],
)
def test_numbers(value, text):
    assert number(value) == text


def test_a_value_that_is_not_defined_has_a_reason():
    rows = [Score("columns", "gde", float("nan")), Score("columns", "floor", 0.4)]
    (item,) = metrics_of(rows)
    line = next(line for line in item.lines if line.method == "gde")
    assert line.value == "–"
    assert (
        line.note
        == "not defined where sequences differ in length, or no two columns vary together"
    )
