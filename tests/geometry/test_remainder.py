"""Distances with remainders: laws of the formula, and where it is exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.geometry.remainder import SHARED, add_remainders

lengths = st.floats(0, 1e3)
squares = st.floats(0, 1e6)


@given(squares, lengths, lengths)
@settings(max_examples=100, deadline=None)
def test_it_is_symmetric_and_between_none_and_all_of_the_remainders(x, u, v):
    total = add_remainders(x, u, v)
    assert total == add_remainders(x, v, u)
    assert x <= total <= (x + 2 * u * v) * (1 + 1e-12)


@given(st.lists(squares, min_size=2, max_size=9), lengths, lengths)
@settings(max_examples=100, deadline=None)
def test_it_increases_with_the_distance_of_the_embeddings(x, u, v):
    ordered = np.unique(x)
    steps = np.diff(add_remainders(ordered, u, v))
    assert (steps >= 0).all()
    # neighbouring floats have one sum with the lengths
    apart = np.diff(ordered) > 1e-12 * (ordered[1:] + (u + v) ** 2)
    assert (steps[apart] > 0).all()


@given(squares, lengths, lengths, st.floats(1e-3, 1e3))
@settings(max_examples=100, deadline=None)
def test_units_do_not_matter(x, u, v, unit):
    scaled = add_remainders(unit**2 * x, unit * u, unit * v)
    assert scaled == pytest.approx(unit**2 * add_remainders(x, u, v), rel=1e-6, abs=1e-6)


def test_equal_embeddings_are_at_no_distance_and_far_ones_add_both_squares():
    assert add_remainders(0.0, 3.0, 3.0) == 0
    apart, u, v = 40.0, 3.0, 1.0
    x = apart + (u - v) ** 2
    assert x > 7 * SHARED * 2 * u * v  # the shared part is below e^-7
    assert add_remainders(x, u, v) == pytest.approx(apart + u**2 + v**2, rel=1e-3)


def test_estimates_below_zero_stay_and_lengths_below_zero_are_none():
    assert add_remainders(-2.0, 3.0, 3.0) == -2.0
    assert add_remainders(5.0, -1.0, 3.0) == 5.0
    matrix = add_remainders(np.ones((2, 3)), np.ones((2, 1)), np.arange(3.0))
    assert matrix.shape == (2, 3)
    assert (matrix[:, 0] == 1).all()
