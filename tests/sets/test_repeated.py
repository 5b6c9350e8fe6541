"""Sets that read a row more than once: their error bars are those of the distinct rows."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import distembed as de
from distembed.data.observations import Observations
from distembed.evaluation.halves import EvaluationConfig, halves
from distembed.evaluation.subject import Subject
from distembed.heads.baseline import mean_table
from distembed.model import fit
from distembed.sets.collection import Sets
from distembed.sets.repeated import merge_repeated

ROWS = 12


def repeating(seed, weighted):
    """Sets of random rows, many of them twice, and the weight of every row, `(S, R)`."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 15, 6)
    offsets = np.concatenate([[0], sizes.cumsum()])
    rows = rng.integers(0, ROWS, offsets[-1])
    w = rng.random(len(rows)) + 0.1 if weighted else np.ones(len(rows))
    w /= np.repeat(np.add.reduceat(w, offsets[:-1]), sizes)
    dense = np.zeros((len(sizes), ROWS))
    np.add.at(dense, (np.repeat(np.arange(len(sizes)), sizes), rows), w)
    x = Observations(rng.normal(size=(ROWS, 2)))
    names = np.arange(len(sizes)).astype(str)
    return Sets(x, rows, offsets, names, w if weighted else None, double=True), dense


@given(st.integers(0, 10**6), st.booleans())
@settings(deadline=None)
def test_the_distribution_stays_and_no_row_is_read_twice(seed, weighted):
    sets, dense = repeating(seed, weighted)
    merged = merge_repeated(sets)
    assert merged.ids.tolist() == sets.ids.tolist()
    assert merged.sizes.tolist() == (dense > 0).sum(1).tolist()
    for s in range(len(sets)):
        part = slice(merged.offsets[s], merged.offsets[s + 1])
        own = merged.rows[part]
        assert len(set(own.tolist())) == len(own)
        w = merged.batch([s]).w.numpy()
        np.testing.assert_allclose(w, dense[s][own], atol=1e-15)


@given(st.integers(0, 10**6), st.booleans())
@settings(deadline=None, max_examples=30)
def test_the_covariance_of_a_mean_counts_a_row_once(seed, weighted):
    sets, dense = repeating(seed, weighted)
    table, x = mean_table(sets), sets.observations.x
    np.testing.assert_allclose(table.z, dense @ x, atol=1e-6)
    squares = np.square(dense).sum(1)
    np.testing.assert_allclose(table.effective_sizes, 1 / squares, rtol=1e-9)
    for w, square, cov in zip(dense, squares, table.cov, strict=True):
        if (w > 0).sum() < 2:
            assert np.isnan(cov).all()
            continue
        # the unbiased covariance of a row, times the variance of a mean of independent rows
        centred = x - w @ x
        row = (centred.T * w) @ centred / (1 - square)
        np.testing.assert_allclose(cov, square * row, rtol=1e-4, atol=1e-6)


def test_an_embedding_has_the_error_bars_of_the_distinct_rows():
    sets, dense = repeating(0, False)
    train = de.read(list(np.random.default_rng(1).normal(size=(24, 10, 2))))
    model = de.GDE(latent=3).fit(train, steps=2, progress=False, metric_steps=0)
    rows = [np.flatnonzero(w) for w in dense]
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in rows])])
    w = np.concatenate([own[r] for own, r in zip(dense, rows, strict=True)])
    once = Sets(sets.observations, np.concatenate(rows), offsets, sets.ids, w, double=True)
    table, other = model.embed(sets), model.embed(once)
    np.testing.assert_allclose(table.z, other.z, atol=1e-5)
    np.testing.assert_allclose(table.effective_sizes, 1 / np.square(dense).sum(1), rtol=1e-6)
    np.testing.assert_allclose(table.cov, other.cov, rtol=1e-4, atol=1e-7)
    assert table.sizes.tolist() == sets.sizes.tolist()


def test_w2_is_measured_on_the_distinct_rows(monkeypatch):
    # halves that share rows are too near to each other, and what sampling adds to W2 too small:
    # with 60 rows read three times, measured squares of 0.2 to 0.4 were up to 2.3 times too large
    read = {}
    for name in ("HalvedSets", "measure_pairs"):
        whole = getattr(fit, name)
        monkeypatch.setattr(
            fit, name,
            lambda first, sets, *args, _name=name, _whole=whole, **options: (
                read.update({_name: len(sets.rows)}) or _whole(first, sets, *args, **options)
            ),
        )  # fmt: skip
    x = Observations(np.random.default_rng(0).normal(size=(20 * 16, 2)))
    rows = np.tile(np.arange(20 * 16).reshape(20, 1, 16), (1, 3, 1)).ravel()
    sets = Sets(x, rows, np.arange(21) * 48, np.arange(20).astype(str))
    de.GDE(latent=4).fit(sets, steps=1, metric_steps=1, progress=False)
    assert read == {"HalvedSets": 20 * 16, "measure_pairs": 20 * 16}


def test_the_halves_of_an_evaluation_share_no_row():
    x = Observations(np.arange(24.0)[:, None])
    rows = np.tile(np.arange(24).reshape(4, 1, 6), (1, 3, 1)).ravel()
    sets = Sets(x, rows, np.arange(5) * 18, np.arange(4).astype(str))
    model = de.GDE(latent=2).fit(sets, steps=1, metric_steps=0, progress=False)
    parts = halves(Subject.of(model), sets, EvaluationConfig(), 0)
    assert not set(parts.context.x.ravel().tolist()) & set(parts.target.x.ravel().tolist())
    assert parts.context.sizes.tolist() == parts.target.sizes.tolist() == [3] * 4


def test_sets_that_read_no_row_twice_are_themselves():
    sets = de.read([[[0.0], [0.0]], [[1.0], [2.0]]])
    assert merge_repeated(sets) is sets
    windows = Sets(
        Observations(np.zeros((3, 1))), np.array([0, 1, 1, 2]), np.array([0, 2, 4]),
        np.array(["a", "b"]),
    )  # fmt: skip
    assert merge_repeated(windows) is windows
    batch = object()
    assert merge_repeated(batch) is batch


def test_a_row_read_twice_is_one_observation():
    x = Observations(np.array([[0.0], [3.0]]))
    sets = Sets(x, np.array([0, 0, 1]), np.array([0, 2, 3]), np.array(["a", "b"]))
    assert torch.equal(merge_repeated(sets).batch([0, 1]).w, torch.ones(2))
    assert np.isnan(mean_table(sets).cov).all()
