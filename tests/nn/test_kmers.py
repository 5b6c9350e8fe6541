"""Numbers of k-mers against strings, and hashing that keeps inner products."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distembed.nn.kmers import hashed, kmers


@given(words=st.lists(st.text("ACG", max_size=7), min_size=1, max_size=4), k=st.integers(1, 4))
def test_numbers_are_those_of_substrings(words, k):
    x = torch.zeros(len(words), 7, dtype=torch.int64)
    for row, word in zip(x, words, strict=True):
        row[: len(word)] = torch.tensor(["ACG".index(c) + 1 for c in word], dtype=torch.int64)
    numbers = kmers(x, k, 3)
    for row, word in zip(numbers.tolist(), words, strict=True):
        expected = [
            sum("ACG".index(c) * 3 ** (k - 1 - j) for j, c in enumerate(word[i : i + k]))
            for i in range(len(word) - k + 1)
        ]
        assert row == expected + [-1] * (8 - k - len(expected))


def test_sequences_shorter_than_k_have_none():
    assert kmers(torch.tensor([[1, 2]]), 3, 2).shape == (1, 0)
    assert kmers(torch.zeros(2, 0, dtype=torch.int64), 1, 2).shape == (2, 0)


def test_signed_buckets_keep_inner_products():
    count, buckets = 9261, 512
    column, sign = hashed(torch.arange(count), buckets)
    assert int(column.min()) >= 0
    assert int(column.max()) < buckets
    rows = torch.randint(count, (400, 30), generator=torch.Generator().manual_seed(0))
    vectors = torch.zeros(400, count).scatter_(1, rows, 1.0)
    sketch = torch.zeros(400, buckets).scatter_add_(1, column[rows], sign[rows].float())
    true, made = vectors[:200] @ vectors[200:].T, sketch[:200] @ sketch[200:].T
    error = (made - true).flatten()
    # independent signs: mean zero, variance |a|^2 |b|^2 / buckets at most, and 40,000 pairs of
    # 400 vectors, no fewer than 200 of which are independent
    deviation = 30 / math.sqrt(buckets)
    assert abs(float(error.mean())) < 5 * deviation / math.sqrt(200)
    assert float(error.std()) == pytest.approx(deviation, rel=0.25)


def test_more_kmers_than_numbers_are_refused():
    x = torch.full((1, 40), 4)
    assert int(kmers(x, 31, vocab=4).min()) == 4**31 - 1
    with pytest.raises(ValueError, match="there are 4\\^32 k-mers of 4 symbols"):
        kmers(x, 32, vocab=4)
