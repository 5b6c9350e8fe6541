"""Features are matched by name, and constant ones are named."""

import pytest

from distembed.data.features import match_columns


def test_match_columns():
    assert match_columns(("a", "b"), ("c", "b", "a")) == [2, 1]
    assert match_columns(("a", "b"), ("a", "b", "c")) == [0, 1]
    assert match_columns(("a", "b"), ("a", "b")) is None
    assert match_columns(None, ("a",)) is None
    assert match_columns(("a",), None) is None
    with pytest.raises(ValueError, match=r"lack 2 of the model's 3 features: a, c\. .*are: x, b"):
        match_columns(("a", "b", "c"), ("x", "b"))


def test_many_features_take_no_time():
    names = tuple(map(str, range(100_000)))
    assert match_columns(names, names[::-1]) == list(range(99_999, -1, -1))
