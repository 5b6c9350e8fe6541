"""Proportional odds: a logistic regression of two classes, the gradient, the order, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from scipy.optimize import approx_fprime, check_grad
from sklearn.linear_model import LogisticRegression

from distembed.heads import SetOrdinal, cross_validated
from distembed.heads.ordinal import ProportionalOdds, _loss, _newton

SEEDS = st.integers(0, 2**31 - 1)


def draw(rng, n, latent, classes):
    x = rng.normal(size=(n, latent))
    score = x[:, 0] + rng.logistic(size=n)
    y = np.searchsorted(np.quantile(score, np.arange(1, classes) / classes), score)
    return x, y, rng.uniform(0.5, 2, n)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_two_classes_are_a_logistic_regression(seed):
    x, y, w = draw(np.random.default_rng(seed), 30, 3, 2)
    own = ProportionalOdds().fit(x, y, w)
    logistic = LogisticRegression(tol=1e-10, max_iter=5000).fit(x, y, w)
    np.testing.assert_allclose(own.coef_, logistic.coef_[0], atol=2e-5)
    np.testing.assert_allclose(own.predict_proba(x), logistic.predict_proba(x), atol=2e-5)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(2, 5))
def test_the_gradient_is_that_of_the_objective(seed, classes):
    rng = np.random.default_rng(seed)
    x, y, w = draw(rng, 25, 2, classes)
    point = np.concatenate([rng.normal(size=2), np.sort(rng.normal(size=classes - 1))])
    gradient, step = _newton(point, x, y, w)
    error = check_grad(_loss, lambda *rest: _newton(*rest)[0], point, x, y, w)
    assert error < 1e-4 * (1 + np.linalg.norm(gradient))
    near = 1e-7 * np.diff(point[2:]).min(initial=1.0)
    hessian = approx_fprime(point, lambda p: _newton(p, x, y, w)[0], near)
    np.testing.assert_allclose(hessian @ step, gradient, rtol=1e-2, atol=1e-2)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(2, 5), st.sampled_from([0.05, 1.0, 20.0]))
def test_the_gradient_vanishes_at_the_fit(seed, classes, scale):
    x, y, w = draw(np.random.default_rng(seed), 30, 3, classes)
    model = ProportionalOdds().fit(scale * x, y, w)
    point = np.concatenate([model.coef_, model.thresholds_])
    np.testing.assert_allclose(_newton(point, scale * x, y, w)[0], 0, atol=1e-5 * scale * w.sum())


def test_thresholds_out_of_order_have_no_likelihood():
    x, y, w = draw(np.random.default_rng(0), 25, 2, 3)
    assert _loss(np.array([0.0, 0.0, 1.0, 0.5]), x, y, w) == np.inf
    assert np.isfinite(_loss(np.array([0.0, 0.0, 0.5, 1.0]), x, y, w))


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(2, 5))
def test_reversed_classes_have_reversed_probabilities(seed, classes):
    x, y, w = draw(np.random.default_rng(seed), 40, 2, classes)
    p = ProportionalOdds().fit(x, y, w).predict_proba(x)
    q = ProportionalOdds().fit(x, classes - 1 - y, w).predict_proba(x)
    np.testing.assert_allclose(p, q[:, ::-1], atol=1e-4)
    np.testing.assert_allclose(p.sum(1), 1)
    assert (p > 0).all()


def test_probabilities_are_those_of_the_law():
    """Slopes and thresholds of 4,000 draws are within five standard errors of the true ones."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 1))
    y = np.searchsorted([-1.0, 0.5], 1.5 * x[:, 0] + rng.logistic(size=4000))
    model = ProportionalOdds().fit(x, y)
    # the information of the score is at least that of the better split, about 0.15 n
    error = 1 / np.sqrt(0.15 * 4000)
    assert abs(model.coef_[0] - 1.5) < 5 * error
    np.testing.assert_allclose(model.thresholds_, [-1, 0.5], atol=5 * error)


def test_the_estimator_keeps_the_order_that_is_stated():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(60, 2))
    stage = np.array(["mild", "bad", "worst"])[np.digitize(z[:, 0], [-0.5, 0.5])]
    head = SetOrdinal(order=["mild", "bad", "worst"]).fit(z, stage)
    assert head.classes_.tolist() == ["mild", "bad", "worst"]
    assert (head.predict(z) == stage).mean() > 0.8
    # far out on either side are the ends of the order
    assert head.predict([[-9.0, 0.0], [9.0, 0.0]]).tolist() == ["mild", "worst"]
    result = cross_validated(z, stage, estimator=head, folds=3, repeats=1)
    assert result["balanced_accuracy"].value > 0.6
    assert result.classes.tolist() == ["bad", "mild", "worst"]
    assert (result.prediction == stage).mean() > 0.6


@pytest.mark.parametrize(
    ("order", "message"),
    [(["a"], "'b' of the target is not in order"), (["a", "b", "b"], "names a class twice")],
)
def test_an_order_that_does_not_fit_is_refused(order, message):
    with pytest.raises(ValueError, match=message):
        SetOrdinal(order=order).fit(np.zeros((4, 1)), ["a", "a", "b", "b"])
