"""Proportional hazards: the partial likelihood by a direct sum, its laws, another package."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from scipy.optimize import approx_fprime, check_grad, minimize
from sklearn.base import clone

from distembed.heads import SetSurvival, cross_validated, event_times
from distembed.heads.hazards import ProportionalHazards, _TimeOrder, hazard_loss
from distembed.heads.scores import concordance
from distembed.model.embeddings import Embeddings

SEEDS = st.integers(0, 2**31 - 1)


def draw(rng, n=25, latent=2, ties=False):
    """Inputs, exponential times with log hazard x_1, a third of them censored, and weights."""
    x = rng.normal(size=(n, latent))
    time = rng.exponential(np.exp(-x[:, 0]))
    time = np.ceil(4 * time) if ties else time
    event = rng.random(n) < 2 / 3
    event[:2] = True
    return x, event_times(time, event), rng.uniform(0.5, 2, n)


def partial_likelihood(b, x, y, w):
    """The penalised negative partial log-likelihood, as a sum over events."""
    f, total = x @ b, b @ b / 2
    for i in np.flatnonzero(y["event"]):
        at_risk = y["time"] >= y["time"][i]
        total -= w[i] * (f[i] - np.log((w * np.exp(f))[at_risk].sum()))
    return total


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.booleans())
def test_the_objective_is_the_partial_likelihood_and_has_its_gradient(seed, ties):
    rng = np.random.default_rng(seed)
    x, y, w = draw(rng, ties=ties)
    rows, b = np.argsort(y["time"], kind="stable"), rng.normal(size=2)
    x, y, w = x[rows], y[rows], w[rows]
    order = _TimeOrder.of(y, w)
    assert order.loss(b, x) == pytest.approx(partial_likelihood(b, x, y, w), rel=1e-12)
    gradient, step = order.newton(b, x)
    error = check_grad(order.loss, lambda p, x: order.newton(p, x)[0], b, x)
    assert error < 1e-5 * (1 + np.linalg.norm(gradient))
    hessian = approx_fprime(b, lambda p: order.newton(p, x)[0], 1e-6)
    np.testing.assert_allclose(hessian @ step, gradient, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("latent", [1, 6])
def test_slopes_are_those_of_a_general_solver(latent, scale, ties):
    x, y, w = draw(np.random.default_rng(latent), latent=latent, ties=ties)
    x = scale * x
    own = ProportionalHazards().fit(x, y, w).coef_
    other = minimize(
        partial_likelihood, np.zeros(latent), (x, y, w), options={"gtol": 1e-6, "maxiter": 2000}
    )
    assert partial_likelihood(own, x, y, w) <= other.fun + 1e-9 * abs(other.fun)
    # both minimise a function that is convex by |b|^2 / 2 at least
    gap = partial_likelihood(other.x, x, y, w) - partial_likelihood(own, x, y, w)
    assert np.linalg.norm(own - other.x) <= np.sqrt(2 * max(gap, 0)) + 1e-6


def test_risks_out_of_all_proportion_are_finite():
    x, y, _ = draw(np.random.default_rng(0))
    model = ProportionalHazards().fit(1e4 * x, y)
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.log_hazard_[-1])


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.booleans())
def test_it_is_at_the_minimum_and_knows_only_the_order_of_times(seed, ties):
    x, y, w = draw(np.random.default_rng(seed), ties=ties)
    model = ProportionalHazards().fit(x, y, w)
    least = partial_likelihood(model.coef_, x, y, w)
    for move in 1e-3 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]):
        assert partial_likelihood(model.coef_ + move, x, y, w) > least - 1e-9
    other = ProportionalHazards().fit(x, event_times(np.exp(y["time"]), y["event"]), w)
    np.testing.assert_allclose(other.coef_, model.coef_, atol=1e-6)
    doubled = ProportionalHazards().fit(np.tile(x, (2, 1)), np.tile(y, 2), np.tile(w / 2, 2))
    np.testing.assert_allclose(doubled.coef_, model.coef_, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.booleans())
def test_expected_events_add_up_to_those_that_happened(seed, ties):
    x, y, w = draw(np.random.default_rng(seed), ties=ties)
    model = ProportionalHazards().fit(x, y, w)
    expected = np.exp(model.log_baseline(y["time"]) + model.predict(x))
    # Breslow's estimate, in which each event shares out its weight over the sets at risk
    assert w @ expected == pytest.approx(w @ y["event"], rel=1e-9)
    # and of the training sets the loss is the deviance of a count
    late = y["event"] | (model.log_baseline(y["time"]) > -np.inf)
    loss = hazard_loss(model, x[late], y[late])
    counts = expected[late] - y["event"][late] * np.log(expected[late])
    np.testing.assert_allclose(loss, counts, rtol=1e-9)


def test_an_event_before_all_others_has_a_finite_loss():
    x, y, _ = draw(np.random.default_rng(0))
    model = ProportionalHazards().fit(x, y)
    early = event_times([y["time"].min() / 2, y["time"][y["event"]].min()], [1, 1])
    first, second = hazard_loss(model, x[[0, 0]], early)
    # nothing is expected before the first event, which is the one that the logarithm is taken at
    hazard = np.exp(model.log_baseline(early["time"][1:]) + model.predict(x[:1]))[0]
    assert first == pytest.approx(-np.log(hazard))
    assert second == pytest.approx(hazard - np.log(hazard))


def test_it_agrees_with_scikit_survival():
    linear = pytest.importorskip("sksurv.linear_model")
    metrics = pytest.importorskip("sksurv.metrics")
    x, y, _ = draw(np.random.default_rng(0), n=80, ties=True)
    theirs = linear.CoxPHSurvivalAnalysis(alpha=1.0, tol=1e-12).fit(x, y)
    own = ProportionalHazards().fit(x, y)
    np.testing.assert_allclose(own.coef_, theirs.coef_, atol=1e-6)
    times = theirs.cum_baseline_hazard_.x
    np.testing.assert_allclose(
        np.exp(own.log_baseline(times)), theirs.cum_baseline_hazard_.y, rtol=1e-5
    )
    risk = own.predict(x).round(1)
    theirs_score = metrics.concordance_index_censored(y["event"], y["time"], risk)[0]
    assert concordance(y, risk) == pytest.approx(theirs_score, abs=1e-12)


def cohort(seed=0, n=120):
    rng = np.random.default_rng(seed)
    zeta = rng.normal(size=(n, 3)) * [2.0, 1.0, 0.5]
    cov = np.broadcast_to(0.3 * np.eye(3), (n, 3, 3)).astype(np.float32)
    z = (zeta + rng.normal(size=(n, 3)) * 0.3**0.5).astype(np.float32)
    time = rng.exponential(np.exp(-zeta[:, 0]))
    sizes = np.full(n, 20)
    table = Embeddings(z, np.arange(n).astype(str), sizes, sizes.astype(float), cov=cov)
    return table, event_times(np.minimum(time, 2.0), time < 2.0)


@pytest.mark.slow
def test_a_cohort_is_cross_validated_by_concordance():
    table, y = cohort()
    head = SetSurvival(correction="none", penalties=(1e-3, 1e-1), scale="common")
    result = cross_validated(table, y, estimator=head, repeats=2, permutations=19)
    # the concordance of the true log hazard itself is near 0.85 here
    assert 0.75 < result["concordance"].value < 0.95
    assert result.p_value == 0.05
    assert result["concordance"].chance == 0.5
    assert result.classes is None
    assert np.isfinite(result.prediction).all()
    rng = np.random.default_rng(1)
    none = cross_validated(table, y[rng.permutation(len(y))], estimator=head, repeats=2)
    assert none["concordance"].low < 0.5 < none["concordance"].high


def test_too_few_without_an_event_are_named_as_such():
    table, y = cohort()
    few = event_times(y["time"], np.arange(len(y)) > 1)
    with pytest.raises(
        ValueError, match=r"Class 'no event' occurs in 2 of .* \(--folds\)"
    ) as error:
        cross_validated(table, few, estimator=SetSurvival(), folds=5)
    assert "regress" not in str(error.value)


@pytest.mark.parametrize("correction", ["none", "weights", "calibrated", "marginal"])
def test_probabilities_fall_with_time_and_risk(correction):
    table, y = cohort()
    head = SetSurvival(correction=correction, penalties=(0.01,)).fit(table, y)
    times = np.array([0.0, 0.3, 1.0, 1.9, 50.0])
    survival = head.predict_survival(table, times)
    assert (survival[:, 0] == 1).all()
    assert (np.diff(survival[:, :4], axis=1) < 0).all()
    assert np.isnan(survival[:, 4]).all()
    assert (np.argsort(head.predict(table)) == np.argsort(-survival[:, 2])).all()
    # half of the sets live to the median time, and so says the mean over them
    assert abs(survival[:, 2].mean() - (y["time"] > 1.0).mean()) < 0.05
    # the information of a set on its score is the share of events
    fitted = head.head_.correction
    expected = fitted.whitening(0.01, y["event"].mean())
    np.testing.assert_allclose(head.head_.whitening, expected)
    assert clone(head).get_params()["correction"] == correction


@pytest.mark.parametrize(
    ("time", "event", "text"),
    [
        ([1.0, -1.0], [1, 1], "not negative"),
        ([1.0, np.inf], [1, 1], "finite"),
        ([1.0, np.nan], [1, 1], "missing for 1 of 2 sets"),
        ([1.0, 2.0], [1, 3], "and not '3'"),
        ([1.0, 2.0], [1], r"shape \(2,\) and the events \(1,\)"),
    ],
)
def test_what_is_no_time_to_an_event(time, event, text):
    with pytest.raises(ValueError, match=text):
        event_times(time, event)


def test_folds_of_one_set_have_no_concordance_and_no_p_value(caplog):
    z = np.arange(5.0)[:, None]
    result = cross_validated(z, event_times(1 + z[:, 0], np.ones(5)), repeats=1, permutations=2)
    assert np.isnan(result["concordance"].value)
    assert np.isnan(result.p_value)  # 1 would be a statement
    assert "No fold has a score" in caplog.text
    assert "5 sets are scored in 5 folds" in caplog.text


def test_times_with_events_have_a_survival_head_by_default():
    z = np.random.default_rng(0).normal(size=(12, 1))
    y = event_times(np.exp(z[:, 0]), np.ones(12))
    assert [s.name for s in cross_validated(z, y, folds=2, repeats=1).scores] == ["concordance"]


def test_what_a_survival_head_refuses():
    z = np.zeros((4, 1))
    with pytest.raises(ValueError, match=r"event_times\(time, event\)"):
        SetSurvival().fit(z, [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="1 events among 4 sets"):
        SetSurvival().fit(z, event_times([1, 2, 3, 4], [1, 0, 0, 0]))
    with pytest.raises(ValueError, match="2 times, and there are 4 sets"):
        SetSurvival().fit(z, event_times([1, 2], [1, 1]))


def test_a_set_of_weight_zero_is_no_set():
    x, y, w = draw(np.random.default_rng(0))
    last = int(y["time"].argmax())
    w[[3, last]] = 0
    kept = w > 0
    one = ProportionalHazards().fit(x, y, w)
    other = ProportionalHazards().fit(x[kept], y[kept], w[kept])
    np.testing.assert_array_equal(one.coef_, other.coef_)
    np.testing.assert_array_equal(one.log_hazard_, other.log_hazard_)
    assert np.abs(one.coef_).max() > 0.1


def test_a_time_that_is_missing_has_no_survival():
    x, y, _ = draw(np.random.default_rng(0))
    survival = SetSurvival().fit(x, y).predict_survival(x[:2], [0.0, np.nan])
    assert np.isnan(survival[:, 1]).all()
    np.testing.assert_array_equal(survival[:, 0], 1)


def test_events_in_the_place_of_times_are_refused():
    with pytest.raises(ValueError, match="Times are finite numbers"):
        event_times([True, False, True], [1, 0, 1])
