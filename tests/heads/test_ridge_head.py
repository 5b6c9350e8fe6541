"""The ridge of heads is that of scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.heads.ridge import WeightedRidge


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 8), st.booleans())
def test_it_is_the_ridge_of_scikit_learn(seed, n, inputs, weighted):
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(seed)
    x, y = rng.normal(2, 3, (n, inputs)), rng.normal(5, 2, n)
    w = rng.uniform(0.1, 3, n) if weighted else None
    ours, theirs = WeightedRidge().fit(x, y, w), linear.Ridge(alpha=1.0).fit(x, y, w)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-7, atol=1e-8)
