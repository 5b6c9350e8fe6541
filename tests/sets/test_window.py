"""Windows: which atoms they hold, where they end, and what they do not cross."""

import logging
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.data.observations import Observations
from distembed.sets.window import by_window


def series(t, **columns):
    t = np.asarray(t)
    named = {k: np.asarray(v) for k, v in columns.items()}
    return Observations(np.arange(float(len(t)))[:, None], {"t": t} | named)


def members(sets):
    return [
        sorted(sets.rows[a:b].tolist())
        for a, b in zip(sets.offsets, sets.offsets[1:], strict=False)
    ]


@given(
    st.lists(st.integers(0, 40), min_size=4, max_size=30),
    st.integers(1, 15),
    st.integers(1, 10),
    st.booleans(),
)
def test_a_window_holds_the_atoms_between_its_ends(t, width, stride, expanding):
    obs = series(t)
    sets = by_window(obs, "t", width=width, stride=stride, expanding=expanding, min_size=1)
    t = np.asarray(t)
    for s, rows in enumerate(members(sets)):
        low, high = sets.meta["t_from"][s], sets.meta["t_to"][s]
        inside = (t >= low) & ((t < high) | ((high == t.max()) & (t == high)))
        assert rows == np.flatnonzero(inside).tolist()
        assert (low == t.min()) if expanding else (high - low == width)


@given(st.integers(4, 30), st.integers(1, 8), st.integers(1, 5))
def test_windows_of_a_count_are_consecutive(rows, count, stride):
    t = np.random.default_rng(rows).permutation(rows)
    sets = by_window(series(t), "t", count=count, stride=stride, min_size=1)
    order = np.argsort(t)
    count = min(count, rows)
    expected = [sorted(order[a : a + count].tolist()) for a in range(0, rows - count + 1, stride)]
    assert members(sets) == expected


def test_no_window_crosses_a_boundary():
    donor = np.repeat(["a", "b"], 6)
    t = np.concatenate([np.arange(6), np.arange(100, 106)])
    sets = by_window(series(t, donor=donor), "t", width=3, within="donor")
    assert sets.ids.tolist() == ["a|0 to 3", "b|100 to 103"]
    assert sets.meta["donor"].tolist() == ["a", "b"]
    for rows in members(sets):
        assert len(set(donor[rows])) == 1


def test_dates_have_widths_in_days_or_durations():
    t = np.datetime64("2024-01-01T00", "ns") + np.arange(10) * np.timedelta64(1, "D")
    days = by_window(series(t), "t", width=5)
    durations = by_window(series(t), "t", width=np.timedelta64(5, "D"))
    assert members(days) == members(durations) == [[0, 1, 2, 3, 4]]
    assert days.ids.tolist() == ["2024-01-01 to 2024-01-06"]


def test_atoms_in_no_window_are_counted(caplog):
    with caplog.at_level(logging.WARNING, "distembed"):
        by_window(series(np.arange(10)), "t", width=4)
    assert "2 of 10 atoms are in no window" in caplog.text


def test_weights_stay_and_atoms_of_weight_zero_are_left_out():
    obs = series(np.arange(4), w=np.array([1.0, 3.0, 0.0, 1.0]))
    sets = by_window(obs, "t", count=3, weights="w")
    assert sets.rows.tolist() == [0, 1, 3]
    np.testing.assert_allclose(sets.w, [0.2, 0.6, 0.2])


def test_windows_of_one_name_are_numbered():
    sets = by_window(series([1, 1, 1, 1]), "t", count=2)
    assert sets.ids.tolist() == ["1 to 1", "1 to 1 (2)"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either the width of a window or its count"),
        ({"width": 1, "count": 2}, "and not both"),
        ({"width": 0}, "width = 0; it is positive"),
        ({"width": 2, "stride": -1}, "stride = -1; it is positive"),
        ({"width": np.timedelta64(1, "D")}, "the column holds numbers"),
        ({"count": 0}, "whole and positive"),
        ({"count": 2, "stride": 0.5}, "whole and positive"),
        ({"count": 2, "stride": np.timedelta64(1, "D")}, "whole and positive"),
        ({"width": 0.5}, "min_size = 2"),
        ({"width": 2, "within": "batch"}, "no column 'batch'"),
    ],
)
def test_what_is_no_window_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        by_window(series(np.arange(6)), "t", **options)


def test_text_and_missing_values_have_no_order():
    with pytest.raises(ValueError, match="windows are along numbers or dates"):
        by_window(series(["a", "b"]), "t", width=1)
    with pytest.raises(ValueError, match="no value in row 1"):
        by_window(series([0.0, np.nan]), "t", width=1)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.float16, np.uint64])
@pytest.mark.parametrize(("width", "stride"), [(100, None), (30, 15), (40, 1), (59, 59)])
def test_windows_do_not_depend_on_the_type_of_the_column(dtype, width, stride):
    t = np.repeat(np.arange(60), 2)
    sets = by_window(series(t.astype(dtype)), "t", width=width, stride=stride)
    assert members(sets) == members(by_window(series(t), "t", width=width, stride=stride))


def test_ends_beyond_a_short_type_are_exact():
    t = np.arange(-120, 121, 20)
    sets = by_window(series(t.astype(np.int8)), "t", width=200)
    assert sets.ids.tolist() == ["-120 to 80"]
    assert members(sets) == [list(range(10))]


def test_windows_of_dates_of_any_century():
    t = np.datetime64("1200-01-01") + np.arange(10)
    assert by_window(series(t), "t", width=5).ids.tolist() == ["1200-01-01 to 1200-01-06"]


def test_a_width_in_other_units_is_refused_before_its_windows_are_made():
    day = 86_400 * 10**9
    with pytest.raises(ValueError, match="width = 3 and stride = 3 make .* windows of values"):
        by_window(series(np.arange(10) * day), "t", width=3)
    assert len(by_window(series(np.arange(10) * day), "t", width=3 * day)) == 3


@pytest.mark.parametrize("width", [timedelta(days=5), np.timedelta64(120, "h"), 5])
def test_durations_of_any_library(width):
    t = np.datetime64("2024-01-01") + np.arange(10)
    assert members(by_window(series(t), "t", width=width)) == [[0, 1, 2, 3, 4]]


def test_a_month_is_no_width():
    t = np.datetime64("2024-01-01") + np.arange(100)
    with pytest.raises(ValueError, match="width = 1 months; months and years differ in length"):
        by_window(series(t), "t", width=np.timedelta64(1, "M"))


def test_parts_with_fewer_atoms_than_the_count_are_named(caplog):
    donor = np.repeat(["a", "b"], [6, 2])
    with caplog.at_level(logging.WARNING, "distembed"):
        sets = by_window(series(np.arange(8), donor=donor), "t", count=3, within="donor")
    assert sets.sizes.tolist() == [3, 3, 2]
    assert "1 of 3 windows have fewer than count = 3 atoms" in caplog.text


@given(
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([3, 7, 10]),
    st.sampled_from([0.0, 1e3, 1.7e9]),
)
def test_atoms_on_a_boundary_are_in_one_window_whatever_the_unit(
    rows, width, stride, unit, origin
):
    """0.1 + 2 x 0.1 is no 0.3 in binary, but an atom at 0.3 begins the window from there."""
    t = np.arange(rows)
    whole = by_window(series(t), "t", width=width, stride=stride, min_size=1)
    part = by_window(
        series(t / unit + origin), "t", width=width / unit, stride=stride / unit, min_size=1
    )
    assert members(part) == members(whole)


def test_a_part_that_is_not_as_wide_as_a_window_is_named(caplog):
    columns = {"day": np.array([0, 5, 10, 0, 3]), "donor": np.array(list("aaabb"))}
    atoms = Observations(np.arange(5.0)[:, None], columns)
    sets = by_window(atoms, "day", width=4, stride=4, within="donor", min_size=1)
    assert "1 of 3 windows of width = 4 hold all atoms of their part" in caplog.text
    assert sets.sizes[-1] == 2
    caplog.clear()
    by_window(atoms, "day", width=3, stride=3, within="donor", min_size=1)
    assert "of their part" not in caplog.text
