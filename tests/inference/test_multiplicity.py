"""Adjusted p-values: against SciPy, and laws."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distembed.inference.tests.multiplicity import benjamini_hochberg, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@settings(max_examples=50)
@given(P_VALUES)
def test_agrees_with_scipy(p):
    from scipy.stats import false_discovery_control

    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), atol=1e-15)


@given(P_VALUES)
@example([0.9934986158010399] * 3)
def test_no_adjusted_value_is_below_its_own(p):
    assert (benjamini_hochberg(p) >= np.array(p)).all()


@settings(max_examples=50)
@given(P_VALUES, st.integers(0, 10**6))
def test_order_of_tests_changes_nothing(p, seed):
    p = np.array(p)
    order = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_array_equal(benjamini_hochberg(p)[order], benjamini_hochberg(p[order]))


def test_false_discoveries_stay_below_the_level():
    random = np.random.default_rng(0)
    found, share = 0, []
    for _ in range(400):
        p = random.random(100)
        p[:20] **= 8
        chosen = benjamini_hochberg(p) <= 0.1
        share.append(chosen[20:].sum() / max(1, chosen.sum()))
        found += chosen[:20].sum()
    error = np.std(share) / 20
    # for independent tests the rate is exactly the level times the share of nulls
    assert abs(np.mean(share) - 0.08) < 4 * error
    assert found > 0


@pytest.mark.parametrize("p", [[0.1, np.nan], [1.1], [-0.1], [[0.1]]])
def test_refuses_what_is_no_p_value(p):
    with pytest.raises(ValueError, match="Leave out tests"):
        benjamini_hochberg(p)


def test_no_tests_no_values():
    assert benjamini_hochberg([]).shape == (0,)


@settings(max_examples=50)
@given(P_VALUES)
def test_holm_rejects_what_the_step_down_procedure_rejects(p):
    """The adjusted value is at most a where Holm's procedure at level a rejects."""
    adjusted = holm(p)
    for level in (0.01, 0.05, 0.3):
        order, rejected = np.argsort(p, kind="stable"), np.zeros(len(p), bool)
        for k, test in enumerate(order):
            if p[test] * (len(p) - k) > level:
                break
            rejected[test] = True
        np.testing.assert_array_equal(adjusted <= level, rejected)


@given(P_VALUES)
def test_holm_is_between_the_value_and_that_of_bonferroni(p):
    assert (holm(p) >= np.array(p)).all()
    assert (holm(p) <= np.minimum(1, len(p) * np.array(p))).all()


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(ValueError, match="outside"):
        holm([0.1, np.nan])
