"""Sets by label, and mixtures whose proportions are exact."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distembed.data.labels import as_text
from distembed.data.observations import Observations
from distembed.data.spaces import Vectors
from distembed.sets.construct import by_label
from distembed.sets.kernel import Kernel, by_kernel
from distembed.sets.mixtures import mixtures


def observed(labels, **columns):
    n = len(labels)
    table = {"set": np.array(labels)} | {k: np.array(v) for k, v in columns.items()}
    return Observations(np.arange(float(n))[:, None], table, ("row",))


def rows(sets, s):
    return sets.batch([s]).x[:, 0].long().tolist()


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40))
def test_a_set_is_the_rows_of_a_label_in_order_of_appearance(labels):
    sets = by_label(observed(labels), "set", min_size=1)
    assert sets.ids.tolist() == list(dict.fromkeys(labels))
    for s, name in enumerate(sets.ids):
        assert rows(sets, s) == [i for i, label in enumerate(labels) if label == name]


def test_several_columns_make_combined_sets():
    obs = observed(list("aabbab"), day=[1, 2, 1, 1, 1, 2])
    sets = by_label(obs, ["set", "day"], min_size=1)
    assert sets.ids.tolist() == ["a|1", "a|2", "b|1", "b|2"]
    assert [rows(sets, s) for s in range(4)] == [[0, 4], [1], [2, 3], [5]]
    assert sets.meta["set"].tolist() == list("aabb")
    assert sets.meta["day"].tolist() == [1, 2, 1, 2]
    with pytest.raises(ValueError, match=r"'a\|b\|c' names more than one"):
        by_label(observed(["a|b", "a"], other=["c", "b|c"]), ["set", "other"], min_size=1)


def test_numbers_are_named_like_integers():
    assert as_text(np.array([3.0, 0.5, np.nan, -2.0])).tolist() == ["3", "0.5", "", "-2"]
    assert by_label(observed([2.0, 2.0]), "set").ids.tolist() == ["2"]
    assert by_label(observed([True, True]), "set").ids.tolist() == ["True"]


def test_metadata_are_the_columns_that_are_constant_within_sets():
    obs = observed(list("aabb"), age=[5, 5, 6, 6], cell=[1, 2, 3, 4], dose=[np.nan] * 2 + [1] * 2)
    sets = by_label(obs, "set")
    assert set(sets.meta) == {"age", "dose"}
    assert np.isnan(sets.meta["dose"][0])
    assert set(by_label(obs, "set", meta="age").meta) == {"age"}
    assert not by_label(obs, "set", meta=()).meta
    with pytest.raises(ValueError, match="'cell' is 1 and 2 within set 'a'"):
        by_label(obs, "set", meta=["age", "cell"])


def test_small_sets_are_dropped_aloud_and_large_ones_thinned(caplog):
    labels = ["a"] + ["b"] * 5 + ["c"] * 30 + ["d"]
    with caplog.at_level(logging.WARNING):
        sets = by_label(observed(labels), "set", max_size=10, rng=3)
    assert "dropped 2 of 4 sets, with 2 atoms" in caplog.text
    assert sets.ids.tolist() == ["b", "c"]
    assert sets.sizes.tolist() == [5, 10]
    assert len(set(rows(sets, 1))) == 10
    assert set(rows(sets, 1)) <= set(range(6, 36))
    assert rows(sets, 1) == rows(by_label(observed(labels), "set", max_size=10, rng=3), 1)
    assert rows(sets, 1) != rows(by_label(observed(labels), "set", max_size=10, rng=4), 1)
    with pytest.raises(ValueError, match="None of 4 sets .* 31 .* largest has 30. Lower min_size"):
        by_label(observed(labels), "set", min_size=31)
    with pytest.raises(ValueError, match="largest has 2. Check that `by` names sets"):
        by_label(observed(list("abcdd")), "set", min_size=3)


def test_weights_are_divided_by_their_sum_and_zeros_left_out():
    obs = observed(list("aabab"), w=[1.0, 3.0, 2.0, 0.0, 2.0])
    sets = by_label(obs, "set", weights="w")
    assert rows(sets, 0) == [0, 1]
    assert sets.batch([0]).w.tolist() == [0.25, 0.75]
    assert sets.weighted
    assert "w" not in sets.meta
    assert not by_label(observed(list("aabb"), w=[2.0, 2, 3, 3]), "set", weights="w").weighted


@pytest.mark.parametrize(
    ("obs", "options", "message"),
    [
        (observed(list("aa")), {"by": "sets"}, "close names are: 'set'"),
        (observed(list("aa")), {"by": []}, "by is empty"),
        (observed(list("aa")), {"weights": "w"}, "no column 'w'"),
        (observed(list("aa")), {"meta": ["age"]}, "no column 'age'"),
        (observed(["a", ""]), {}, "Row 1 has no label"),
        (observed([1.0, np.nan]), {}, "Row 1 has no label"),
        (observed(np.array(["a", None], object)), {}, "Row 1 has no label"),
        (observed(list("aa"), w=[1.0, -1.0]), {"weights": "w"}, "Weight -1.0 in row 1"),
        (observed(list("aa"), w=[1.0, np.inf]), {"weights": "w"}, "finite"),
        (observed(list("aab"), w=[1.0, 1.0, 0.0]), {"weights": "w"}, "set 'b' sum to zero"),
        (observed(list("aa"), w=list("xy")), {"weights": "w"}, "weights are numbers"),
        (observed(list("aa")), {"min_size": 0}, "min_size = 0"),
        (observed(list("aa")), {"max_size": 0}, "max_size = 0"),
    ],
)
def test_errors_say_what_is_expected(obs, options, message):
    with pytest.raises(ValueError, match=message):
        by_label(obs, **({"by": "set"} | options))


def components(sizes):
    labels = np.repeat([f"c{i}" for i in range(len(sizes))], sizes)
    return by_label(observed(labels), "set", min_size=1)


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(1, 6),
    st.floats(0.05, 5),
    st.integers(0, 99),
)
@settings(max_examples=50)
def test_mixtures_have_exact_proportions(sizes, k, alpha, seed):
    k = min(k, len(sizes))
    pool = components(sizes)
    mixed = mixtures(pool, 7, k, alpha=alpha, size=(k, k + 30), rng=seed)
    assert ((mixed.sizes >= k) & (mixed.sizes <= k + 30)).all()
    share = np.stack([mixed.meta[f"weight_{name}"] for name in pool.ids], 1)
    assert np.allclose(share.sum(1), 1, rtol=0, atol=1e-12)
    component = np.repeat(np.arange(len(sizes)), sizes)[mixed.rows]
    w = np.concatenate([np.full(s, 1 / s) for s in mixed.sizes]) if mixed.w is None else mixed.w
    for s in range(7):
        part = slice(*mixed.offsets[s : s + 2])
        drawn = np.bincount(component[part], minlength=len(sizes))
        mass = np.bincount(component[part], w[part], minlength=len(sizes))
        assert np.allclose(mass, share[s], rtol=0, atol=1e-12)
        assert (drawn > 0).sum() == k
        assert (share[s][drawn == 0] == 0).all()
        used = np.array(
            [len(np.unique(mixed.rows[part][component[part] == c])) for c in range(len(sizes))]
        )
        assert (used[drawn <= sizes] == drawn[drawn <= sizes]).all()
        assert (used[drawn > sizes] == np.array(sizes)[drawn > sizes]).all()


def test_mixtures_are_apportioned_and_repeatable():
    pool = components([100, 100, 100])
    mixed = mixtures(pool, 50, 2, size=(100, 100), rng=5)
    assert len(mixed.ids) == 50
    assert mixed.ids[0] == "mixture0"
    assert (np.abs(mixed.w * 100 - 1) < 2).all()
    share = np.stack(list(mixed.meta.values()), 1)
    count = np.stack(
        [
            np.bincount(
                np.repeat([0, 1, 2], 100)[mixed.rows[i * 100 : i * 100 + 100]], minlength=3
            )
            for i in range(50)
        ]
    )
    assert (np.abs(count - share * 100) < 3).all()
    again = mixtures(pool, 50, 2, size=(100, 100), rng=5)
    assert np.array_equal(again.rows, mixed.rows)
    assert not np.array_equal(mixtures(pool, 50, 2, size=(100, 100), rng=6).rows, mixed.rows)


def test_dirichlet_proportions_have_its_moments():
    share = np.stack(
        list(mixtures(components([5] * 4), 4000, 4, alpha=2.0, size=(4, 4)).meta.values()), 1
    )
    variance = 0.25 * 0.75 / (4 * 2.0 + 1)
    assert (np.abs(share.mean(0) - 0.25) < 5 * (variance / 4000) ** 0.5).all()
    assert (np.abs(share.var(0) / variance - 1) < 5 * (3 / 4000) ** 0.5).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 3}, "2 components"),
        ({"k": 0}, "1 <= k"),
        ({"n": 0}, "n >= 1"),
        ({"alpha": 0.0}, "alpha > 0"),
        ({"size": (1, 9)}, "k <= size"),
        ({"size": (9, 8)}, "size"),
    ],
)
def test_impossible_mixtures_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        mixtures(components([3, 3]), **({"n": 2, "k": 2} | change))


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=25)
def test_mixtures_of_weighted_sets_follow_the_weights(seed, k):
    """An atom of weight w is drawn floor or ceil of n_c w times, and proportions stay exact."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 9, 3)
    labels, w = np.repeat(["a", "b", "c"], sizes), rng.random(sizes.sum()) + 0.05
    pool = by_label(observed(labels, w=w), "set", weights="w")
    mixed = mixtures(pool, 5, k, size=(20, 60), rng=seed)
    component = np.repeat(np.arange(3), sizes)
    weight = np.asarray(pool.w)[np.argsort(pool.rows)]
    share = np.stack([mixed.meta[f"weight_{name}"] for name in pool.ids], 1)
    for s in range(5):
        part = slice(*mixed.offsets[s : s + 2])
        times = np.bincount(mixed.rows[part], minlength=len(w))
        drawn = np.bincount(component, times)
        expected = drawn[component] * weight
        assert (np.abs(times - expected) < 1 + 1e-9).all()
        mass = np.bincount(
            component[mixed.rows[part]],
            np.full(mixed.sizes[s], 1 / mixed.sizes[s]) if mixed.w is None else mixed.w[part],
            minlength=3,
        )
        assert np.allclose(mass, share[s], rtol=0, atol=1e-9)


def test_mixtures_are_of_the_sets_of_any_verb():
    x = np.concatenate([np.zeros(50), np.ones(50)])[:, None]
    obs = Observations(x, {"t": np.arange(100.0)})
    sets = by_kernel(obs, ["t"], [[10.0], [49.5], [90.0]], Kernel("gaussian", 3.0))
    mixed = mixtures(sets, 40, 2, size=(200, 200))
    batch = mixed.batch(range(40))
    share = np.stack(list(mixed.meta.values()), 1)
    expected = share @ np.array([0, 0.5, 1])
    np.testing.assert_allclose(batch.mean(batch.x)[:, 0].numpy(), expected, atol=0.03)


def test_images_are_recognised_where_the_kind_is_left_out():
    labels, x = np.repeat(["a", "b"], 4), np.random.default_rng(0).random((8, 16, 16, 3))
    sets = by_label(Observations(x, {"set": labels}), "set")
    assert (sets.atoms.name, sets.event_shape) == ("images", (3, 16, 16))
    stated = by_label(Observations(x, {"set": labels}), "set", atoms=Vectors())
    assert (stated.atoms.name, stated.event_shape) == ("vectors", (16, 16, 3))
    flat = Observations(x[..., 0], {"set": labels})
    with pytest.raises(ValueError, match=r"x\[:, None\].*atoms='images'.*atoms='vectors'"):
        by_label(flat, "set")
    assert by_label(flat, "set", atoms=Vectors()).event_shape == (16, 16)
