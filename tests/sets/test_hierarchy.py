"""Hierarchies: a set is the mixture of its children, and levels are divided by the highest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import distembed as de
from distembed.data.observations import Observations
from distembed.sets.mixtures import mixtures

LEVELS = ["donor", "sample", "tile"]


@st.composite
def tables(draw):
    """Return atoms with labels of three levels, which repeat below other labels, and weights."""
    rows = draw(st.integers(8, 60))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    columns = {name: rng.integers(0, 3, rows).astype(str) for name in LEVELS}
    columns["w"] = rng.integers(0, 4, rows).astype(float)
    columns["w"][0] = 1
    return Observations(rng.normal(size=(rows, 2)), columns)


@given(tables(), st.booleans())
def test_a_set_is_the_mixture_of_its_children(observations, weighted):
    column = observations.columns["w"] if weighted else np.ones(observations.rows)
    if weighted and any(
        column[np.all([observations.columns[n] == v for n, v in zip(LEVELS, k, strict=True)], 0)]
        .sum() == 0
        for k in zip(*(observations.columns[n] for n in LEVELS), strict=True)
    ):  # fmt: skip
        return  # a set without weight is refused
    levels = de.hierarchy(observations, LEVELS, weights="w" if weighted else None, min_size=1)
    for upper, lower in (("donor", "sample"), ("sample", "tile")):
        parents, children = levels[upper], levels[lower]
        assert set(children.meta["parent"]) == set(parents.ids)
        for i, name in enumerate(parents.ids):
            own = np.flatnonzero(children.meta["parent"] == name)
            weight = [
                column[children.rows[children.offsets[c] : children.offsets[c + 1]]].sum()
                for c in own
            ]
            batch = children.batch(own.tolist())
            mixed = np.average(batch.mean(batch.x).numpy(), axis=0, weights=weight)
            whole = parents.batch([i])
            np.testing.assert_allclose(whole.mean(whole.x)[0].numpy(), mixed, atol=1e-5)


def table(donors=6, samples=2, tiles=2, atoms=3):
    count = donors * samples * tiles * atoms
    row = np.arange(count)
    return {
        "donor": (row // (count // donors)).astype(str),
        "sample": (row // (tiles * atoms) % samples).astype(str),
        "tile": (row // atoms % tiles).astype(str),
        "sex": np.array(["f", "m"])[row // (count // donors) % 2],
        "day": row // (tiles * atoms),
        "x": np.random.default_rng(0).normal(size=count),
    }


def read(**options):
    return de.hierarchy(de.read_atoms(table(), "x", labels=LEVELS), LEVELS, **options)


def test_every_level_has_its_labels_its_parents_and_what_is_constant_in_it():
    levels = read()
    assert list(levels) == LEVELS
    assert repr(levels) == "Hierarchy(6 of 'donor', 12 of 'sample', 24 of 'tile')"
    donors, samples, tiles = levels.values()
    assert (donors.ids[1], samples.ids[3], tiles.ids[7]) == ("1", "1|1", "1|1|1")
    assert "parent" not in donors.meta
    assert (samples.meta["parent"][3], tiles.meta["parent"][7]) == ("1", "1|1")
    assert donors.meta["donor"].tolist() == donors.ids.tolist()
    assert ("sex" in donors.meta, "day" in donors.meta) == (True, False)
    assert tiles.meta["day"].tolist() == np.repeat(np.arange(12), 2).tolist()
    some = read(meta="day")
    assert ("sex" in some["tile"].meta, "day" in some["tile"].meta) == (False, True)
    with pytest.raises(ValueError, match="no level 'tiles'; close names are: 'tile'"):
        levels["tiles"]


@pytest.mark.parametrize("seed", range(5))
def test_levels_are_divided_by_the_highest(seed):
    train, test = read().split(2, rng=seed)
    assert [len(sets) for sets in test.values()] == [2, 4, 8]
    for level in LEVELS:
        assert not set(train[level].meta["donor"]) & set(test[level].meta["donor"])
        assert not np.intersect1d(train["donor"].rows, test[level].rows).size
    # a level by itself is divided in the same units
    for level in LEVELS[1:]:
        own = read()[level].split(0.3, rng=seed)
        assert not set(own[0].meta["donor"]) & set(own[1].meta["donor"])
        within = read()[level].split(0.3, rng=seed, group="parent")
        assert not set(within[0].meta["parent"]) & set(within[1].meta["parent"])


def test_strata_are_of_the_highest_level():
    train, test = read().split(2, stratify="sex")
    assert sorted(test["donor"].meta["sex"]) == ["f", "m"]
    assert len(train["tile"]) == 16


def test_the_group_is_kept_by_selection_and_lost_by_mixing():
    tiles = read()["tile"]
    assert tiles.select(np.arange(4)).group == "donor"
    assert mixtures(tiles, 3, 2, size=(2, 4)).group is None
    with pytest.raises(ValueError, match="no metadata column 'patient'"):
        tiles.__class__(tiles.observations, tiles.rows, tiles.offsets, tiles.ids, group="patient")


def test_small_sets_are_dropped_from_their_level_alone():
    data = table() | {"tile": np.array([*"ab", *"c" * 70])}
    levels = de.hierarchy(de.read_atoms(data, "x", labels=LEVELS), LEVELS, min_size=2)
    assert [sets.sizes.sum() for sets in levels.values()] == [72, 72, 70]


def test_a_part_without_a_set_of_a_level_is_refused():
    data = {"donor": list("aabb"), "tile": list("1123"), "x": [0.0, 1.0, 2.0, 3.0]}
    levels = de.hierarchy(de.read_atoms(data, "x", labels=["donor", "tile"]), ["donor", "tile"])
    with pytest.raises(ValueError, match="No set of the level 'tile' is of b"):
        levels.split(1)


@pytest.mark.parametrize(
    ("by", "options", "text"),
    [
        (["donor"], {}, "two levels or more"),
        (["donor", "donor"], {}, "two levels or more"),
        (["donor", "slide"], {}, "no column 'slide'"),
        (LEVELS, {"meta": "age"}, "no column 'age'"),
        (LEVELS, {"meta": "x2"}, "Column 'x2' varies within sets of the lowest level, 'tile'"),
        (LEVELS, {"min_size": 30}, "None of 6 sets has min_size = 30"),
    ],
)
def test_what_does_not_fit_is_refused(by, options, text):
    data = table() | {"x2": np.arange(72.0)}
    with pytest.raises(ValueError, match=text):
        de.hierarchy(de.read_atoms(data, "x", labels=LEVELS), by, **options)


def test_a_column_of_the_name_of_the_parent_is_refused():
    data = table() | {"parent": table()["donor"]}
    with pytest.raises(ValueError, match="have a column 'parent'.*Rename it"):
        de.hierarchy(de.read_atoms(data, "x", labels=LEVELS), LEVELS)
