"""The closed form of sets of sequences: its features by hand, its blocks and its scales."""

import itertools

import pytest
import torch

from distembed.batch import SetBatch
from distembed.data.synthetic import sequence_families
from distembed.data.synthetic.sequences import PairedProfiles
from distembed.encoders.moments import half_vector
from distembed.encoders.sequence_features import SequenceFeatures, mean_features, multiplied
from distembed.encoders.spectrum import Spectrum
from distembed.nn.per_set import moments_per_set
from distembed.nn.sqrtm import sqrtm
from distembed.rng import stream

WORDS = ["ACGTA", "CC", "", "GGGGGGG"]
T = 7


def tokens(words, length=T):
    x = torch.zeros(len(words), length, dtype=torch.int64)
    for row, word in zip(x, words, strict=True):
        row[: len(word)] = torch.tensor(["ACGT".index(c) + 1 for c in word], dtype=torch.int64)
    return x


def dense(features, count):
    return multiplied(features, torch.eye(count))


def test_the_spectrum_is_the_share_of_each_substring():
    features = SequenceFeatures(T, 4, orders=(1, 3))
    assert features.spectrum_sizes == [4, 64]
    shares = dense(features.spectrum(tokens(WORDS), torch.tensor([2.0, 3.0])), 68)
    for row, word in zip(shares, WORDS, strict=True):
        column = 0
        for k, scale in ((1, 2), (3, 3)):
            parts = [word[i : i + k] for i in range(len(word) - k + 1)]
            for kmer in map("".join, itertools.product("ACGT", repeat=k)):
                expected = scale * parts.count(kmer) / len(parts) if parts else 0
                assert float(row[column]) == pytest.approx(expected, abs=1e-12)
                column += 1


def test_places_of_sequences_of_several_lengths():
    features = SequenceFeatures(T, 4, ends=3, steps=T)
    places = dense(features.places(tokens(WORDS)), features.place_size)
    for row, word in zip(places, WORDS, strict=True):
        first, last, steps = row[:12].view(3, 4), row[12:24].view(3, 4), row[24:]
        for k in range(3):
            for block, symbol in ((first, word[k : k + 1]), (last, word[::-1][k : k + 1])):
                assert block[k].tolist() == [float(symbol == c) for c in "ACGT"]
        assert steps.tolist() == [float(len(word) >= t) for t in range(1, T + 1)]


def test_places_of_aligned_sequences_are_one_hot():
    features = SequenceFeatures(3, 4, aligned=True)
    x = tokens(["ACG", "TTT"], 3)
    expected = torch.nn.functional.one_hot(x - 1, 4).flatten(1).double()
    torch.testing.assert_close(dense(features.places(x), 12), expected)
    hashed = SequenceFeatures(3, 4, aligned=True, buckets=8)
    assert hashed.place_size == 8
    sketch = dense(hashed.places(x), 8)
    assert sketch.abs().sum(1).le(3).all()
    assert not sketch[0].equal(sketch[1])


def test_mean_features_are_weighted_means():
    features = SequenceFeatures(T, 4)
    count = sum(features.spectrum_sizes)
    batch = SetBatch.from_list(
        [tokens(WORDS), tokens(WORDS[:1])], [torch.tensor([1.0, 2, 0, 5]), torch.ones(1)]
    )
    ones = torch.ones(len(features.ks))
    means = mean_features(batch, lambda x: features.spectrum(x, ones), count)
    each = dense(features.spectrum(batch.x, ones), count)
    torch.testing.assert_close(means, batch.mean(each), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("vocab", "orders"), [(2, 5), (4, 5), (5, 4), (20, 3), (22, 3), (26, 2), (600, 1)]
)
def test_the_orders_follow_the_alphabet(vocab, orders):
    assert list(SequenceFeatures(T, vocab).ks) == list(range(1, orders + 1))


def prepared(family, latent=24, **options):
    encoder = Spectrum(family.event_shape, latent, 4, **options).double()
    encoder.prepare(family.batch(range(len(family))))
    return encoder


def test_blocks_are_what_they_are_called():
    family = sequence_families.motifs(20, 40)
    batch, encoder = family.batch(range(20)), prepared(family)
    length = (batch.x > 0).sum(1, keepdim=True).double()
    z = encoder(batch) / encoder.scales.repeat_interleave(torch.tensor(encoder.sizes))
    lengths, places, spectrum, covariance = z.split(encoder.sizes, 1)
    mean = batch.mean(length)
    torch.testing.assert_close(lengths[:, :1], mean)
    variance = batch.mean(length.square()) - mean.square()
    torch.testing.assert_close(lengths[:, 1:], (variance + 1e-4).sqrt())
    features = encoder.features
    means = mean_features(batch, features.places, features.place_size)
    torch.testing.assert_close(places, encoder.places(means), rtol=0, atol=1e-9)
    means = mean_features(
        batch,
        lambda x: features.spectrum(x, encoder.order_scales),
        sum(features.spectrum_sizes),
    )
    torch.testing.assert_close(spectrum, encoder.spectrum(means), rtol=0, atol=1e-9)
    # every k has one variance between sets
    variances = [m.var(0, unbiased=False).sum() for m in means.split(features.spectrum_sizes, 1)]
    torch.testing.assert_close(torch.stack(variances), torch.ones(5).double())
    on_axes = dense(features.places(batch.x), features.place_size) @ encoder.axes
    cov = moments_per_set(batch, on_axes)[1] + float(encoder.floor) ** 2 * torch.eye(32)
    root = half_vector(sqrtm(cov))
    torch.testing.assert_close(covariance, encoder.covariance(root), rtol=0, atol=1e-9)


def test_lengths_are_worth_their_w2():
    # sequences of one symbol: the edits between two are the difference of their lengths
    rng = stream("lengths")
    shift = torch.randint(10, 60, (30, 1, 1), generator=rng)
    length = shift + torch.randint(0, 5, (30, 100, 1), generator=rng)
    batch = SetBatch.from_dense((torch.arange(64) < length).long())
    encoder = Spectrum((64,), 24, vocab=1)
    encoder.prepare(batch)
    # halves of 32 atoms whose lengths have a deviation of 1.4, against shifts of 10 and more
    assert float(encoder.scales[0]) == pytest.approx(1, abs=0.03)


def test_couplings_are_seen_where_no_mean_differs():
    half, sets = 3, 24
    r = torch.linspace(0, 0.9, sets, dtype=torch.float64)
    p = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    tables = torch.lerp(p[:, None] * p, p.diag(), r[:, None, None])
    family = PairedProfiles(tables[:, None].expand(-1, half, -1, -1), size=600)
    encoder = prepared(family, aligned=True)
    z = encoder(family.batch(range(sets), 2000, stream("fresh")))
    _, places, _, covariance = z.split(encoder.sizes, 1)

    def correlation(block):
        leading = torch.linalg.svd(block - block.mean(0)).U[:, 0]
        return abs(float(torch.corrcoef(torch.stack([leading, r]))[0, 1]))

    assert correlation(covariance) > 0.98
    # 24 sets without a relation: a correlation of 0.2, and five deviations of it are no more
    assert correlation(places) < 0.9


def test_scales_follow_w2_of_aligned_sequences():
    family = sequence_families.pairs(30, 100)
    encoder = prepared(family, aligned=True)
    blocks = encoder(family.batch(range(30))).split(encoder.sizes, 1)
    deviations = [float(block.var(0).sum().sqrt()) for block in blocks[1:]]
    # profiles decide on W2, and shares of k-mers across positions add nothing to them
    assert deviations[0] == max(deviations)
    # the floor of a block is a tenth of the largest, of halves of 32 atoms: noisier than these
    assert 0.02 * deviations[0] < deviations[1] < 0.5 * deviations[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Spectrum((3, 4), 8, 4), r"shape \(3, 4\); a token sequence has shape"),
        (lambda: Spectrum((3,), 8, 4, orders=(0, 1)), r"orders = \(0, 1\); the k of k-mers"),
        (lambda: Spectrum((3,), 8, 4, orders=()), r"orders = \(\); the k of k-mers"),
        (
            lambda: Spectrum((3,), 8, 4, aligned=True)(SetBatch.from_list([tokens(["AC"], 3)])),
            "aligned sequence has 2 symbols, and those that .* have 3",
        ),
        (
            lambda: Spectrum((3,), 8, 4, aligned=True)(SetBatch.from_list([tokens(["ACGT"])])),
            "aligned sequence has 4 symbols",
        ),
        (
            lambda: Spectrum((3,), 8, vocab=2)(SetBatch.from_list([tokens(["ACG"], 3)])),
            "A token is 3; tokens are 1 to vocab = 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
