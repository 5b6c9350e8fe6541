"""Shared atoms: the share of the noise that they take away, blocks, distances and heads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import distembed as de
from distembed.data.observations import Observations
from distembed.heads.cross_validation import cross_validated
from distembed.inference.tests.pairwise import pairwise_tests
from distembed.sets.collection import Sets
from distembed.sets.sharing import left_noise, shared_noise, sharing_blocks, sharing_sets
from distembed.sets.window import by_window


@st.composite
def overlapping(draw):
    """Return sets of random rows of one table, some twice in a set, perhaps with weights."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    sizes = rng.integers(1, 6, draw(st.integers(2, 8)))
    rows = rng.integers(0, draw(st.integers(3, 30)), sizes.sum())
    offsets = np.concatenate([[0], sizes.cumsum()])
    w = None
    if draw(st.booleans()):
        w = rng.random(len(rows)) + 0.1
        w /= np.repeat(np.add.reduceat(w, offsets[:-1]), sizes)
    x = Observations(rng.normal(size=(30, 1)))
    return Sets(x, rows, offsets, np.arange(len(sizes)).astype(str), w)


def dense_weights(sets):
    """Return the weight of every row of the table in every set, `(S, R)`."""
    w = np.zeros((len(sets), sets.observations.rows))
    for s in range(len(sets)):
        part = slice(sets.offsets[s], sets.offsets[s + 1])
        own = np.full(sets.sizes[s], 1 / sets.sizes[s]) if sets.w is None else sets.w[part]
        np.add.at(w[s], sets.rows[part], own)
    return w


@given(overlapping())
def test_the_variance_of_a_difference_of_means_is_exact(sets):
    w = dense_weights(sets)
    shared = shared_noise(sets)
    share = np.zeros((len(sets), len(sets))) if shared is None else shared.toarray()
    single = (w**2).sum(1)
    for a in range(len(sets)):
        for b in range(a):
            exact = ((w[a] - w[b]) ** 2).sum()
            assert exact == pytest.approx((1 - share[a, b]) * (single[a] + single[b]), abs=1e-12)
            assert share[a, b] == pytest.approx(share[b, a])
    overlap = (w > 0).astype(int) @ (w > 0).T > 0
    np.fill_diagonal(overlap, False)
    assert np.array_equal(share > 0, overlap)
    assert np.array_equal(sharing_sets(sets), overlap.any(1))


@given(overlapping(), st.integers(0, 99))
def test_pairs_ranges_groups_and_partners_are_those_of_all_pairs(sets, seed):
    shared, rng, count = shared_noise(sets), np.random.default_rng(seed), len(sets)
    if shared is None:
        return
    every = shared.toarray()
    first, second = rng.integers(0, count, (2, 20))
    for numbers in (1, 2**22):
        np.testing.assert_allclose(shared.between(first, second, numbers), every[first, second])
    cut = int(rng.integers(0, count))
    np.testing.assert_array_equal(
        shared.block(slice(cut, None), slice(0, cut + 1)), every[cut:, : cut + 1]
    )
    groups = rng.integers(0, 3, count)
    other = groups[:, None] != groups
    assert np.array_equal(shared.across(groups), ((every > 0) & other).any(1))
    assert np.array_equal(shared.sharing, (every > 0).any(1))
    some = rng.random(count) < 0.5
    assert np.array_equal(shared.select(some).sharing, (every > 0)[np.ix_(some, some)].any(1))
    apart = shared.apart()
    assert not every[np.ix_(apart, apart)].any()
    left = np.setdiff1d(np.arange(count), apart)
    assert (every[np.ix_(left, apart)] > 0).any(1).all()
    block = shared.blocks(groups)
    assert not every[block[:, None] != block].any()
    assert all(len(set(block[groups == g])) == 1 for g in set(groups))


def test_memory_grows_with_the_atoms_and_not_with_the_pairs_of_sets():
    """A thousand sets of ten atoms out of twenty: nearly all pairs share some."""
    rows = np.random.default_rng(0).integers(0, 20, 10_000)
    x = Observations(np.zeros((20, 1)))
    shared = shared_noise(Sets(x, rows, np.arange(0, 10_001, 10), np.arange(1000).astype(str)))
    assert shared.w.nnz <= len(rows)
    assert shared.sharing.all()


@given(overlapping())
def test_blocks_share_no_atom_and_cannot_be_smaller(sets):
    block, w = sharing_blocks(sets), dense_weights(sets) > 0
    rows_of = [set(np.flatnonzero(w[block == b].any(0))) for b in np.unique(block)]
    assert len(set().union(*rows_of)) == sum(map(len, rows_of))
    for b in np.unique(block):
        own = np.flatnonzero(block == b)
        for s in own if len(own) > 1 else ():
            others = w[own[own != s]].any(0)
            assert (w[s] & others).any()


def test_sets_of_other_collections_share_nothing():
    class Elsewhere:
        def __len__(self):
            return 3

    assert shared_noise(Elsewhere()) is None
    assert sharing_blocks(Elsewhere()).tolist() == [0, 1, 2]


def windows(count=12, width=4, stride=2, seed=0, features=1):
    rng = np.random.default_rng(seed)
    rows = stride * (count - 1) + width
    obs = Observations(rng.normal(size=(rows, features)), {"t": np.arange(float(rows))})
    return by_window(obs, "t", count=width, stride=stride)


def table_of(sets, sharing=True):
    """Embed by the mean, with its exact covariance under unit variance."""
    batch = sets.batch(range(len(sets)))
    z = batch.mean(batch.x).numpy()
    cov = np.eye(z.shape[1])[None] / sets.sizes[:, None, None]
    shared = shared_noise(sets) if sharing else None
    return de.Embeddings(z, sets.ids, sets.sizes, sets.sizes * 1.0, {}, cov, shared=shared)


def test_the_shares_follow_rows_of_a_table():
    table = table_of(windows())
    rows = np.array([4, 2, 3])
    part = table.select(rows)
    assert np.array_equal(part.shared.toarray(), table.shared.toarray()[np.ix_(rows, rows)])
    mask = np.isin(np.arange(12), [2, 3])
    assert table.select(mask).shared.toarray().tolist() == [[0, 0.5], [0.5, 0]]
    a, b = np.array([0, 0, 5]), np.array([1, 2, 4])
    assert left_noise(table.shared, a, b).tolist() == [0.5, 1, 0.5]
    assert left_noise(table.shared, slice(0, 2), slice(1, 3)).tolist() == [[0.5, 1], [1, 0.5]]
    assert left_noise(None, a, b) == 1


def test_tests_of_windows_that_overlap_have_their_level():
    """The p-values of neighbours are uniform: 4000 of pairs that are apart in their order."""
    sets = windows(count=16_000, width=20, stride=10, features=2)
    pairs = np.stack([np.arange(0, 16_000, 4), np.arange(1, 16_000, 4)], 1)
    table = table_of(sets)
    left = left_noise(table.shared, *pairs.T)
    assert np.allclose(left, 0.5)
    p = pairwise_tests(table.z, table.cov, pairs, left=left).p
    naive = pairwise_tests(table.z, table.cov, pairs).p
    for level in (0.01, 0.05, 0.2):
        error = 5 * np.sqrt(level * (1 - level) / len(pairs))
        assert abs((p <= level).mean() - level) < error
    assert (naive <= 0.05).mean() < 0.02  # it rejects too rarely


def test_a_head_is_not_scored_on_atoms_that_it_was_fitted_to():
    table = table_of(windows(40))
    y = np.arange(40.0)
    with pytest.raises(ValueError, match="40 of 40 sets share atoms with a set of another group"):
        cross_validated(table, y)
    with pytest.raises(ValueError, match="40 of 40 sets share atoms"):
        cross_validated(windows(40), y)
    apart = table.select(np.arange(0, 40, 2))
    assert len(cross_validated(apart, y[::2], repeats=1).prediction) == 20
    groups = np.repeat(np.arange(4), 10)
    edges = np.flatnonzero(np.arange(40) % 10 != 9)
    grouped = cross_validated(table.select(edges), y[edges], groups[edges], folds=4, repeats=1)
    assert len(grouped.prediction) == 36


def test_the_embedding_names_sets_that_share_atoms_and_distances_use_it(caplog):
    sets = windows(24, features=2)
    with caplog.at_level("WARNING"):
        model = de.GDE(encoder="moments", generator="explicit", latent=4).fit(
            sets, steps=2, metric_steps=0, validation=0.0, progress=False
        )
        table = model.embed(sets)
    assert "24 of 24 sets share atoms with others" in caplog.text
    assert np.array_equal(table.shared.toarray(), shared_noise(sets).toarray())
    squares = model.distances(table, calibrated=False, denoise="none") ** 2
    trace = np.trace(table.cov, axis1=1, axis2=2)
    noise = (1 - table.shared.toarray()) * (trace[:, None] + trace)
    expected = np.sqrt(np.maximum(squares - noise, 0))
    np.fill_diagonal(expected, 0)
    unbiased = model.distances(table, calibrated=False, denoise="unbiased")
    np.testing.assert_allclose(unbiased, expected, atol=1e-4)
    pair = [[0, 1]]
    own = model.distance_intervals(table, pair, calibrated=False)
    apart = model.distance_intervals(
        de.Embeddings(
            table.z, table.ids, table.sizes, table.effective_sizes, cov=0.5 * table.cov
        ), pair, calibrated=False,
    )  # fmt: skip
    assert own.high[0] == pytest.approx(apart.high[0], rel=1e-5)
    # equal sets have no noise between them, and are at distance zero
    twice = Sets(sets.observations, np.tile(sets.rows[:4], 2), np.array([0, 4, 8]), sets.ids[:2])
    same = model.embed(twice)
    assert same.shared.toarray().tolist() == [[0, 1], [1, 0]]
    assert model.distances(same, calibrated=False).max() == 0
