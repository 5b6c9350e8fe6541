"""Judges of samples are unbiased or proper at every number of atoms, by exact enumeration."""

import itertools
import math

import pytest
import torch

from distembed.batch import SetBatch
from distembed.divergences.debiased import debiased, debiased_sliced_w2, debiased_w2
from distembed.divergences.energy import Energy, unbiased_energy
from distembed.divergences.exact import ExactW2
from distembed.rng import stream

F64 = torch.float64


def law(atoms, probabilities):
    return torch.tensor(atoms, dtype=F64), torch.tensor(probabilities, dtype=F64)


LAW = law([[0.0, 0.0], [1.0, 0.5], [0.5, 3.0]], [0.5, 0.3, 0.2])
OTHER = law([[0.0, 1.0], [2.0, 0.0]], [0.6, 0.4])
LINE = law([[-1.0], [0.0], [2.0]], [0.3, 0.4, 0.3])
TWO = law([[0.0], [2.0]], [0.7, 0.3])
SIZES = [(2, 2), (2, 3), (3, 2)]


def every_sample(law, m, weights=None):
    """All samples of m atoms of a discrete law, and their probabilities."""
    x, p = law
    rows = torch.tensor(list(itertools.product(range(len(x)), repeat=m)))
    w = torch.ones(m, dtype=F64) if weights is None else torch.tensor(weights, dtype=F64)
    return SetBatch.from_dense(x[rows], w.expand(len(rows), m)), p[rows].prod(1)


def expectation(compare, p, q, m, n, u=None, v=None):
    """The exact mean of a comparison over all pairs of samples of two discrete laws."""
    (a, pa), (b, pb) = every_sample(p, m, u), every_sample(q, n, v)
    i, j = torch.cartesian_prod(torch.arange(len(a)), torch.arange(len(b))).T
    return float((pa[i] * pb[j]) @ compare(a.select(i), b.select(j)))


def population_energy(p, q):
    """The energy distance of two discrete laws: the V-statistic of the laws themselves."""
    a, b = (SetBatch.from_list([x], [w]) for x, w in (p, q))
    return float(Energy()(a, b)[0])


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_energy_has_the_population_value_as_its_mean(m, n):
    u = [3.0, 1.0, 2.0][:m]  # weights that do not depend on the atoms leave it unbiased
    truth = population_energy(LAW, OTHER)
    assert expectation(unbiased_energy, LAW, OTHER, m, n) == pytest.approx(truth, abs=1e-12)
    assert expectation(unbiased_energy, LAW, OTHER, m, n, u) == pytest.approx(truth, abs=1e-12)
    assert expectation(unbiased_energy, LAW, LAW, m, n, u) == pytest.approx(0, abs=1e-12)
    assert expectation(Energy(), LAW, LAW, m, n) > 0.5


def test_the_plugin_statistic_prefers_a_narrower_law():
    """The bias of V-statistics grows with the spread of the samples; the U-statistic has none."""
    narrow = 0.6 * LINE[0], LINE[1]
    assert expectation(Energy(), narrow, LINE, 2, 2) < expectation(Energy(), LINE, LINE, 2, 2)
    plugin = lambda a, b: ExactW2()(a, b).square()  # noqa: E731
    assert expectation(plugin, narrow, LINE, 2, 2) < expectation(plugin, LINE, LINE, 2, 2)
    assert expectation(unbiased_energy, narrow, LINE, 2, 2) > 0.01


def test_energy_of_normal_samples():
    """E|N(c, s^2)| has a closed form, and so has the energy distance of two normal laws."""
    a, b, count = (0.5, 0.7), (0.0, 1.0), 1000
    rng = stream("normal samples")

    def absolute(c, s):
        tail = math.erf(c / (s * math.sqrt(2)))
        return s * math.sqrt(2 / math.pi) * math.exp(-(c**2) / (2 * s**2)) + c * tail

    truth = 2 * absolute(a[0], math.hypot(a[1], b[1]))
    truth -= 2 / math.sqrt(math.pi) * (a[1] + b[1])
    x, y = (
        SetBatch.from_dense(c + s * torch.randn(count, m, 1, generator=rng, dtype=F64))
        for m, (c, s) in ((3, a), (4, b))
    )
    values = unbiased_energy(x, y)
    assert (values < 0).any()
    assert abs(float(values.mean()) - truth) < 5 * float(values.std()) / math.sqrt(count)


@pytest.mark.parametrize("compare", [debiased_w2, debiased_sliced_w2])
@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 2.0]])
def test_debiased_distances_of_equal_laws_are_zero_in_the_mean(compare, weights):
    """With equal weights of both samples, whatever they are, and in any dimension."""
    assert expectation(compare, LAW, LAW, 3, 3, weights, weights) == pytest.approx(0, abs=1e-12)
    assert abs(expectation(compare, LAW, LAW, 3, 3, weights, [9.0, 1.0, 5.0])) < 0.2


def quantiles_of_halves(law, m):
    """Expected order statistics of m atoms of a law on the line."""
    batch, p = every_sample(law, m)
    return p @ batch.x.view(-1, m).sort(1).values


def test_on_the_line_it_is_the_distance_of_expected_order_statistics():
    shape = law([[-2.0], [1.0]], [0.5, 0.5])
    truth = (quantiles_of_halves(TWO, 2) - quantiles_of_halves(shape, 2)).square().mean()
    for compare in (debiased_w2, debiased_sliced_w2):
        value = expectation(compare, shape, TWO, 4, 4)
        assert value == pytest.approx(float(truth), abs=1e-12)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 1.5])
def test_a_scale_and_a_shift_cost_their_squares(scale):
    """E D = g (1 - s)^2 + |c|^2, with g from the unscaled law, in two dimensions."""
    x, p = OTHER
    mean = (p[:, None] * x).sum(0)
    shift = torch.tensor([0.3, -0.4], dtype=F64)

    def value(s, c):
        return expectation(debiased_w2, (mean + s * (x - mean) + c, p), OTHER, 4, 4)

    g = value(0.0, 0 * shift)
    assert g > 0.05
    assert value(scale, 0 * shift) == pytest.approx(g * (1 - scale) ** 2, abs=1e-12)
    assert value(scale, shift) == pytest.approx(g * (1 - scale) ** 2 + 0.25, abs=1e-12)


def test_halves_of_one_atom_compare_the_means():
    wide = LINE[0] * 3, LINE[1]
    mean = float(LINE[1] @ LINE[0][:, 0])
    truth = (3 * mean - mean) ** 2
    assert expectation(debiased_w2, wide, LINE, 2, 2) == pytest.approx(truth, abs=1e-12)


def test_a_set_does_not_depend_on_the_others():
    a, b = (
        SetBatch.from_list([torch.randn(m, 2, dtype=F64, generator=stream(k, m)) for m in (5, 40)])
        for k in "ab"
    )
    torch.testing.assert_close(debiased_w2(a, b)[:1], debiased_w2(a[0], b[0]), rtol=0, atol=0)


def test_halves_are_disjoint_and_fixed():
    x = torch.arange(14.0, dtype=F64).view(2, 7, 1)
    batches = []

    def record(a, b):
        batches.append((a, b))
        return ExactW2()(a, b)

    a, b = SetBatch.from_dense(x), SetBatch.from_dense(x + 100)
    first = debiased(record, a, b)
    within = batches[2]
    for k in range(2):
        parts = [set(half[k].x.flatten().tolist()) for half in within]
        assert [len(part) for part in parts] == [3, 4]
        assert parts[0] | parts[1] == set(a[k].x.flatten().tolist())
    assert torch.equal(debiased(ExactW2(), a, b), first)
    assert not torch.equal(debiased(ExactW2(), a, b, seed=1), first)


@pytest.mark.parametrize("compare", [unbiased_energy, debiased_w2])
def test_a_single_atom_is_refused(compare):
    pair, single = SetBatch.from_list([[[0.0], [1.0]]]), SetBatch.from_list([[[1.0]]])
    empty = SetBatch.from_list([[[0.0], [1.0]]], [[1.0, 0.0]])
    for other in (single, empty):
        with pytest.raises(ValueError, match="Set 0 has a single atom of positive weight"):
            compare(pair, other)


def test_gradient_of_the_unbiased_energy():
    a = SetBatch.from_list([torch.randn(4, 2, dtype=F64, generator=stream("a"))])
    b = SetBatch.from_list([torch.randn(3, 2, dtype=F64, generator=stream("b"))])
    inputs = [t.clone().requires_grad_() for t in (a.x, a.w)]
    assert torch.autograd.gradcheck(
        lambda x, w: unbiased_energy(a.replace(x=x, w=w / w.sum()), b), inputs
    )
