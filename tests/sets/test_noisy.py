"""Inversion of label noise: exact laws, a closed form, and nearer than the naive sets."""

import logging

import numpy as np
import pytest
import torch
from scipy.stats import norm

from distembed.batch import SetBatch
from distembed.data.observations import Observations
from distembed.divergences.exact import pairwise_w2
from distembed.sets.noisy import InversionSettings, by_noisy_label, posterior_of_sets

NAMES = ["a", "b", "c"]


def noise(share, sets=3):
    matrix = (1 - share) * np.eye(sets) + share / (sets - 1) * (1 - np.eye(sets))
    return {NAMES[i]: {NAMES[j]: matrix[i, j] for j in range(sets)} for i in range(sets)}


def noisy(seed, share, m=150, apart=3.0):
    """Return observations of three shifted laws with noisy labels, and the true labels."""
    rng = np.random.default_rng(seed)
    true = np.repeat(np.arange(3), m)
    x = rng.normal(size=(3 * m, 2)) + apart * np.array([[0, 0], [1, 0], [0, 1]])[true]
    matrix = np.array([list(row.values()) for row in noise(share).values()])
    observed = np.array([rng.choice(3, p=matrix[s]) for s in true])
    return Observations(x, {"label": np.array(NAMES)[observed]}), true, observed


def test_without_noise_the_sets_are_those_of_the_labels():
    obs, true, _ = noisy(0, 0.0)
    sets = by_noisy_label(obs, "label", noise(0.0))
    for s in range(3):
        rows = sets.rows[sets.offsets[s] : sets.offsets[s + 1]]
        assert rows.tolist() == np.flatnonzero(true == s).tolist()
    assert not sets.weighted


def test_atoms_that_tell_nothing_are_weighted_by_their_label_and_the_shares_of_sets():
    """Of one law, p(s | x) is the share of set s, and the posterior is Bayes' rule for a label."""
    rng = np.random.default_rng(0)
    share, rows = np.array([0.7, 0.3]), 20_000
    matrix = np.array([[0.9, 0.1], [0.2, 0.8]])
    true = rng.choice(2, p=share, size=rows)
    observed = (rng.random(rows) < matrix[true, 1]).astype(int)
    q = posterior_of_sets(rng.normal(size=(rows, 1)), matrix[:, observed].T)
    exact = share * matrix[:, observed].T
    exact /= exact.sum(1, keepdims=True)
    # the share of a set is estimated from labels: its standard error, through the slope of Bayes
    p = share @ matrix[:, 1]
    error = np.sqrt(p * (1 - p) / rows) / abs(matrix[0, 1] - matrix[1, 1])
    slope = np.max(matrix[0] * matrix[1] / (share @ matrix) ** 2)
    assert abs(q - exact).mean() < 5 * error * slope


def test_the_posterior_is_that_of_the_law_where_it_is_known():
    """Two normals one deviation apart: the logistic regression contains the true posterior."""
    rng = np.random.default_rng(1)
    rows, matrix = 20_000, np.array([[0.7, 0.3], [0.3, 0.7]])
    true = rng.integers(0, 2, rows)
    x = rng.normal(size=rows) + 2 * true
    observed = (rng.random(rows) < matrix[true, 1]).astype(int)
    q = posterior_of_sets(x[:, None], matrix[:, observed].T)
    joint = np.stack([norm.pdf(x), norm.pdf(x, 2)], 1) * matrix[:, observed].T
    exact = joint / joint.sum(1, keepdims=True)
    blind = matrix[:, observed].T
    assert abs(q - exact).mean() < 0.15 * abs(blind - exact).mean()


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_inverted_sets_are_nearer_to_the_true_ones_than_naive_sets(share):
    gains = []
    for seed in range(6):
        obs, true, observed = noisy(seed, share)
        sets = by_noisy_label(obs, "label", noise(share), rng=seed)
        for s in range(3):
            inverted = sets.batch([s])
            parts = [obs.x[true == s], obs.x[observed == s]]
            plain = SetBatch.from_list([np.asarray(p, dtype=np.float32) for p in parts])
            batch = SetBatch.concat([plain, inverted])
            to_naive, to_inverted = pairwise_w2(batch, torch.tensor([[0, 1], [0, 2]])).tolist()
            gains.append(to_naive - to_inverted)
    gains = np.array(gains)
    assert gains.mean() > 3 * gains.std(ddof=1) / np.sqrt(len(gains))


def test_sets_that_labels_hardly_tell_apart_are_named(caplog):
    obs, _, _ = noisy(0, 0.1)
    close = {"a": {"a": 0.5, "b": 0.5}, "b": {"a": 0.49, "b": 0.51}, "c": {"c": 1.0}}
    with caplog.at_level(logging.WARNING, "distembed"):
        by_noisy_label(obs, "label", close)
    assert "hardly tell apart a and b" in caplog.text


@pytest.mark.parametrize(
    ("confusion", "message"),
    [
        ({"a": {"a": 0.5, "b": 0.2}, "b": {"b": 1.0}, "c": {"c": 1.0}}, "of 'a' sum to 0.7"),
        ({"a": {"a": 1.0}, "b": {"b": 1.0}}, "no observed label in the confusion matrix 'c'"),
        ({s: {"a": 0.3, "b": 0.3, "c": 0.4} for s in NAMES}, "There is nothing to invert"),
        ({"a": {"a": 1.2, "b": -0.2}, "b": {"c": 1.0}}, "not negative and sum to one"),
        ({"a": {"a": 0.5, "b": 0.3, "c": 0.2}}, "There is one true label"),
        (3, "not a int"),
    ],
)
def test_a_confusion_that_cannot_be_inverted(confusion, message):
    obs, _, _ = noisy(0, 0.1)
    with pytest.raises(ValueError, match=message):
        by_noisy_label(obs, "label", confusion)


def probabilities(matrix, observed, share):
    """Return p(s | observed label) of atoms by Bayes' rule, a column a label."""
    p = share[:, None] * matrix[:, observed]
    return dict(zip(NAMES, p / p.sum(0), strict=True))


@pytest.mark.parametrize("share", [[1 / 3, 1 / 3, 1 / 3], [0.6, 0.3, 0.1]])
def test_probabilities_of_atoms_are_inverted_as_their_labels_are(share):
    """Divided by their prior they are the columns of the confusion, up to a factor an atom."""
    obs, _, observed = noisy(3, 0.3, m=40)
    quick = {"settings": InversionSettings(features=16, penalties=(1e-2,))}
    matrix = np.array([list(row.values()) for row in noise(0.3).values()])
    columns = {**obs.columns, **probabilities(matrix, observed, np.array(share))}
    both = Observations(obs.x, columns)
    prior = dict(zip(NAMES, share, strict=True))
    one = by_noisy_label(both, NAMES, prior=prior, **quick)
    other = by_noisy_label(both, "label", noise(0.3), **quick)
    assert one.ids.tolist() == other.ids.tolist() == NAMES
    assert np.array_equal(one.rows, other.rows)
    np.testing.assert_allclose(one.w, other.w, rtol=1e-5)
    # without a prior it is the mean of the columns
    mean = {n: columns[n].mean() for n in NAMES}
    np.testing.assert_allclose(
        by_noisy_label(both, NAMES, **quick).w,
        by_noisy_label(both, NAMES, prior=mean, **quick).w,
    )


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"c": 0.0}, {}, r"in row 0 \(a .*\) sum to .*; those of an atom are not negative"),
        ({"a": 1.5, "b": -0.5, "c": 0.0}, {}, "not negative and sum to one"),
        ({"a": np.nan}, {}, "sum to nan"),
        ({n: 1 / 3 for n in NAMES}, {}, "The probabilities tell nothing"),
        ({}, {"prior": {"a": 0.5, "b": 0.5}}, "no label in the prior 'c'"),
        ({}, {"prior": {"a": 0.5, "b": 0.2, "c": 0.2}}, "sum to one"),
        ({}, {"prior": {"a": 1.0, "b": 0.0, "c": 0.0}}, "each is positive"),
        ({}, {"by": ["a", "d"]}, "no column 'd'"),
        ({}, {"by": "a"}, "no confusion matrix is given"),
        ({}, {"by": NAMES, "confusion": noise(0.1)}, "with a confusion matrix"),
        ({"c": np.array(["x"] * 450)}, {}, "Column 'c' holds text"),
    ],
)
def test_probabilities_that_cannot_be_inverted(change, options, message):
    obs, _, observed = noisy(3, 0.3)
    matrix = np.array([list(row.values()) for row in noise(0.3).values()])
    columns = probabilities(matrix, observed, np.full(3, 1 / 3))
    columns |= {n: np.broadcast_to(v, 450).copy() for n, v in change.items()}
    with pytest.raises(ValueError, match=message):
        by_noisy_label(Observations(obs.x, columns), **{"by": NAMES, **options})


def test_likelihoods_that_are_none():
    for wrong in ([[0.0, 0.0]] * 9, [[-1.0, 2.0]] * 9, [[np.nan, 1.0]] * 9):
        with pytest.raises(ValueError, match="finite and not negative"):
            posterior_of_sets(np.zeros((9, 1)), wrong)
