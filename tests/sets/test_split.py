"""Splits: whole sets, whole groups, every stratum in proportion, and nothing on both sides."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from distembed.data.observations import Observations
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label
from distembed.sets.mixtures import mixtures
from distembed.sets.split import refuse_overlap


def collection(s, **meta):
    obs = Observations(np.zeros((2 * s, 1)), {"set": np.arange(2 * s) // 2})
    return by_label(obs, "set").with_meta(meta)


@given(st.integers(2, 40), st.floats(0.01, 0.99), st.integers(0, 50))
def test_every_set_is_on_one_side(s, share, seed):
    train, test = collection(s).split(share, rng=seed)
    assert sorted([*train.ids, *test.ids]) == sorted(collection(s).ids)
    assert len(test) == min(max(round(share * s), 1), s - 1)
    again = collection(s).split(share, rng=seed)[1]
    assert again.ids.tolist() == test.ids.tolist()


def test_a_number_of_sets_and_other_seeds():
    assert len(collection(10).split(3)[1]) == 3
    sides = {tuple(collection(10).split(3, rng=r)[1].ids) for r in range(20)}
    assert len(sides) > 10


def test_every_set_is_as_likely_to_be_held_out():
    times, s = 2000, 8
    held = np.zeros(s)
    sets = collection(s)
    for seed in range(times):
        held[sets.split(2, rng=seed)[1].ids.astype(int)] += 1
    assert (np.abs(held / times - 0.25) < 5 * (0.25 * 0.75 / times) ** 0.5).all()


@given(st.lists(st.integers(3, 20), min_size=1, max_size=4), st.integers(0, 50))
def test_strata_are_held_out_in_proportion(sizes, seed):
    kind = np.repeat([f"k{i}" for i in range(len(sizes))], sizes)
    test = collection(len(kind), kind=kind).split(0.4, rng=seed, stratify="kind")[1]
    assert len(test) == round(0.4 * len(kind))
    for i, n in enumerate(sizes):
        share = len(test) * n / len(kind)
        assert abs((test.meta["kind"] == f"k{i}").sum() - share) <= 1 + 1e-9


@given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=1, max_size=4))
def test_groups_of_strata_leave_the_share_by_a_group_at_most(strata):
    """Sums so far are within half a group of their share; at the end one group may be moved."""
    groups = [(f"k{i}", size) for i, sizes in enumerate(strata) for size in sizes]
    sizes = [size for _, size in groups]
    assume(len(groups) > 1 and len(strata) <= max(2, sum(sizes) // 2))
    kind = np.repeat([name for name, _ in groups], sizes)
    donor = np.repeat(np.arange(len(groups)).astype(str), sizes)
    sets = collection(len(kind), kind=kind, donor=donor)
    train, test = sets.split(0.4, stratify="kind", group="donor")
    assert len(train)
    assert len(test)
    target, largest = max(1, round(0.4 * len(kind))), max(sizes)
    assert abs(len(test) - min(target, len(kind) - 1)) <= largest
    for i, own in enumerate(strata):
        share = target * sum(own) / len(kind)
        assert abs((test.meta["kind"] == f"k{i}").sum() - share) <= 2 * largest


def test_sets_of_equal_strata_are_as_likely_to_be_held_out():
    """Of two strata of three sets each gives one or two, whichever comes first."""
    times, kind = 2000, np.repeat(["x", "y"], 3)
    sets, held = collection(6, kind=kind), np.zeros(6)
    for seed in range(times):
        held[sets.split(3, rng=seed, stratify="kind")[1].ids.astype(int)] += 1
    assert (np.abs(held / times - 0.5) < 5 * 0.5 / times**0.5).all()


@given(st.lists(st.integers(1, 5), min_size=2, max_size=12), st.integers(0, 50))
def test_groups_stay_together(sizes, seed):
    donor = np.repeat([f"d{i}" for i in range(len(sizes))], sizes)
    train, test = collection(len(donor), donor=donor).split(0.3, rng=seed, group="donor")
    assert not set(train.meta["donor"]) & set(test.meta["donor"])
    assert len(train)
    assert abs(len(test) - max(1, 0.3 * len(donor))) <= max(sizes)


def test_groups_and_strata_together():
    donor = np.repeat([f"d{i}" for i in range(20)], 3)
    kind = np.repeat(["x"] * 10 + ["y"] * 10, 3)
    sets = collection(60, donor=donor, kind=kind)
    train, test = sets.split(0.3, group="donor", stratify="kind")
    assert not set(train.meta["donor"]) & set(test.meta["donor"])
    assert (test.meta["kind"] == "x").sum() == 9 == (test.meta["kind"] == "y").sum()
    divided = sets.with_meta({"kind": np.resize(["x", "y"], 60)})
    with pytest.raises(ValueError, match="'donor' d0 has sets of several values of 'kind'"):
        divided.split(0.3, group="donor", stratify="kind")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": 0.0}, "between 0 and 1"),
        ({"test": 1.0}, "between 0 and 1"),
        ({"test": 6}, "6 of 6 sets"),
        ({"stratify": "sort"}, "no metadata column 'sort'"),
        ({"stratify": "number"}, "6 values for 6 sets"),
        ({"group": "same"}, "All sets have the same"),
    ],
)
def test_impossible_splits_are_refused(options, message):
    sets = collection(6, number=np.arange(6), same=np.zeros(6))
    with pytest.raises(ValueError, match=message):
        sets.split(**options)


def test_shared_sets_and_atoms_are_refused():
    sets = collection(6)
    refuse_overlap(sets.select([0, 1]), sets.select([2]))
    with pytest.raises(ValueError, match="1 sets are in both parts, such as '1'"):
        refuse_overlap(sets.select([0, 1]), sets.select([1, 2]))
    table = sets.observations
    window = [
        Sets(table, np.arange(i, i + 3), np.array([0, 3]), np.array([str(i)])) for i in (0, 2, 3)
    ]
    refuse_overlap(window[0], window[2])
    with pytest.raises(ValueError, match="1 sets of the test part share .* first being '2'"):
        refuse_overlap(window[0], window[1])
    with pytest.raises(ValueError, match="split the observations before sets are mixed"):
        mixtures(sets, 20, 2, size=(4, 8)).split(0.5)
