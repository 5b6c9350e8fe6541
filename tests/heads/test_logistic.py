"""The logistic regression of two classes: its minimum, that of scikit-learn, and extreme data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

pytest.importorskip("sklearn")

from sklearn.linear_model import LogisticRegression

from distembed.heads.logistic import BinaryLogistic


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
