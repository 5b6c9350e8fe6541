"""Logistic regression: its minimum, that of scikit-learn, and extreme data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, check_grad
from scipy.special import expit

pytest.importorskip("sklearn")

from sklearn.linear_model import LogisticRegression

from distembed.heads.logistic import BinaryLogistic, MultinomialLogistic, _Classes
from distembed.heads.ordinal import ProportionalOdds


def cohort(n, k, scale, seed):
    rng = np.random.default_rng(seed)
    x = scale * rng.normal(size=(n, k))
    y = np.where(rng.permutation(n) < max(1, n // 3), "b", "a")
    return x, y, rng.uniform(0.1, 3, n)


@given(
    st.integers(2, 60), st.integers(1, 12), st.sampled_from([1e-3, 1.0, 30.0]), st.integers(0, 99)
)
@settings(max_examples=40)
def test_the_gradient_vanishes(n, k, scale, seed):
    x, y, w = cohort(n, k, scale, seed)
    model = BinaryLogistic().fit(x, y, w)
    left = w * (model.predict_proba(x)[:, 1] - (y == "b"))
    assert abs(left.sum()) < 1e-5 * w.sum()
    np.testing.assert_allclose(x.T @ left + model.coef_[0], 0, atol=1e-5 * scale * w.sum())


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_regression_of_scikit_learn(seed):
    x, y, w = cohort(50, 6, 1.0, seed)
    own = BinaryLogistic().fit(x, y, w)
    other = LogisticRegression(tol=1e-12, max_iter=10_000).fit(x, y, w)
    np.testing.assert_allclose(own.coef_, other.coef_, atol=1e-6)
    np.testing.assert_allclose(own.intercept_, other.intercept_, atol=1e-6)
    np.testing.assert_allclose(own.predict_proba(x), other.predict_proba(x), atol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_heavy_tails_need_shorter_steps(seed):
    """Whole steps of Newton diverge on some of these."""
    rng = np.random.default_rng(seed)
    x, w = 10 * rng.standard_t(1.5, size=(16, 3)), 10 ** rng.uniform(-2, 2, 16)
    y = np.arange(16) % 3 == 0
    model = BinaryLogistic().fit(x, y, w)
    left = w * (model.predict_proba(x)[:, 1] - y)
    np.testing.assert_allclose(
        x.T @ left + model.coef_[0], 0, atol=1e-6 * (w @ np.abs(x)).max(), err_msg="gradient"
    )


@pytest.mark.parametrize(
    ("model", "classes"), [(BinaryLogistic, 2), (MultinomialLogistic, 3), (ProportionalOdds, 3)]
)
def test_a_class_without_weight_is_refused(model, classes):
    y = np.arange(12) % classes
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="a set of positive weight"):
        model().fit(np.arange(12.0)[:, None], y, (y > 0).astype(float))


def test_separated_classes_and_far_points_are_finite():
    x = np.array([[-1e4], [-1e4], [1e4], [1.0001e4]])
    model = BinaryLogistic().fit(x, np.array([0, 0, 1, 1]))
    assert np.isfinite(model.coef_).all()
    p = model.predict_proba([[-1e6], [0.0], [1e6]])
    np.testing.assert_allclose(p.sum(1), 1)
    assert p[0, 1] < 1e-6
    assert p[2, 0] < 1e-6


def test_a_weight_is_that_many_sets():
    x, y, _ = cohort(12, 3, 1.0, 0)
    count = np.arange(1, 13)
    weighted = BinaryLogistic().fit(x, y, count.astype(float))
    repeated = BinaryLogistic().fit(np.repeat(x, count, 0), np.repeat(y, count))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-9)


def test_inputs_that_tell_nothing_leave_the_share():
    model = BinaryLogistic().fit(np.zeros((4, 2)), np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(model.coef_, 0)
    assert expit(model.intercept_[0]) == pytest.approx(0.25)


def classes(n, k, c, scale, seed):
    """Inputs, classes that all occur, and weights."""
    rng = np.random.default_rng(seed)
    return (
        scale * rng.normal(size=(n, k)),
        rng.permutation(np.arange(n) % c),
        rng.uniform(0.1, 3, n),
    )


DIRECT = pytest.mark.parametrize("direct", [0, 10**6], ids=["gradients", "direct"])


@DIRECT
@given(
    st.integers(5, 40), st.integers(1, 9), st.integers(2, 5), st.sampled_from([1e-3, 1.0, 30.0]),
    st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_the_gradient_of_many_classes_vanishes(direct, n, k, c, scale, seed):
    x, y, w = classes(n, k, c, scale, seed)
    model = MultinomialLogistic(direct).fit(x, y, w)
    left = w[:, None] * (model.predict_proba(x) - np.eye(c)[y])
    np.testing.assert_allclose(left.sum(0), 0, atol=1e-5 * w.sum())
    np.testing.assert_allclose(x.T @ left + model.coef_.T, 0, atol=1e-5 * max(scale, 1) * w.sum())
    np.testing.assert_allclose(model.coef_.sum(0), 0, atol=1e-9 * max(1, abs(model.coef_).max()))


@DIRECT
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_many_classes_are_those_of_scikit_learn(direct, scale):
    x, y, w = classes(50, 12, 4, scale, 0)
    names = np.array(["d", "a", "c", "b"])[y]
    own = MultinomialLogistic(direct).fit(x, names, w)
    other = LogisticRegression(tol=1e-12, max_iter=10_000).fit(x, names, w)
    assert own.classes_.tolist() == other.classes_.tolist()
    np.testing.assert_allclose(own.coef_, other.coef_, atol=1e-5)
    # intercepts have no penalty, and a general solver leaves the rest of their gradient
    np.testing.assert_allclose(own.predict_proba(x), other.predict_proba(x), atol=1e-5)
    np.testing.assert_allclose(own.predict_proba(x).sum(1), 1)


@DIRECT
def test_heavy_tails_of_many_classes_need_shorter_steps(direct):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x, w = 10 * rng.standard_t(1.5, size=(16, 3)), 10 ** rng.uniform(-2, 2, 16)
        y = np.arange(16) % 3
        model = MultinomialLogistic(direct).fit(x, y, w)
        left = w[:, None] * (model.predict_proba(x) - np.eye(3)[y])
        bound = 1e-6 * (w @ np.abs(x)).max()
        np.testing.assert_allclose(x.T @ left + model.coef_.T, 0, atol=bound)


@pytest.mark.parametrize("weight", [0.01, 1.0])
def test_a_step_of_many_classes_is_that_of_newton(weight):
    x, y, w = classes(30, 4, 3, 1.0, 0)
    problem = _Classes.of(np.column_stack([x, np.ones(30)]), y, weight * w)
    v = 0.1 * np.random.default_rng(1).normal(size=(5, 2))
    gradient, step = problem.newton(v)

    def value(flat):
        return problem.loss(flat.reshape(5, 2))

    def slope(flat):
        return problem.newton(flat.reshape(5, 2))[0].ravel()

    assert check_grad(value, slope, v.ravel()) < 1e-4 * np.linalg.norm(gradient)
    hessian = approx_fprime(v.ravel(), slope, 1e-6)
    np.testing.assert_allclose(hessian @ step.ravel(), gradient.ravel(), rtol=1e-4, atol=1e-5)
    # conjugate gradients stop at a hundredth of the decrease, or earlier near the minimum
    other, near = problem.newton_by_gradients(v)
    np.testing.assert_allclose(other, gradient)
    gap = (near - step).ravel()
    assert gap @ hessian @ gap <= 0.02 * gradient.ravel() @ step.ravel()


def test_classes_without_inputs_have_their_shares():
    model = MultinomialLogistic().fit(np.zeros((4, 2)), np.array([0, 1, 2, 2]))
    np.testing.assert_allclose(model.predict_proba(np.zeros((1, 2))), [[0.25, 0.25, 0.5]])
