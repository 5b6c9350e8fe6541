"""Hamming and Levenshtein distances, against their definitions, and W2 under them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distembed.batch import SetBatch
from distembed.data.tokens import Tokens
from distembed.divergences.edit import hamming, levenshtein
from distembed.divergences.exact import pairwise_w2

DNA = Tokens("ACGT")
words = st.lists(st.text("ACGT", max_size=6), min_size=1, max_size=5)


def encode(strings, pads=0):
    return torch.from_numpy(np.pad(DNA.encode(strings), ((0, 0), (0, pads))))


def edits(x, y):
    """Fewest edits, by the recursion that defines them."""
    previous = list(range(len(y) + 1))
    for i, a in enumerate(x, 1):
        row = [i]
        for j, b in enumerate(y, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (a != b)))
        previous = row
    return previous[-1]


def mismatches(x, y):
    length = max(len(x), len(y))
    return sum(a != b for a, b in zip(x.ljust(length), y.ljust(length), strict=True))


@pytest.mark.parametrize(("distance", "definition"), [(levenshtein, edits), (hamming, mismatches)])
@given(words, words, st.integers(0, 3), st.integers(0, 3))
def test_a_distance_of_sequences_is_that_of_its_definition(distance, definition, a, b, p, q):
    distances = distance(encode(a, p), encode(b, q))
    assert distances.dtype == torch.float64
    assert distances.tolist() == [[definition(x, y) for y in b] for x in a]


def test_tokens_that_are_no_characters_are_compared():
    x = torch.tensor([[0xD800, 1], [0xDFFF, 0x10FFFF]])  # surrogates, the largest code point
    assert levenshtein(x, x).tolist() == [[0, 2], [2, 0]]


@given(words, words)
def test_w2_of_sequences_of_equal_weights_is_the_best_assignment(a, b):
    """Each set is repeated as often as the other has atoms, so that a permutation is optimal."""
    from scipy.optimize import linear_sum_assignment

    left, right = a * len(b), b * len(a)
    cost = np.array([[edits(x, y) ** 2 for y in right] for x in left])
    best = cost[linear_sum_assignment(cost)].mean()
    for first, second in ((a, b), (left, right)):
        width = max(map(len, [*first, *second]))
        parts = [encode(part, width - max(map(len, part))) for part in (first, second)]
        w2 = pairwise_w2(SetBatch.from_list(parts), torch.tensor([[0, 1]]), distance=levenshtein)
        assert w2.dtype == torch.float64
        assert w2.item() == pytest.approx(best**0.5, abs=1e-9)


def test_w2_of_sequences_uses_weights():
    x = encode(["AAAA", "CCCC", "AAAA", "AAAC"])
    sets = SetBatch(x, torch.tensor([0.75, 0.25, 0.5, 0.5]), torch.tensor([0, 2, 4]))
    # 0.5 stays, 0.25 moves by one edit, and 0.25 by three
    for threads in (1, 2):
        w2 = pairwise_w2(sets, torch.tensor([[0, 1], [1, 1]]), threads, levenshtein)
        assert w2.tolist() == pytest.approx([(0.25 * 1 + 0.25 * 9) ** 0.5, 0])


def test_no_pairs_have_no_distances():
    sets = SetBatch.from_list([encode(["AC"])])
    none = torch.zeros((0, 2), dtype=torch.int64)
    assert pairwise_w2(sets, none, distance=hamming).shape == (0,)
