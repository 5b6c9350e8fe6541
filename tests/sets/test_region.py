"""A split by regions shares no atom, keeps the buffer, and says what it leaves out."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.data.observations import Observations
from distembed.sets.kernel import Kernel, by_kernel
from distembed.sets.region import kd_blocks, split_by_region
from distembed.sets.window import by_window


def tissue(seed=0, rows=400, scale=0.6):
    rng = np.random.default_rng(seed)
    columns = {"x": rng.uniform(0, 10, rows), "y": rng.uniform(0, 10, rows)}
    obs = Observations(rng.normal(size=(rows, 2)), columns)
    return by_kernel(obs, ["x", "y"], 60, Kernel("box", scale), rng=seed, min_size=1)


@given(st.integers(0, 50), st.floats(0.1, 0.6), st.integers(2, 10))
def test_no_atom_is_shared_and_the_buffer_is_kept(seed, test, blocks):
    sets = tissue(seed)
    train, held_out = split_by_region(sets, ["x", "y"], test, buffer=1.2, blocks=blocks, rng=seed)
    assert not len(np.intersect1d(train.rows, held_out.rows))
    assert not set(train.ids) & set(held_out.ids)
    at = [np.stack([s.meta["x"], s.meta["y"]], 1) for s in (train, held_out)]
    assert np.linalg.norm(at[0][:, None] - at[1], axis=-1).min() > 1.2


@given(st.integers(0, 100), st.integers(2, 12))
def test_blocks_differ_by_a_factor_of_two_at_most(seed, blocks):
    places = np.random.default_rng(seed).normal(size=(50, 2))
    sizes = np.bincount(kd_blocks(places, blocks))
    assert len(sizes) == blocks
    assert sizes.sum() == 50
    assert sizes.max() <= 2 * sizes.min() + 1


def test_what_is_left_out_is_counted(caplog):
    sets = tissue()
    with caplog.at_level(logging.WARNING, "distembed"):
        train, held_out = split_by_region(sets, ["x", "y"], buffer=1.2)
    lost = len(sets) - len(train) - len(held_out)
    assert f"{lost} of {len(sets)} sets are within the buffer" in caplog.text


def test_a_random_split_of_overlapping_sets_is_refused():
    with pytest.raises(ValueError, match="sets of the test part share atoms"):
        tissue(scale=3.0).split(0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"buffer": 0.1}, "share atoms across the buffer 0.1"),
        ({"buffer": 100.0}, "No training set is further than the buffer"),
        ({"buffer": -1.0}, "the buffer is not negative"),
        ({"buffer": 1.0, "blocks": 1}, "at least two blocks"),
        ({"buffer": 1.0, "test": 2.0}, "a share between 0 and 1"),
        ({"buffer": 1.0, "coordinates": ["z"]}, "no metadata column 'z'"),
    ],
)
def test_a_split_that_cannot_be(options, message):
    arguments = {"coordinates": ["x", "y"]} | options
    with pytest.raises(ValueError, match=message):
        split_by_region(tissue(scale=2.0), **arguments)


@pytest.mark.parametrize("unit", ["D", "s", "ns"])
def test_a_buffer_beside_dates_is_in_days(unit):
    number = Observations(np.arange(80.0)[:, None], {"day": np.arange(80)})
    days = (np.datetime64("2024-01-01") + np.arange(80)).astype(f"datetime64[{unit}]")
    date = Observations(number.x, {"day": days})
    for buffer in (4.0, 11.0):
        parts = [
            split_by_region(by_window(obs, "day", width=4), ["day_from"], 0.25, buffer=buffer)
            for obs in (number, date)
        ]
        for a, b in zip(*parts, strict=True):
            assert a.rows.tolist() == b.rows.tolist()


def test_places_that_are_text_or_missing_are_refused():
    sets = tissue()
    text = sets.with_meta({"x": np.full(len(sets), "far")})
    with pytest.raises(ValueError, match="they are numbers or dates"):
        split_by_region(text, ["x"], buffer=1.0)
    missing = sets.with_meta({"x": np.full(len(sets), np.nan)})
    with pytest.raises(ValueError, match="no coordinate in row 0"):
        split_by_region(missing, ["x"], buffer=1.0)
