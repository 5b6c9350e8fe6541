"""The range of training atoms: what is counted, in any pieces, and what is said."""

import logging
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import distembed as de
from distembed.model.support import Support, sentences
from distembed.sets.pieces import pieces


def support_of(sets):
    first = torch.cat([sets.batch([s]).x for s in range(len(sets))])
    return Support.measure(first, sets)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 12))
def test_pieces_read_every_atom_once_in_order_and_at_most_so_many(sizes, rows):
    x = np.arange(sum(sizes), dtype=float)[:, None]
    sets = de.read(np.split(x, np.cumsum(sizes)[:-1]), min_size=1)
    read = [[] for _ in sizes]
    for s, atom, batch in pieces(sets, rows):
        assert len(batch.x) <= rows
        assert atom == len(read[s])
        for b, part in enumerate(batch.x.split(batch.sizes.tolist())):
            read[s + b] += part.flatten().tolist()
    assert sum(read, []) == x.flatten().tolist()
    assert [len(atoms) for atoms in read] == sizes


@given(st.integers(0, 2**31), st.integers(1, 60))
def test_shares_are_weights_outside_the_range_whatever_the_pieces(seed, numbers):
    rng = np.random.default_rng(seed)
    train = de.read([rng.normal(size=(20, 2)) for _ in range(3)])
    columns = {"who": np.repeat(["a", "b", "c"], [1, 5, 14]), "w": rng.random(20) + 0.1}
    columns |= {"x": 3 * rng.normal(size=20), "y": rng.normal(size=20)}
    sets = de.read(columns, by="who", weights="w", columns=["x", "y"], min_size=1)
    support = support_of(train)
    got = support.compare(sets, numbers=numbers)
    for s in range(3):
        batch = sets.batch([s])
        x, w = batch.x.double().numpy(), batch.w.double().numpy()
        outside = w @ ((x < support.low) | (x > support.high))
        assert got.outside[s] == pytest.approx(outside.max(), abs=1e-12)
        assert outside[got.feature[s]] == pytest.approx(outside.max(), abs=1e-12)


def test_training_sets_are_never_outside():
    rng = np.random.default_rng(0)
    train = de.read([rng.normal(size=(20, 3)) for _ in range(5)])
    got = support_of(train).compare(train)
    assert not got.outside.any()
    assert not got.differing
    assert got.extreme == 0


def test_the_median_distance_leaves_out_atoms_at_the_median():
    x = np.array([0.0] * 8 + [2.0, 4.0, 6.0, -1.0, 3.0, 7.0])[:, None]
    support = support_of(de.read([x, x]))
    assert support.centre[0] == 0
    assert support.spread[0] == 3.5  # of 1, 2, 3, 4, 6, 7 twice
    assert math.isnan(support.constant[0])


def test_columns_are_compared_in_the_order_of_the_model():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40))
    who = np.repeat(["s", "t"], 20)
    train = de.read({"who": who, "a": a, "b": b + 100}, by="who", columns=["a", "b"])
    other = de.read({"who": who, "b": b + 100, "a": a}, by="who", columns=["b", "a"])
    assert not support_of(train).compare(other, [1, 0]).outside.any()


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    columns = {"who": np.repeat([f"s{i}" for i in range(8)], 25)}
    columns |= {"a": rng.normal(size=200), "b": rng.normal(size=200), "c": np.full(200, 7.0)}
    sets = de.read(columns, by="who", columns=["a", "b", "c"])
    return de.GDE(latent=4).fit(sets, steps=1, warmup=0, progress=False)


def new_sets(**changes):
    rng = np.random.default_rng(1)
    columns = {"who": np.repeat(["usual", "other"], 10)}
    columns |= {"a": rng.uniform(-1, 1, 20), "b": rng.uniform(-1, 1, 20), "c": np.full(20, 7.0)}
    for name, values in changes.items():
        columns[name][10 : 10 + len(values)] = values
    return de.read(columns, by="who", columns=["a", "b", "c"])


def said(fitted, sets, caplog):
    caplog.clear()
    with caplog.at_level(logging.WARNING, "distembed"):
        table = fitted.embed(sets, covariance=False)
    return table, caplog.text


def test_usual_sets_are_embedded_without_a_word(fitted, caplog):
    table, text = said(fitted, new_sets(), caplog)
    assert text == ""
    assert table.outside.tolist() == [0, 0]


def test_a_set_of_which_half_is_outside_is_named(fitted, caplog):
    table, text = said(fitted, new_sets(b=[50.0] * 5), caplog)
    assert "1 of 2 sets lie outside" in text
    assert "other (50% of it in b, beyond -" in text
    assert dict(zip(table.ids, table.outside, strict=True)) == pytest.approx(
        {"usual": 0, "other": 0.5}
    )
    assert said(fitted, new_sets(b=[50.0] * 4), caplog)[1] == ""


def test_a_feature_that_never_varied_in_training_is_named_where_it_varies(fitted, caplog):
    table, text = said(fitted, new_sets(c=[7.5]), caplog)
    assert "c was 7 in all training atoms" in text
    assert "other values in 1 of 2 sets: other." in text
    assert not table.outside.any()  # what the model cannot see is no extrapolation


def test_an_extreme_atom_is_named_by_its_row(fitted, caplog):
    _, text = said(fitted, new_sets(a=[0.0, 1e9]), caplog)
    assert "1 atoms are further" in text
    assert "a = 1e+09 in row 11 (set other)" in text


def test_extreme_training_atoms_are_named_before_the_training(caplog):
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(20, 2)) for _ in range(6)]
    x[3][4, 1] = 1e6
    with caplog.at_level(logging.INFO, "distembed"):
        de.GDE(latent=4).fit(x, steps=1, warmup=0, progress=False)
    lines = caplog.text.splitlines()
    named = next(i for i, line in enumerate(lines) if "feature 1 = 1e+06 in row 64" in line)
    assert any("sets to train on" in line for line in lines[named:])


def test_ranges_are_saved_with_the_model(fitted, caplog, tmp_path):
    again = de.load(fitted.save(tmp_path / "model"))
    sets = new_sets(b=[50.0] * 10)
    assert said(again, sets, caplog)[1] == said(fitted, sets, caplog)[1] != ""


def test_images_and_tokens_have_no_ranges():
    rng = np.random.default_rng(0)
    model = de.GDE(latent=4).fit(
        de.read([rng.random((5, 1, 16, 16)).astype("f") for _ in range(3)], atoms="images"),
        steps=1, warmup=0, progress=False,
    )  # fmt: skip
    assert model.embed([rng.random((5, 1, 16, 16))], covariance=False).outside is None


def test_sets_without_rows_are_named_by_their_atom():
    from distembed.data.synthetic.gaussians import Gaussians

    sets = Gaussians.prior(4, 2, 30)
    support = support_of(sets)
    tight = Support(support.low / 1e6, support.high / 1e6, support.constant,
                    support.centre, support.spread / 1e6)  # fmt: skip
    text = " ".join(sentences(tight, tight.compare(sets), sets, None))
    assert "of set 0" in text
    assert "feature 0" in text


def test_vectors_of_two_axes_have_no_named_features_and_no_ranges():
    rng = np.random.default_rng(0)
    sets = de.read([rng.normal(k, 1, (9, 3, 4)) for k in range(8)], atoms="vectors")
    model = de.GDE("moments", "explicit", latent=4).fit(sets, steps=2, progress=False)
    table = model.embed(sets)
    assert table.outside is None
    assert model.sample(table, 5).shape == (8, 5, 3, 4)
