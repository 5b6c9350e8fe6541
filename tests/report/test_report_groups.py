"""Groups compared: moments of sets, columns with and without order, blocks, shared atoms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fakes import GaussianModel, Listed, gaussian_sets, table
from scipy import stats
from scipy.sparse import csr_array

from distembed.data.observations import Observations
from distembed.data.spaces import Tokens, Vectors
from distembed.report import compare_groups
from distembed.report.column import Column
from distembed.report.contributions import change_between_groups
from distembed.report.dependence import independent
from distembed.report.groups import two_sides
from distembed.report.heat_map import cluster_order
from distembed.report.labels import moved_apart
from distembed.report.levels import kind_of, quantities
from distembed.report.moments import set_moments
from distembed.sets.collection import Sets
from distembed.sets.sharing import SharedNoise, sharing_sets


def cohort(count=40, seed=0, **meta):
    """Sets of two features: the mean of the first is the number of the set over 10."""
    rng = np.random.default_rng(seed)
    arrays = [rng.normal([k / 10, 0], [1, 2], (50, 2)) for k in range(count)]
    ids = np.array([f"s{k}" for k in range(count)])
    return Listed(arrays, ids, {k: np.asarray(v) for k, v in meta.items()}, ("shift", "noise"))


def embedded(sets):
    return table(np.stack([a.mean(0) for a in sets.arrays]).astype("float32"), sets)


def test_moments_are_weighted_unbiased_and_skip_what_is_missing():
    x = np.array([[0.0, 1], [2, np.nan], [4, 3]])
    sets = Sets(
        Observations(np.concatenate([x, x[:1]])), np.arange(4), np.array([0, 3, 4]),
        np.array(["a", "b"]), np.array([0.5, 0.25, 0.25, 1]), atoms=Vectors(missing="mask"),
    )  # fmt: skip
    moments = set_moments(sets)
    np.testing.assert_allclose(moments.mean, [[1.5, 5 / 3], [0, 1]])
    variance = 0.5 * 1.5**2 + 0.25 * 0.5**2 + 0.25 * 2.5**2
    other = (2 / 3) * (2 / 3) ** 2 + (1 / 3) * (4 / 3) ** 2
    expected = [variance / (1 - 0.375), other / (1 - 5 / 9)]
    np.testing.assert_allclose(moments.spread[0], np.sqrt(expected))
    assert np.isnan(moments.spread[1]).all()


def test_moments_of_equal_weights_are_those_of_numpy_in_pieces_too():
    sets = cohort(7)
    for moments in (set_moments(sets), set_moments(sets, numbers=120)):
        np.testing.assert_allclose(moments.mean, [a.mean(0) for a in sets.arrays], rtol=1e-5)
        spread = [a.std(0, ddof=1) for a in sets.arrays]
        np.testing.assert_allclose(moments.spread, spread, rtol=1e-5)
    few = set_moments(sets, atoms=10)
    assert not np.allclose(few.mean, moments.mean)
    with pytest.raises(ValueError, match="no features"):
        set_moments(Listed([np.ones((3, 4), int)], np.array(["a"]), atoms=Tokens("ACGT")))


def test_the_feature_that_differs_is_found_and_the_other_is_not():
    sets = cohort(site=np.repeat(["a", "b"], 20))
    result = compare_groups(embedded(sets), sets, "site")
    assert (result.kind, result.groups) == ("categorical", (("a", 20), ("b", 20)))
    assert result.p == 0.001
    first, *others = result.differences
    assert (first.feature, first.moment, first.sets) == ("shift", "mean", 40)
    assert first.p <= 0.01 < min(row.p for row in others)
    means = np.array([a[:, 0].mean() for a in sets.arrays])
    assert first.low == ("a", pytest.approx(np.median(means[:20]), rel=1e-5))
    assert first.high == ("b", pytest.approx(np.median(means[20:]), rel=1e-5))
    assert len(result.differences) == 4


def test_a_number_is_compared_along_its_ranks():
    sets = cohort(age=np.arange(40.0) ** 3)
    result = compare_groups(embedded(sets), sets, "age")
    assert result.kind == "continuous"
    first = result.differences[0]
    means = [a[:, 0].mean() for a in sets.arrays]
    rho = stats.spearmanr(means, np.arange(40)).statistic
    assert first.share == pytest.approx(rho**2, rel=1e-6)
    assert first.low[1] == pytest.approx(np.median(means[:14]), rel=1e-5)
    assert first.high[1] == pytest.approx(np.median(means[26:]), rel=1e-5)


def test_doses_in_text_have_an_order():
    dose = np.repeat(["10 uM", "0.1 uM", "1 uM", ""], 10)
    assert kind_of(dose) == "ordered"
    assert quantities(dose)[[0, 10, 20]].tolist() == [2, 0, 1]
    assert kind_of(["P1", "P2", "P10"]) == "categorical"
    assert kind_of(["1A", "2B", "3C"]) == "categorical"
    assert kind_of(np.array([0.1, 1.0, 10.0] * 4)) == "ordered"
    assert kind_of(np.array([0, 1] * 4)) == "categorical"
    sets = cohort(dose=dose)
    result = compare_groups(embedded(sets), sets, "dose")
    assert result.sets == 30
    assert result.groups == (("0.1 uM", 10), ("1 uM", 10), ("10 uM", 10))
    assert "10 sets have no value of dose, and are left out." in result.notes
    first = result.differences[0]
    assert (first.low[0], first.high[0]) == ("0.1 uM", "10 uM")


def test_patients_are_the_units_where_they_are_named():
    patient = np.repeat(np.arange(4), 10)
    sets = cohort(arm=np.repeat(["a", "b"], 20), patient=patient.astype(str))
    free = compare_groups(embedded(sets), sets, "arm")
    blocked = compare_groups(embedded(sets), sets, "arm", group="patient")
    assert blocked.embeddings.scheme == "blocks"
    # of four patients, two of either arm, there are six assignments, two of them as extreme
    assert free.p < 0.01 < 0.25 < blocked.p
    with pytest.raises(ValueError, match="no metadata column 'clinic' of blocks"):
        compare_groups(embedded(sets), sets, "arm", group="clinic")
    sets.meta["patient"] = np.where(patient == 0, "", patient.astype(str))
    with pytest.raises(ValueError, match="is missing for 10 sets"):
        compare_groups(embedded(sets), sets, "arm", group="patient")


def test_a_column_that_the_page_selected_pays_for_the_choice():
    rng = np.random.default_rng(1)
    other = {f"noise {k}": rng.permutation(np.repeat(["x", "y"], 20)) for k in range(3)}
    sets = cohort(site=np.repeat(["a", "b"], 20), **other)
    named, selected = (compare_groups(embedded(sets), sets, c) for c in ("site", None))
    assert (named.among, selected.among, selected.column) == (1, 4, "site")
    assert selected.p == pytest.approx(4 * named.p)
    assert selected.differences[0].p == pytest.approx(4 * named.differences[0].p)


def test_nothing_to_compare_is_said():
    sets = cohort(8, site=["a"] + ["b"] * 7)
    result = compare_groups(embedded(sets), sets, "site")
    assert result.embeddings is None
    assert np.isnan(result.p)
    assert result.notes[0] == "Groups of a single set are left out: a."
    assert result.notes[1] == "There is nothing to compare: the 7 sets have one value of site."
    few = cohort(5, site=["a", "a", "b", "b", "b"])
    (reason,) = compare_groups(embedded(few), few, "site").notes
    assert "5 sets have a value of site" in reason
    assert "a comparison needs six sets" in reason
    with pytest.raises(ValueError, match="other sets"):
        compare_groups(embedded(sets).select(np.arange(7, -1, -1)), sets, "site")


def chained(count, stride, column):
    """Return sets of four rows each, `stride` rows apart, and a table of their numbers."""
    x = Observations(np.arange(4.0 * count)[:, None])
    rows = (np.arange(count) * stride)[:, None] + np.arange(4)
    sets = Sets(x, rows.ravel(), np.arange(0, 4 * count + 1, 4), np.arange(count).astype(str))
    sets = sets.with_meta({"side": column})
    return table(np.arange(float(count))[:, None], sets), sets


def test_blocks_of_sets_that_share_atoms_are_permuted():
    x, offsets = Observations(np.arange(48.0)[:, None]), np.arange(0, 49, 4)
    rows, ids = np.arange(48), np.arange(12).astype(str)
    assert not sharing_sets(Sets(x, rows, offsets, ids)).any()
    rows[8] = 0
    sets = Sets(x, rows, offsets, ids, meta={"side": np.repeat(["a", "b"], 6)})
    assert np.flatnonzero(sharing_sets(sets)).tolist() == [0, 2]
    z = np.arange(12.0)[:, None]
    result = compare_groups(table(z, sets), sets, "side")
    assert result.notes == (
        "2 of the 12 sets share atoms with another set, and are not independent: blocks of sets "
        "that share atoms are permuted, 11 of them.",
    )
    assert (result.embeddings.scheme, result.sets) == ("blocks", 12)
    # the same as where the user names the blocks
    sets = sets.with_meta({"donor": np.array(list("abacdefghijk"))})
    named = compare_groups(table(z, sets), sets, "side", group="donor")
    assert named.embeddings.p_total == result.embeddings.p_total


def test_sets_that_share_none_are_compared_where_blocks_have_both_groups():
    column = np.array(["a", "a", "b", "b"] * 8)
    embeddings, sets = chained(32, 2, column)
    result = compare_groups(embeddings, sets, "side")
    assert "16 sets that share none are compared" in result.notes[0]
    assert (result.sets, result.groups) == (16, (("a", 8), ("b", 8)))
    assert result.embeddings.scheme == "sets"
    apart, others = chained(32, 4, column)
    assert compare_groups(apart, others, "side").notes == ()


def test_too_few_independent_units_are_said():
    embeddings, sets = chained(12, 2, np.repeat(["a", "b"], 6))
    cut = sets.select(np.array([0, 1, 2, 3, 7, 8, 9, 10]))  # two chains, one of each group
    result = compare_groups(embeddings.select(np.array([0, 1, 2, 3, 7, 8, 9, 10])), cut, "side")
    assert result.embeddings is None
    assert "in 2 independent units" in result.notes[-1]


@given(st.integers(0, 10**6), st.booleans())
def test_what_is_compared_shares_nothing(seed, given_blocks):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 25))
    edges = np.triu(rng.random((count, count)) < 0.1, 1)
    first, second = edges.nonzero()  # each pair has an atom of its own
    atoms = np.zeros((count, len(first)))
    atoms[first, np.arange(len(first))] = atoms[second, np.arange(len(first))] = 1
    shared = SharedNoise(csr_array(atoms), np.full(count, 1 + atoms.sum(1).max()))
    rows = np.sort(rng.choice(count, int(rng.integers(1, count + 1)), replace=False))
    codes = rng.integers(0, 2, count)
    blocks = rng.integers(0, 5, len(rows)) if given_blocks else None
    kept = independent(shared, rows, codes, blocks)
    assert set(kept.rows) <= set(rows)
    own = np.arange(len(kept.rows)) if kept.blocks is None else kept.blocks
    dense = shared.toarray()[np.ix_(kept.rows, kept.rows)] > 0
    assert not dense[own[:, None] != own].any()
    if len(kept.rows) < len(rows):  # no other set could be added
        left = np.setdiff1d(rows, kept.rows)
        assert (shared.toarray()[np.ix_(left, kept.rows)] > 0).any(1).all()
    elif dense.any():
        assert all(len(set(codes[kept.rows][own == b])) == 1 for b in np.unique(own))
        if given_blocks:  # sets of a block of the user stay together too
            assert all(len(set(own[blocks == b])) == 1 for b in np.unique(blocks))


def test_ranges_that_overlap_share_atoms():
    from distembed.sets.ranges import Ranges

    x = Observations(np.arange(40.0)[:, None])
    start, size = np.array([0, 30, 12, 2, 10]), np.array([9, 5, 4, 3, 2])
    offsets = np.concatenate([[0], size.cumsum()])
    sets = Sets(x, Ranges(start, offsets), offsets, np.arange(5).astype(str))
    as_rows = Sets(x, np.asarray(sets.rows), offsets, sets.ids)
    assert sharing_sets(sets).tolist() == sharing_sets(as_rows).tolist()
    assert np.flatnonzero(sharing_sets(sets)).tolist() == [0, 3]


def test_the_two_sides_are_the_groups_that_are_farthest_apart():
    z = np.concatenate([np.zeros(5), np.ones(5), 9 * np.ones(5)])[:, None]
    z = z + 0.1 * np.random.default_rng(0).normal(size=z.shape)
    site = Column("site", np.repeat(["b", "a", "c"], 5), "")
    (low, low_rows), (high, high_rows) = two_sides(site, z)
    assert {low, high} == {"b", "c"}
    assert sorted([*low_rows, *high_rows]) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    (low, low_rows), (high, high_rows) = two_sides(Column("age", np.arange(15.0), ""), z)
    assert low_rows.tolist() == [0, 1, 2, 3, 4]
    assert high_rows.tolist() == [10, 11, 12, 13, 14]
    assert two_sides(Column("x", np.array(["a"] * 15), ""), z) is None


def test_contributions_of_groups_sum_to_the_distance_of_their_means():
    model, sets = GaussianModel(), gaussian_sets(20)
    model.features = sets.features
    groups = (("one", np.arange(5)), ("other", np.arange(5, 12)))
    change = change_between_groups(model, sets, groups, m=10_000)
    # the encoder of the fake is the mean of the atoms; 10,000 atoms are all of them
    total = sum(side.share.sum() for side in change.sides)
    assert total == pytest.approx(1, abs=1e-5)
    assert change.sides[0].id == "one (5 sets)"
    assert change.sides[1].size == sum(len(a) for a in sets.arrays[5:12])
    small = change_between_groups(model, sets, groups, m=3)
    assert [len(side.atoms) for side in small.sides] == [3, 3]


def test_labels_are_moved_apart_and_stay_where_there_is_room():
    boxes = np.array([[0.0, 0, 50, 10], [10, 2, 60, 12], [0, 4, 50, 14], [200, 0, 250, 10]])
    shift = moved_apart(boxes)
    placed = boxes + shift[:, [0, 1, 0, 1]]
    assert not shift[3].any()
    for i in range(4):
        for j in range(i):
            a, b = placed[i], placed[j]
            apart = [min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1)]
            assert min(apart) <= 1e-6


def test_similar_sets_are_neighbours_in_the_heat_map():
    x = np.array([0.0, 10, 0.1, 10.1, 0.2])
    order = cluster_order(np.abs(x[:, None] - x)).tolist()
    assert np.abs(np.diff(x[order])).sum() == pytest.approx(10.1)
