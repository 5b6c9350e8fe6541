"""Fingerprints see every atom and weight, and not the order, the pieces or the neighbours."""

from dataclasses import replace

import numpy as np
import pytest

from distembed.data.observations import Observations
from distembed.data.spaces import Tokens
from distembed.data.synthetic.gaussians import Gaussians
from distembed.sets.collection import Sets
from distembed.sets.fingerprint import fingerprints


def sets(x, rows, sizes, w=None):
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    ids = np.arange(len(sizes)).astype(str)
    return Sets(Observations(x), np.asarray(rows), offsets, ids, w)


X = np.random.default_rng(0).normal(size=(40, 3))


def test_order_does_not_count_and_every_atom_does():
    rows = np.arange(20)
    shuffled = np.random.default_rng(1).permutation(20)
    other = rows.copy()
    other[7] = 30
    a, b, c, d = fingerprints(
        sets(X, [*rows, *shuffled, *other, *rows[:19]], [20, 20, 20, 19]), "s"
    )
    assert a == b
    assert len({a, c, d}) == 3
    assert len(a) == 32


def test_sums_and_swapped_features_are_seen():
    """Atoms that a sum alone would confuse."""
    x = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 4.0], [3.0, 2.0], [2.0, 1.0], [4.0, 3.0]])
    found = fingerprints(sets(x, [0, 1, 2, 3, 4, 5, 0, 0, 1, 1], [2, 2, 2, 2, 2]), "s")
    assert len(set(found)) == 5


def test_weights_and_salt_count_and_the_sign_of_zero_does_not():
    w = np.array([0.5, 0.5, 0.25, 0.75])
    a, b = fingerprints(sets(X, [0, 1, 0, 1], [2, 2], w), "s")
    assert a != b
    assert [a] == fingerprints(sets(X, [1, 0], [2]), "s")
    assert [a] != fingerprints(sets(X, [1, 0], [2]), "t")
    zeros = np.array([[0.0], [-0.0]])
    c, d = fingerprints(sets(zeros, [0, 0, 1, 0], [2, 2]), "s")
    assert c == d


@pytest.mark.parametrize("words", [4, 40, 400])
def test_a_hash_does_not_depend_on_the_pieces_of_reading(words):
    many = sets(X, np.arange(40), [1, 2, 20, 7, 10])
    assert fingerprints(many, "s", words=words) == fingerprints(many, "s")


def test_tokens_are_hashed_as_integers_whatever_the_number_of_pads():
    dna = Tokens("ACGT")

    def of(*rows):
        x = np.array(rows)
        return fingerprints(replace(sets(x, np.arange(len(x)), [len(x)]), atoms=dna), "s")

    assert of([1, 2, 0], [3, 0, 0]) == of([3, 0, 0, 0, 0], [1, 2, 0, 0, 0])
    assert of([1, 2]) == of([1, 2, 0, 0])
    distinct = [of([1, 2]), of([2, 1]), of([1]), of([1, 1]), of([0]), of([2, 0])]
    assert len({name for (name,) in distinct}) == len(distinct)
    numbers = fingerprints(sets(np.array([[1.0, 2.0]]), [0], [1]), "s")
    assert of([1, 2]) != numbers


def test_synthetic_collections_have_them_too():
    one, two = Gaussians.prior(4, 2, 10, size=30), Gaussians.prior(4, 2, 10, size=30, seed=1)
    assert fingerprints(one, "s") == fingerprints(one, "s")
    assert not set(fingerprints(one, "s")) & set(fingerprints(two, "s"))
