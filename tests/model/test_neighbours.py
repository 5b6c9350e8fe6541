"""Distances of many pairs, between draws, and of the nearest sets by exact optimal transport."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import squareform

from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.geometry.blocks import in_blocks
from distembed.model.neighbours import ExactSettings


def exact(model, sets):
    """Return exact W2 of all pairs of sets in the model's ground space, from all atoms."""
    ground = model.network.to_ground(model.batch(sets)).to(dtype=torch.float64)
    pairs = torch.cartesian_prod(*[torch.arange(len(ground))] * 2)
    return pairwise_w2(ground, pairs).numpy().reshape(len(ground), len(ground))


def test_all_candidates_give_the_exact_neighbours(model, named):
    truth = exact(model, named)
    np.fill_diagonal(truth, np.inf)
    atoms = ExactSettings(atoms=10**6)
    nearest = model.exact_top_k(named, k=3, candidates=len(named) - 1, settings=atoms)
    order = np.argsort(truth, axis=1)[:, :3]
    assert (nearest.index == order).all()
    np.testing.assert_allclose(nearest.w2, np.take_along_axis(truth, order, 1), rtol=1e-5)


def test_candidates_are_the_nearest_by_z(model, named):
    latent = model.distances(model.embed(named, covariance=False), calibrated=False)
    np.fill_diagonal(latent, np.inf)
    first = model.exact_top_k(named, k=4, candidates=4).index
    assert (np.sort(first) == np.sort(np.argsort(latent, axis=1)[:, :4])).all()
    small = model.exact_top_k(named, k=4, candidates=4, settings=ExactSettings(rows=5)).index
    assert (small == first).all()


def test_neighbours_among_other_sets(model, named):
    atoms = ExactSettings(atoms=10**6)
    others = named.select(range(3, len(named)))
    nearest = model.exact_top_k(named, others, k=1, settings=atoms)
    assert (nearest.index[3:, 0] == np.arange(len(others))).all()
    assert (nearest.w2[3:] < 1e-6).all()
    assert (nearest.w2[:3] > 0).all()


@pytest.mark.parametrize(("k", "candidates"), [(0, None), (3, 2), (100, None), (2, 100)])
def test_impossible_numbers_of_neighbours(model, named, k, candidates):
    with pytest.raises(ValueError, match="1 <= k <= candidates <= the number of other sets"):
        model.exact_top_k(named, k=k, candidates=candidates)


def test_decoded_distances(model, named):
    """Exact W2 between draws with the same noise: zero for equal z, and symmetric."""
    table = model.embed(named, covariance=False).select([0, 1, 2, 0])
    w2 = model.distances(table, method="decoded", draws=30)
    x = model.sample(table, 30, ground="model", common_noise=True)
    batch = SetBatch.from_dense(torch.from_numpy(x).double())
    i, j = np.triu_indices(4, 1)
    expected = pairwise_w2(batch, torch.from_numpy(np.stack([i, j], 1))).numpy()
    np.testing.assert_allclose(w2[i, j], expected)
    assert (w2 == w2.T).all()
    assert w2[0, 3] == 0
    between = model.distances(table, table.select([2, 1]), method="decoded", draws=30)
    np.testing.assert_allclose(between, w2[:, [2, 1]], rtol=1e-6, atol=1e-9)
    with pytest.raises(ValueError, match="'latent' or 'decoded'"):
        model.distances(table, method="sampled")


@pytest.mark.parametrize("columns", [None, 7])
@pytest.mark.parametrize("numbers", [1, 20, 1000])
def test_blocks_are_parts_of_one_matrix(columns, numbers):
    x = np.random.default_rng(0).normal(size=9)
    y = x if columns is None else x[:columns]
    d = in_blocks(lambda i, j: np.abs(x[i, None] - y[j]), 9, columns, numbers)
    assert (d == np.abs(x[:, None] - y)).all()


@pytest.mark.parametrize("denoise", ["none", "unbiased", "posterior"])
def test_distances_hold_one_matrix(model, named, denoise):
    """Memory of a large matrix is that of the result: noise and calibration add blocks only."""
    assert model.calibration.pairs
    table = model.embed(named)
    many = table.select(np.arange(3000) % len(table))
    tracemalloc.start()
    try:
        distances = model.distances(many, denoise=denoise)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert distances.shape == (3000, 3000)
    assert peak < 1.5 * distances.nbytes


@given(st.integers(1, 12), st.integers(1, 40))
def test_condensed_distances_are_those_above_the_diagonal(count, numbers):
    x = np.random.default_rng(count).normal(size=count)

    def block(i, j):
        return np.abs(x[i, None] - x[j])

    square = in_blocks(block, count, numbers=numbers)
    condensed = in_blocks(block, count, numbers=numbers, condensed=True, dtype=np.float32)
    assert condensed.dtype == np.float32
    np.testing.assert_array_equal(condensed, square[np.triu_indices(count, 1)].astype("f"))


def test_condensed_distances_of_a_model(model, named):
    table = model.embed(named)
    square = model.distances(table)
    np.testing.assert_array_equal(squareform(model.distances(table, condensed=True)), square)
    with pytest.raises(ValueError, match="only those of one table"):
        model.distances(table, table, condensed=True)
    with pytest.raises(ValueError, match="leave them out for draws"):
        model.distances(table, method="decoded", dtype=np.float32)
