"""Counted laws of sequences: probabilities, smoothing by hand, what is chosen, and draws."""

import itertools
import math

import pytest
import torch

from distembed.batch import SetBatch
from distembed.data.synthetic import sequence_families
from distembed.evaluation.length_law import LengthLaw
from distembed.evaluation.sequence_baselines import (
    LawChoices,
    draw_laws,
    fit_markov,
    fit_positions,
    log_prob,
    markov,
    positions,
)
from distembed.rng import stream

FITS = [fit_positions, fit_markov]
ONE = LawChoices(orders=(2,), alphas=(1.5,), bandwidths=(2.0,))


def words(length, vocab=3):
    return torch.tensor([*itertools.product(range(1, vocab + 1), repeat=length)])


def some_sequences(m=40, seed=0):
    return sequence_families.chains(1, m, seed, (0 + 1, 4)).batch([0]).x.clamp_max(3)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("choices", [None, ONE])
def test_probabilities_of_a_length_sum_to_that_of_the_length(fit, choices):
    (law,) = fit(SetBatch.from_list([some_sequences()]), 3, choices)
    for length in (1, 3, 6):  # six is longer than all that were read
        total = law.log_prob(words(length)).exp().sum()
        expected = law.lengths.log_prob(torch.tensor([length])).exp()[0]
        torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)
    empty = law.log_prob(torch.zeros(1, 2, dtype=torch.int64))
    assert empty.equal(law.lengths.log_prob(torch.tensor([0])))


@pytest.mark.parametrize("bandwidth", [0.0, 0.5, 2.0, 10.0])
def test_probabilities_of_lengths_sum_to_one(bandwidth):
    law = LengthLaw(torch.tensor([0, 4, 4, 9]), torch.tensor([1.0, 2, 0.5, 1]).double(), bandwidth)
    p = law.log_prob(torch.arange(2000)).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    # symmetric about a centre far from zero, and zero is no barrier to what lies above it
    alone = LengthLaw(torch.tensor([30]), torch.ones(1).double(), bandwidth)
    geometric = 1 / 31 * (30 / 31) ** torch.arange(61).double()
    kernel = 2 * alone.log_prob(torch.arange(61)).exp() - geometric
    torch.testing.assert_close(kernel, kernel.flip(0), rtol=0, atol=1e-14)


def test_smoothing_by_hand():
    x = torch.tensor([[1, 2, 0], [1, 1, 2]])
    batch = SetBatch.from_list([x])
    choices = LawChoices(orders=(1,), alphas=(2.0,), bandwidths=(0.0,))
    (law,) = fit_positions(batch, 2, choices)
    whole = (3 + 2 * 0.5) / (5 + 2)
    first = (2 + 2 * whole) / (2 + 2)
    second = (1 + 2 * (1 - whole)) / (2 + 2)
    length = law.lengths.log_prob(torch.tensor([2]))[0]
    p = float((law.log_prob(x[:1])[0] - length).exp())
    assert p == pytest.approx(first * second, rel=1e-12)
    (law,) = fit_markov(batch, 2, choices)
    # both sequences start with 1; after 1 come 2, 1 and 2
    start = (2 + 2 * whole) / (2 + 2)
    after = (2 + 2 * (1 - whole)) / (3 + 2)
    p = float((law.log_prob(x[:1])[0] - length).exp())
    assert p == pytest.approx(start * after, rel=1e-12)


def test_a_context_of_two_symbols_is_smoothed_by_its_nearest():
    x = torch.tensor([[2, 1, 3], [3, 1, 2]])
    choices = LawChoices(orders=(2,), alphas=(1.0,), bandwidths=(0.0,))
    (law,) = fit_markov(SetBatch.from_list([x]), 3, choices)

    def after(*context):
        """A direct count."""
        near = [x[0, 2], x[1, 2]] if context[-1] == 1 else None
        assert near is not None
        whole = [(2 + 1 / 3) / 7] * 3
        one = [(sum(int(s) == a for s in near) + whole[a - 1]) / (2 + 1) for a in (1, 2, 3)]
        row = next(r for r in x if int(r[0]) == context[0])
        return [((int(row[2]) == a) + one[a - 1]) / (1 + 1) for a in (1, 2, 3)]

    base = 4
    for oldest in (2, 3):
        expected = torch.tensor(after(oldest, 1), dtype=torch.float64)
        torch.testing.assert_close(law.p[oldest * base + 1], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("fit", FITS)
def test_weights_count(fit):
    x = some_sequences(6)
    weighted = SetBatch.from_list([x], [torch.tensor([1.0, 2, 1, 2, 1, 0]).double()])
    # the effective number of atoms is 49 / 11, and the shares are those of the copies
    rows = torch.tensor([0, 1, 1, 2, 3, 3, 4])
    (one,) = fit(weighted, 3, ONE)
    (copies,) = fit(SetBatch.from_list([x[rows]]), 3, ONE)
    assert one.lengths.total == pytest.approx(49 / 11)
    share, other = one.lengths.count / one.lengths.total, copies.lengths.count / 7
    assert set(one.lengths.centre.tolist()) >= set(copies.lengths.centre.tolist())
    kept = torch.isin(one.lengths.centre, copies.lengths.centre)
    # weights of tokens are float32
    torch.testing.assert_close(share[kept], other, rtol=0, atol=1e-6)
    # of ten million atoms nothing is prior
    huge = LawChoices(orders=(2,), alphas=(1e-9,), bandwidths=(0.0,))
    law, twin = (fit(b, 3, huge)[0] for b in (weighted, SetBatch.from_list([x[rows]])))
    gap = [f.log_prob(x[:5]) - f.lengths.log_prob((x[:5] > 0).sum(1)) for f in (law, twin)]
    torch.testing.assert_close(*gap, rtol=0, atol=1e-6)


def test_cross_validation_recovers_the_order():
    m = 3000
    chain = fit_markov(sequence_families.chains(1, m).batch([0]), 4)[0]
    assert chain.order == 1
    independent = torch.randint(1, 5, (m, 20), generator=stream("independent"))
    law = fit_markov(SetBatch.from_list([independent]), 4)[0]
    assert law.order == 0


@pytest.mark.parametrize(("name", "fit"), [("chains", fit_markov), ("pairs", fit_positions)])
def test_a_law_of_the_family_comes_near_the_truth(name, fit):
    family = getattr(sequence_families, name)(3, 4000)
    if name == "pairs":  # without couplings
        p = family.profile
        family.tables = p[:, :6, :, None] * p[:, 6:, None]
    laws = fit(family.batch(range(3)), 4)
    fresh = family.batch(range(3), 4000, stream("fresh"))
    gap = family.log_prob(fresh, range(3)) - log_prob(laws, fresh)
    # the expected excess of p parameters is p / 2m nats; the prior and lengths may double it
    parameters = {"chains": 4 * 3 + 3 + 20, "pairs": 12 * 3}[name]
    noise = 4 * float(gap.std()) / math.sqrt(len(gap))
    assert -noise < float(gap.mean()) < parameters / 4000 + noise


def test_laws_are_those_of_their_sets():
    batch = SetBatch.from_list([torch.full((9, 3), 1), torch.full((9, 3), 2)])
    for fit in FITS:
        nats = log_prob(fit(batch, 3), batch)
        swapped = log_prob(fit(batch, 3)[::-1], batch)
        assert (nats > swapped + 1).all()


@pytest.mark.parametrize("fit", FITS)
def test_draws_follow_the_law(fit):
    x = some_sequences(30)
    (law,) = fit(SetBatch.from_list([x]), 3, LawChoices((1,), (1.0,), (0.0,)))
    m = 20000
    drawn = draw_laws([law], [m], 0).x
    lengths = (drawn > 0).sum(1)
    assert set(lengths.tolist()) == set((x > 0).sum(1).tolist())
    every = words(2)
    p = (law.log_prob(every) - law.lengths.log_prob(torch.tensor([2]))).exp()
    pairs = drawn[lengths == 2][:, :2]
    count = torch.bincount((pairs[:, 0] - 1) * 3 + pairs[:, 1] - 1, minlength=9)
    expected = p * len(pairs)
    chi = float(((count - expected) ** 2 / expected).sum())
    # chi-square of eight degrees of freedom exceeds 37 once in 10^5
    assert chi < 37
    share = float((lengths == 2).double().mean())
    true = float(((x > 0).sum(1) == 2).double().mean())
    assert abs(share - true) < 5 * math.sqrt(true * (1 - true) / m)


def test_wide_lengths_are_drawn_around_their_centres():
    law = LengthLaw(torch.tensor([50]), torch.ones(1).double(), 4.0)
    drawn = law.draw(20000, stream("lengths")).double()
    q = math.exp(-1 / 4)
    variance = 2 * q / (1 - q) ** 2  # of a two-sided geometric law
    assert abs(float(drawn.mean()) - 50) < 5 * math.sqrt(variance / 20000)
    # the kurtosis of this law is near six, that of a Laplace law
    assert float(drawn.var()) == pytest.approx(variance, rel=5 * math.sqrt(5 / 20000))


@pytest.mark.parametrize("member", [positions, markov])
def test_baselines_of_samples_draw_for_each_set(member):
    context = SetBatch.from_list([torch.full((9, 3), 1), torch.full((9, 2), 2)])
    drawn = member(context, [4, 7], seed=0)
    assert drawn.sizes.tolist() == [4, 7]
    lengths = (drawn.x > 0).sum(1)
    assert lengths.tolist() == [3] * 4 + [2] * 7
    assert member(context, [4, 7], seed=0).x.equal(drawn.x)
    single = SetBatch.from_list([torch.tensor([[1, 2, 1]]), torch.zeros(2, 3, dtype=torch.int64)])
    assert member(single, [2, 2], seed=0).sizes.tolist() == [2, 2]


def test_of_empty_sequences_others_are_improbable_and_not_impossible():
    law = LengthLaw(torch.zeros(5, dtype=torch.int64), torch.ones(5).double(), 0.0)
    nats = law.log_prob(torch.arange(50))
    assert bool(nats.isfinite().all())
    assert float(nats[0].exp()) > 0.9
    assert round(float(nats.exp().sum()), 9) == 1
