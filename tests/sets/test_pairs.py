"""Which set follows which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.model.embeddings import Embeddings
from distembed.sets.pairs import child_of, next_set, treated


def table(**meta):
    count = len(next(iter(meta.values())))
    ids = np.array([f"s{i}" for i in range(count)])
    ones = np.ones(count)
    columns = {name: np.array(values) for name, values in meta.items()}
    return Embeddings(np.zeros((count, 1), np.float32), ids, ones.astype(int), ones, columns)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), unique=True, min_size=2))
def test_the_next_in_time_is_the_nearest_later_one(rows):
    who, day = (list(column) for column in zip(*rows, strict=True))
    expected = {
        (i, j)
        for i, j in np.ndindex(len(rows), len(rows))
        if who[i] == who[j] and day[i] < day[j]
        and not any(w == who[i] and day[i] < d < day[j] for w, d in rows)
    }  # fmt: skip
    sets = table(who=who, day=day)
    if not expected:
        with pytest.raises(ValueError, match="There is no pair"):
            next_set(sets, "day", within="who")
        return
    pairs = next_set(sets, "day", "who")
    assert set(zip(pairs.before.tolist(), pairs.after.tolist(), strict=True)) == expected
    assert pairs.group.tolist() == [who[i] for i in pairs.before]
    near = [(i, j) for i, j in expected if day[j] - day[i] == 1]
    if near:
        stepped = next_set(sets, "day", "who", step=1)
        assert sorted(zip(stepped.before, stepped.after, strict=True)) == sorted(near)


def test_times_that_are_equal_missing_or_text_are_refused(caplog):
    with pytest.raises(ValueError, match="Sets 's0' and 's1' have the same 'day', 3"):
        next_set(table(day=[3, 3]), "day")
    with pytest.raises(ValueError, match="some of them missing or text"):
        next_set(table(day=[3, np.nan]), "day")
    with pytest.raises(ValueError, match="sets are ordered by numbers or dates"):
        next_set(table(day=["d3", "d4"]), "day")
    with pytest.raises(ValueError, match="no metadata column 'dey'"):
        next_set(table(day=[3, 4]), "dey")
    pairs = next_set(table(day=np.array(["2020-01", "2020-03"], "datetime64[M]")), "day")
    assert (pairs.before.tolist(), pairs.group.tolist()) == ([0], ["all"])
    next_set(table(day=[1, 2, 5]), "day")
    assert "pairs are 1 to 3 of 'day' apart" in caplog.text


def test_controls_and_what_they_are_compared_with(caplog):
    sets = table(drug=["x", "dmso", "y", "dmso", "x", "x"], plate=[1, 1, 1, 2, 2, 3])
    pairs = treated(sets, "drug", "dmso", within="plate")
    assert pairs.before.tolist() == [1, 1, 3]
    assert pairs.after.tolist() == [0, 2, 4]
    assert pairs.group.tolist() == ["1", "1", "2"]
    assert "1 sets have no control in their group" in caplog.text
    with pytest.raises(ValueError, match="Sets 's1' and 's3' are both controls"):
        treated(sets, "drug", "dmso")
    with pytest.raises(ValueError, match="There is no value of 'drug' 'water'"):
        treated(sets, "drug", "water", within="plate")
    one = treated(table(drug=["a", "c", "b"]), "drug", "c")
    assert one.group.tolist() == ["a", "b"]


def test_children_and_parents(caplog):
    pairs = child_of(table(parent=["", "s0", "s0", "s1", "gone"]), "parent")
    assert pairs.before.tolist() == [0, 0, 1]
    assert pairs.after.tolist() == [1, 2, 3]
    assert pairs.group.tolist() == ["s0", "s0", "s1"]
    assert "1 parents are not among the sets, such as 'gone'" in caplog.text
    with pytest.raises(ValueError, match="There is no pair: no value of 'parent'"):
        child_of(table(parent=["", "x"]), "parent")


def test_a_step_reaches_over_sets_between():
    sets = table(day=[0, 1, 2, 4, 0], who=["a", "a", "a", "a", "b"])
    pairs = next_set(sets, "day", within="who", step=2)
    assert (pairs.before.tolist(), pairs.after.tolist()) == ([0, 2], [2, 3])
    months = np.array(["2020-01", "2020-02", "2020-03"], "datetime64[M]")
    pairs = next_set(table(day=months), "day", step=np.timedelta64(2, "M"))
    assert (pairs.before.tolist(), pairs.after.tolist()) == ([0], [2])
    with pytest.raises(ValueError, match="There is no pair"):
        next_set(sets, "day", within="who", step=5)
    small = table(day=np.array([250, 4, 255], np.uint8))
    pairs = next_set(small, "day", step=5)
    assert (pairs.before.tolist(), pairs.after.tolist()) == ([0], [2])
    with pytest.raises(ValueError, match="There is no pair"):
        next_set(small, "day", step=10)


def test_two_groups_of_one_name_are_refused():
    sets = table(day=[0, 1], who=["x|y", "x"], arm=["z", "y|z"])
    with pytest.raises(ValueError, match=r"would have the name 'x\|y\|z'"):
        next_set(sets, "day", within=["who", "arm"])
