"""Features that float32 does not resolve are refused by name, and no other is."""

import logging

import numpy as np
import pytest
import scipy.sparse
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

import distembed as de
from distembed.batch import SetBatch
from distembed.data.observations import Observations
from distembed.model.inputs import as_collection
from distembed.sets.construct import by_label
from distembed.sets.read import read


def seconds(offset, sets=12, m=60):
    """Return events of sets that differ in time by minutes, and their mean times."""
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 60, sets)
    t = offset + np.round(np.repeat(mean, m) + rng.normal(0, 30, sets * m))
    return {"who": np.repeat(np.arange(sets), m), "t": t, "hr": rng.normal(70, 3, sets * m)}, mean


def read_as(form, x, who, folder):
    """Read atoms `(12 * 60, 2)` in one of several forms."""
    if form == "table":
        return read({"who": who, "t": x[:, 0], "hr": x[:, 1]}, "who")
    if form == "sparse":
        return read(scipy.sparse.csr_array(x), by=who)
    if form == "map":
        np.save(folder / "x.npy", x)
        mapped = np.load(folder / "x.npy", mmap_mode="r")
        return by_label(Observations(mapped, {"who": who}), "who")
    if form == "float64 batch":
        return as_collection(SetBatch.from_dense(torch.from_numpy(x).view(12, 60, 2)))
    return read(x, by=who)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
@pytest.mark.parametrize("form", ["table", "array", "sparse", "map", "float64 batch"])
def test_seconds_since_1970_are_refused_with_the_fix(dtype, form, tmp_path):
    columns, _ = seconds(1.7e9)
    x = np.stack([columns["t"], np.round(columns["hr"])], 1)
    x = x if form == "float64 batch" else x.astype(dtype)
    name = "'t'" if form == "table" else r"\(0,\)"
    message = r"lost in float32: they vary by \d\d.* around 1.7e\+09, .* 128 apart. Subtract a ref"
    with pytest.raises(ValueError, match=f"{name} are {message}"):
        read_as(form, x, columns["who"], tmp_path)
    read_as(form, x - np.array([1.7e9, 0]).astype(x.dtype), columns["who"], tmp_path)


def test_seconds_from_a_start_are_read_and_keep_their_ranks():
    columns, mean = seconds(0)
    sets = read(columns, "who", atoms="vectors")
    batch = sets.batch(range(12))
    pooled = batch.mean(batch.x)[:, 0].numpy()
    exact = columns["t"].reshape(12, 60).mean(1)
    assert scipy.stats.spearmanr(pooled, exact).statistic == 1
    assert scipy.stats.spearmanr(pooled, mean).statistic > 0.95


def test_only_what_is_lost_is_refused():
    columns, _ = seconds(1.7e9)
    wide = columns | {"t": columns["t"] * 1000 - 1.69e12}  # 2^-24 of 1e10 against 3e4
    read(wide, "who", atoms="vectors")
    read(columns | {"t": np.full(720, 1.7e9)}, "who", ["t", "hr"], atoms="vectors")  # constant
    read(columns | {"t": columns["t"].astype(np.float32)}, "who", ["t", "hr"], atoms="vectors")
    read({"who": columns["who"], "n": np.arange(720) % 7 + 10_000}, "who", atoms="counts")


def test_a_spread_between_sets_only_is_compared_with_the_spread_between_sets():
    x = np.repeat(1.7e9 + np.arange(10.0), 3)[:, None]
    with pytest.raises(ValueError, match="lost in float32"):
        read(x, by=np.repeat(np.arange(10), 3))
    read(x * 1e4 - 1.6999e13, by=np.repeat(np.arange(10), 3))


def refused(x):
    try:
        read(list(x))
    except ValueError as error:
        return "lost in float32" in str(error)
    return False


@given(st.floats(0.1, 10), st.integers(-30, 30), st.integers(0, 40))
def test_the_rule_is_that_of_the_rounding_error(deviation, power, ratio):
    """Of an offset of 2^ratio deviations, the error is about 2^(ratio - 24) / sqrt(3) of one."""
    noise = np.random.default_rng(0).normal(size=(8, 50, 2))
    x = deviation * 2.0**power * (noise + np.array([2.0**ratio, 0]))
    error = np.square(x - x.astype(np.float32)).sum((0, 1))
    spread = np.square(x - x.mean(1, keepdims=True)).sum((0, 1))
    assert refused(x) == bool(error[0] > 1e-4 * spread[0])
    if not 16 <= ratio <= 20:
        assert refused(x) == (ratio > 20)


@pytest.mark.parametrize("value", [1e39, -1e300])
@pytest.mark.parametrize("mapped", [False, True])
def test_numbers_beyond_float32_are_refused_where_they_stand(value, mapped, tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 2))
    x[3, 1] = value
    if mapped:
        np.save(tmp_path / "x.npy", x)
        x = np.load(tmp_path / "x.npy", mmap_mode="r")
    observations = Observations(x, {"who": np.array(list("aaabbb"))}, ("u", "v"))
    with pytest.raises(ValueError, match="'b' holds .* in feature 'v', row 3 .*up to 3.4e\\+38"):
        by_label(observations, "who").batch([1])


def test_the_largest_float32_is_read():
    largest = float(np.finfo(np.float32).max)
    sets = read([np.array([[largest], [-largest]])])
    assert sets.batch([0]).x.ravel().tolist() == [largest, -largest]


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", np.longdouble])
def test_a_map_of_any_type_is_read(dtype, tmp_path):
    x = np.arange(12).reshape(6, 2).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    sets = read(mapped, by=np.array(list("aaabbb")))
    assert isinstance(sets.observations.x, np.memmap)
    assert np.array_equal(sets.batch([1]).x.numpy(), x[3:])


def test_a_model_refuses_what_it_would_round():
    rng = np.random.default_rng(0)
    train = [rng.normal(size=(20, 2)) + [s, 0] for s in range(8)]
    with pytest.raises(ValueError, match="lost in float32"):
        de.GDE().fit([x + np.array([1.7e9, 0]) for x in train])


def test_what_is_read_logs_nothing_of_precision(caplog):
    with caplog.at_level(logging.INFO):
        read(seconds(0)[0], "who", atoms="vectors")
    assert "float32" not in caplog.text
