"""Comparisons of sets of sequences against direct sums, and without bias."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from distembed.batch import SetBatch
from distembed.data.synthetic import sequence_families
from distembed.divergences.edit import hamming
from distembed.divergences.energy import Energy, unbiased_energy
from distembed.divergences.sequences import (
    column_correlation,
    copies,
    kmer_accuracy,
    length_distance,
)
from distembed.divergences.spectrum import SpectrumDistance, unbiased_spectrum
from distembed.rng import stream

LETTERS = "AC"
words = st.lists(st.text(LETTERS, max_size=5), min_size=1, max_size=5)
shares = st.integers(1, 9)


def tokens(strings, length=5):
    x = torch.zeros(len(strings), length, dtype=torch.int64)
    for row, word in zip(x, strings, strict=True):
        row[: len(word)] = torch.tensor([LETTERS.index(c) + 1 for c in word], dtype=torch.int64)
    return x


def batch(strings, weights=None):
    x = tokens(strings)
    w = None if weights is None else [torch.tensor(weights, dtype=torch.float64)]
    return SetBatch.from_list([x], w)


def features(word, k):
    counts = Counter(word[i : i + k] for i in range(len(word) - k + 1))
    norm = math.sqrt(sum(c * c for c in counts.values())) or 1.0
    return {kmer: c / norm for kmer, c in counts.items()}


def dot(f, g):
    return sum(value * g.get(kmer, 0.0) for kmer, value in f.items())


def direct(a, u, b, v, unbiased, orders):
    """The definition by double sums over atoms."""
    u, v = np.array(u) / sum(u), np.array(v) / sum(v)
    total = 0.0
    for k in orders:
        f, g = ([features(word, k) for word in part] for part in (a, b))

        def mean(p, q, w, x, same):
            terms = [
                (w[i] * x[j], dot(p[i], q[j]))
                for i, j in itertools.product(range(len(p)), range(len(q)))
                if not (same and i == j)
            ]
            mass = sum(t[0] for t in terms) if same else 1.0
            return sum(t[0] * t[1] for t in terms) / mass

        inside = [mean(p, p, w, w, unbiased) for p, w in ((f, u), (g, v))]
        total += sum(inside) - 2 * mean(f, g, u, v, False)
    return total / len(orders)


@given(a=words, b=words, data=st.data())
def test_the_spectrum_distance_is_its_double_sum(a, b, data):
    u, v = (data.draw(st.lists(shares, min_size=len(p), max_size=len(p))) for p in (a, b))
    x, y = batch(a, u), batch(b, v)
    orders = (1, 2, 4)
    plain = float(SpectrumDistance(orders)(x, y)) ** 2
    # weights of tokens are float32
    assert plain == pytest.approx(direct(a, u, b, v, False, orders), abs=1e-6)
    if min(len(a), len(b)) > 1:
        unbiased = float(SpectrumDistance(orders, unbiased=True)(x, y))
        assert unbiased == pytest.approx(direct(a, u, b, v, True, orders), abs=1e-6)


def test_the_spectrum_distance_is_unbiased():
    """The mean over all samples of two atoms from each of two laws is the distance of the laws."""
    support = ["AC", "CCA", "A"]
    p, q = [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]
    true = direct(support, p, support, q, False, range(1, 7))
    mean = 0.0
    pairs = [*itertools.product(range(3), repeat=2)]
    for i in pairs:
        for j in pairs:
            chance = math.prod(p[k] for k in i) * math.prod(q[k] for k in j)
            a, b = (batch([support[k] for k in part]) for part in (i, j))
            mean += chance * float(unbiased_spectrum(a, b))
    assert mean == pytest.approx(true, abs=1e-9)


@given(a=words, b=words)
def test_zero_on_itself_symmetric_and_blind_to_order_pads_and_copies(a, b):
    x, y = batch(a), batch(b)
    compare = SpectrumDistance()
    assert float(compare(x, x)) == 0
    torch.testing.assert_close(compare(x, y), compare(y, x), rtol=0, atol=1e-7)
    twice = batch([*a[::-1], *a])
    padded = twice.replace(x=torch.nn.functional.pad(twice.x, (0, 2)))
    torch.testing.assert_close(compare(padded, y), compare(x, y), rtol=0, atol=1e-6)


@given(a=words, b=words, data=st.data())
def test_the_distance_of_lengths_is_w1(a, b, data):
    u, v = (data.draw(st.lists(shares, min_size=len(p), max_size=len(p))) for p in (a, b))
    expected = wasserstein_distance([len(s) for s in a], [len(s) for s in b], u, v)
    assert float(length_distance(batch(a, u), batch(b, v))) == pytest.approx(expected, abs=1e-6)
    assert float(length_distance(batch(a), batch(a))) == 0


def test_copies_are_counted_by_weight():
    a = batch(["AC", "CC", "A", ""], [1, 2, 3, 4])
    assert float(copies(a, batch(["CC", "C"]))) == pytest.approx(0.2)
    assert float(copies(a, batch(["", "AC"]))) == pytest.approx(0.5)
    # of weight zero is no atom
    assert float(copies(a, batch(["AC", "CC"], [1, 0]))) == pytest.approx(0.1)
    assert float(copies(a, a)) == pytest.approx(1)


def numpy_columns(x, w, vocab):
    u = np.array(w, float) / np.sum(w)
    out = []
    for i, j in itertools.combinations(range(x.shape[1]), 2):
        for s, t in itertools.product(range(1, vocab + 1), repeat=2):
            both = u[(x[:, i] == s) & (x[:, j] == t)].sum()
            out.append(both - u[x[:, i] == s].sum() * u[x[:, j] == t].sum())
    return np.array(out)


def test_column_correlation_is_that_of_connected_correlations():
    family = sequence_families.pairs(2, 50, positions=6)
    whole = family.batch([0, 1])
    a, b = whole.select([0]), whole.select([1])
    w = torch.rand(50, generator=stream("weights")) + 0.1
    a = a.replace(w=w / w.sum())
    c, d = (numpy_columns(p.x.numpy(), p.w.double().numpy(), 4) for p in (a, b))
    expected = np.corrcoef(c, d)[0, 1]
    assert float(column_correlation(a, b)) == pytest.approx(expected, abs=1e-9)
    assert float(column_correlation(a, a)) == pytest.approx(1)


def test_column_correlation_of_more_columns_takes_the_most_variable():
    x = torch.randint(1, 5, (200, 70), generator=stream("columns"))
    x[:, ::7] = 1  # ten columns that never vary, and 60 that do
    y = torch.randint(1, 5, (200, 70), generator=stream("other columns"))
    y[:, ::7] = 1
    varying = [t for t in range(70) if t % 7]
    a, b = (SetBatch.from_list([z]) for z in (x, y))
    some, others = (SetBatch.from_list([z[:, varying]]) for z in (x, y))
    # 64 columns are the 60 and four that are constant, whose correlations are zero in both sets
    c, d = (numpy_columns(p.x.numpy(), np.ones(200), 4) for p in (some, others))
    zeros = np.zeros((64 * 63 - 60 * 59) // 2 * 16)
    expected = np.corrcoef(np.r_[c, zeros], np.r_[d, zeros])[0, 1]
    assert float(column_correlation(a, b)) == pytest.approx(expected, abs=1e-9)


def test_column_correlation_is_not_defined_without_columns_that_vary():
    ragged = batch(["AC", "A"])
    constant = batch(["AC", "AC"])
    for pair in ((ragged, constant), (constant, ragged), (constant, constant)):
        assert column_correlation(*pair).isnan().all()


def test_the_classifier_tells_spectra_apart():
    low, high = ([s * 5 for s in "AC"] for _ in range(2))
    a = SetBatch.from_list([tokens([low[0]] * 6)])
    b = SetBatch.from_list([tokens([high[1]] * 6)])
    assert float(kmer_accuracy(a, b)) == 1
    law = sequence_families.chains(1, 300)
    x, y = law.batch([0], 300, stream("x")), law.batch([0], 300, stream("y"))
    # a binomial share of 600, of which neighbours come in pairs
    assert abs(float(kmer_accuracy(x, y)) - 0.5) < 5 * 0.5 * math.sqrt(2 / 600)
    unlike = sequence_families.chains(2, 300, seed=1).batch([1])
    assert float(kmer_accuracy(x, unlike)) > 0.7


def test_energy_under_a_distance_of_sequences():
    """Hamming is half of the squared Euclidean distance of one-hot vectors: check by numbers."""
    rng = stream("energy")
    numbers = [torch.randint(0, 2, (m, 1), generator=rng).double() for m in (4, 6)]
    w = [torch.rand(m, generator=rng, dtype=torch.float64) + 0.1 for m in (4, 6)]
    a, b = (SetBatch.from_list([x], [u]) for x, u in zip(numbers, w, strict=True))
    # of 0 and 1 the Euclidean distance is one where symbols differ
    expected = unbiased_energy(a, b)
    x, y = (part.replace(x=part.x.long() + 1) for part in (a, b))
    torch.testing.assert_close(unbiased_energy(x, y, distance=hamming), expected)
    assert float(Energy()(a, b)) != pytest.approx(float(expected))
    single = SetBatch.from_list([torch.tensor([[1]])])
    with pytest.raises(ValueError, match="Set 0 has a single atom"):
        unbiased_energy(single, x, distance=hamming)


@pytest.mark.parametrize(
    "compare",
    [SpectrumDistance(), unbiased_spectrum, length_distance, column_correlation, copies],
)
def test_what_is_no_sequence_is_refused(compare):
    numbers = SetBatch.from_list([torch.randn(3, 2)])
    some = batch(["A", "C"])
    with pytest.raises(ValueError, match=r"token sequences are whole numbers of shape \(T,\)"):
        compare(numbers, some)
    with pytest.raises(ValueError, match="have 2 and 1 sets"):
        compare(SetBatch.concat([some, some]), some)


def test_a_spectrum_without_orders_or_pairs_is_refused():
    for orders in ((), (0, 2)):
        with pytest.raises(ValueError, match="they are the k of k-mers"):
            SpectrumDistance(orders)
    with pytest.raises(ValueError, match="Set 0 has a single atom of positive weight"):
        unbiased_spectrum(batch(["AC", "C"], [1, 0]), batch(["A", "C"]))
