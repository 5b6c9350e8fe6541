"""Known laws of sequences: probabilities sum to one, and draws follow them."""

import itertools
import math

import pytest
import torch

from distembed.batch import SetBatch
from distembed.data.synthetic import sequence_families
from distembed.data.synthetic.sequences import MarkovChains, MotifMixtures, PairedProfiles
from distembed.rng import stream

PRIORS = ("chains", "motifs", "pairs")


def simplex(*shape, key="simplex"):
    p = torch.rand(shape, generator=stream(key, *shape), dtype=torch.float64) + 0.1
    return p / p.sum(-1, keepdim=True)


def tiny():
    """Laws over so few sequences that all of them can be listed."""
    tables = simplex(2, 2, 9).view(2, 2, 3, 3)
    return {
        "motifs": MotifMixtures(simplex(2, 2), simplex(2, 2, 3), simplex(3), (2, 4)),
        "chains": MarkovChains(simplex(2, 3), simplex(2, 3, 3), (1, 4)),
        "pairs": PairedProfiles(tables),
    }


def every_sequence(longest, vocab=3):
    """All sequences of 0 to `longest` tokens, padded."""
    rows = [
        (*word, *[0] * (longest - n))
        for n in range(longest + 1)
        for word in itertools.product(range(1, vocab + 1), repeat=n)
    ]
    return torch.tensor(rows)


@pytest.mark.parametrize("name", PRIORS)
def test_probabilities_sum_to_one(name):
    family, x = tiny()[name], every_sequence(5)
    both = SetBatch.from_list([x, x])
    p = family.log_prob(both, [0, 1]).exp().view(2, -1)
    torch.testing.assert_close(p.sum(1), torch.ones(2).double(), rtol=0, atol=1e-12)
    # in the order of the index, and the two laws are different
    assert family.log_prob(both, [1, 0]).exp().view(2, -1).flip(0).equal(p)
    assert not torch.allclose(p[0], p[1])


@pytest.mark.parametrize("name", PRIORS)
def test_draws_follow_the_probabilities(name):
    family, m = tiny()[name], 20000
    x = every_sequence(family.event_shape[0])
    p = family.log_prob(SetBatch.from_list([x]), [1]).exp()
    drawn = family.batch([1], m, stream("follow")).x
    digits = 4 ** torch.arange(x.shape[1])
    cells = torch.searchsorted((key := (x * digits).sum(1)).sort().values, (drawn * digits).sum(1))
    count = torch.bincount(cells, minlength=len(x))[key.argsort().argsort()]
    occurs = p > 0
    assert not count[~occurs].any()
    expected = m * p[occurs]
    chi = float(((count[occurs] - expected) ** 2 / expected).sum())
    freedom = int(occurs.sum()) - 1
    # chi-square with many degrees of freedom has deviation sqrt(2 f): five of them, and the
    # variance of rare cells, 1 / expected each, beside it
    wide = math.sqrt(2 * freedom + float((1 / expected).sum()))
    assert abs(chi - freedom) < 5 * wide


@pytest.mark.parametrize("name", PRIORS)
def test_pads_change_nothing_and_other_lengths_cannot_occur(name):
    family = getattr(sequence_families, name)(2, 20)
    batch = family.batch([0, 1])
    nats = family.log_prob(batch, [0, 1])
    assert nats.isfinite().all()
    padded = batch.replace(x=torch.nn.functional.pad(batch.x, (0, 3)))
    assert family.log_prob(padded, [0, 1]).equal(nats)
    longer = SetBatch.from_list([torch.ones(1, family.event_shape[0] + 1, dtype=torch.int64)])
    assert family.log_prob(longer, [0]).tolist() == [-math.inf]
    empty = SetBatch.from_list([torch.zeros(1, 4, dtype=torch.int64)])
    assert family.log_prob(empty, [0]).tolist() == [-math.inf]


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_is_a_function_of_its_seed(name):
    prior = getattr(sequence_families, name)
    one, same, other = prior(3, 20, seed=1), prior(3, 20, seed=1), prior(3, 20, seed=2)
    assert one.batch(range(3)).x.equal(same.batch(range(3)).x)
    assert one.parameters.equal(same.parameters)
    assert not one.parameters.equal(other.parameters)
    assert one.batch([0], 31, stream("more")).x.shape == (31, *one.event_shape)
    one.atoms.check(one.batch(range(3)).x.numpy())


def test_the_coupling_of_pairs_is_not_in_their_profile():
    family = sequence_families.pairs(200, positions=4)
    independent = family.profile[:, :2, :, None] * family.profile[:, 2:, None]
    coupled = (family.tables - independent).abs().amax((1, 2, 3))
    assert coupled.max() > 0.2
    # whatever the coupling, the second half is a permutation of the first
    halves = family.profile.sort(2).values.chunk(2, 1)
    torch.testing.assert_close(*halves, rtol=0, atol=1e-12)


def test_a_motif_is_where_it_is_written():
    # motifs of one sequence each, and a background that has none of their symbols
    sure = torch.eye(4, dtype=torch.float64)[torch.tensor([[2, 3], [3, 2]])]
    background = torch.tensor([0.5, 0.5, 0, 0])
    family = MotifMixtures([[0.25, 0.75]], sure, background, (5, 5), size=4000)
    words = family.atoms.restore(family.batch([0]).x.numpy())
    first = [word.find("GT") for word in words if "GT" in word]
    assert all(("GT" in word) != ("TG" in word) for word in words)
    # binomial deviations: sqrt(p q / m) of a share, and of each of the four places
    assert abs(len(first) / 4000 - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 4000)
    for place in range(4):
        assert abs(first.count(place) / len(first) - 0.25) < 5 * math.sqrt(0.19 / len(first))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MotifMixtures([[1.0]], simplex(2, 2, 3), simplex(3), (2, 4)), r"\(S, K\)"),
        (lambda: MotifMixtures(simplex(1, 2), simplex(2, 2, 3), simplex(3), (1, 4)), "at least 2"),
        (lambda: MarkovChains(simplex(2, 3), simplex(2, 3, 4), (1, 4)), r"\(S, V, V\)"),
        (lambda: MarkovChains(simplex(2, 3), simplex(2, 3, 3), (3, 2)), "lengths = .3, 2."),
    ],
)
def test_laws_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
