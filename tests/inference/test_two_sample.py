"""Two-sample tests: exact size, invariance, closed forms, power."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2, kstest, norm
from torch import nn

from distembed.inference.tests.pairwise import pairwise_tests
from distembed.inference.tests.two_sample import k_sample_test, two_sample_test
from distembed.protocols import EncoderTraits
from distembed.rng import stream


def mean(batch):
    return batch.mean(batch.x)


def moments(batch):
    return torch.cat([batch.mean(batch.x), batch.mean(batch.x.square())], 1)


def rough(batch):
    """Moments without the trait `smooth`, which skips the asymptotic p-value."""
    return moments(batch)


rough.traits = EncoderTraits(smooth=False)


def normal(*shape, key=0):
    return torch.randn(*shape, generator=stream("two sample", key), dtype=torch.float64)


def close(share, expected, count):
    """Compare a share of `count` trials, within four binomial standard errors."""
    return abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("sizes", [(3, 8), (6, 6, 9)])
@pytest.mark.slow
def test_permutation_p_is_uniform_for_small_sets_of_one_distribution(sizes):
    trials = 250
    p = []
    for t in range(trials):
        x = normal(sum(sizes), 2, key=t).exp().exp()  # far from normal, where asymptotics fail
        result = k_sample_test(rough, x.split(sizes), permutations=19, rng=t)
        p.append(result.p_permutation)
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        assert close(np.mean(np.array(p) <= level + 1e-9), level, trials)
    assert min(p) == 1 / 20  # never zero


def test_ties_count_as_extreme():
    """Half of the reassignments of these atoms give sets that are equal to the observed ones."""
    p = [
        two_sample_test(mean, [[0.0], [1.0]], [[0.0], [1.0]], permutations=49, rng=s).p_permutation
        for s in range(5)
    ]
    assert p == [1.0] * 5
    exact = two_sample_test(mean, [[0.0], [0.0]], [[1.0], [1.0]], permutations=4999)
    assert close(exact.p_permutation, 1 / 3, 5000)  # two of six assignments


@pytest.mark.parametrize("sizes", [(12, 12), (7, 15)])
def test_order_of_sets_and_of_atoms_changes_nothing(sizes):
    a, b = normal(sizes[0], 2, key=1), normal(sizes[1], 2, key=2) + 0.4
    reversed_ = two_sample_test(moments, b.flip(0), a[torch.randperm(sizes[0])])
    result = two_sample_test(moments, a, b)
    assert reversed_.p_permutation == result.p_permutation
    assert reversed_.statistic == pytest.approx(result.statistic, rel=1e-12)
    assert reversed_.p_asymptotic == pytest.approx(result.p_asymptotic, rel=1e-9)
    again = two_sample_test(moments, a.numpy(), b.tolist(), rng=torch.Generator().manual_seed(0))
    assert again.statistic == result.statistic


def test_asymptotic_p_is_the_z_test_of_a_mean():
    a, b = normal(30, 1, key=1), 1.5 * normal(50, 1, key=2) + 0.3
    result = two_sample_test(mean, a, b, permutations=0)
    pooled = (29 * a.var() + 49 * b.var()) / 78
    z = (a.mean() - b.mean()) / (pooled * (1 / 30 + 1 / 50)).sqrt()
    assert result.statistic == pytest.approx(float((a.mean() - b.mean()) ** 2))
    assert result.p_asymptotic == pytest.approx(2 * norm.sf(abs(float(z))), rel=1e-7)
    assert result.p_permutation is None


def test_asymptotic_p_of_k_sets_is_that_of_anova():
    """For a 1-D mean: between-group sum of squares over the pooled variance is chi2_{K - 1}."""
    groups = [normal(20 + 10 * k, 1, key=k) + 0.2 * k for k in range(4)]
    sizes = [len(g) for g in groups]
    pooled = sum((len(g) - 1) * g.var() for g in groups) / (sum(sizes) - 4)
    centre = torch.cat(groups).mean()
    between = sum(len(g) * (g.mean() - centre) ** 2 for g in groups)
    result = k_sample_test(mean, groups, permutations=0)
    assert result.statistic == pytest.approx(float(between))
    assert result.p_asymptotic == pytest.approx(chi2.sf(float(between / pooled), 3), rel=1e-7)


def test_asymptotic_and_permutation_p_agree_on_large_sets():
    a, b = normal(400, 2, key=1), normal(300, 2, key=2) + 0.1
    result = two_sample_test(moments, a, b, permutations=1999)
    assert close(result.p_permutation, result.p_asymptotic, 2000)


def test_asymptotic_p_is_uniform_for_a_nonlinear_encoder():
    p = [
        two_sample_test(
            moments, normal(150, 2, key=2 * t), normal(250, 2, key=2 * t + 1), permutations=0
        ).p_asymptotic
        for t in range(100)
    ]
    assert kstest(p, "uniform").pvalue > 1e-3


def test_a_module_is_copied_in_double():
    class Learned(nn.Module):
        latent = 3

        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.5))
            self.outer = nn.Linear(8, 3)

        def forward(self, batch):
            return self.outer(batch.mean(self.inner(batch.x)))

    encoder = Learned()
    a, b = normal(40, 2, key=1), normal(60, 2, key=2) + 1
    result = two_sample_test(encoder, a, b, permutations=99)
    assert result.p_permutation == 0.01
    assert result.p_asymptotic < 1e-4
    assert encoder.training
    assert next(encoder.parameters()).dtype == torch.float32
    by_method = two_sample_test(encoder.eval().forward, a, b, permutations=99)
    assert by_method.p_permutation == 0.01
    assert by_method.statistic == pytest.approx(result.statistic, rel=1e-4)


def test_no_asymptotic_p_without_an_influence_function():
    def median(batch):
        return torch.stack([batch[b].x.median(0).values for b in range(len(batch))])

    result = two_sample_test(median, normal(20, 1, key=1), normal(20, 1, key=2) + 2)
    assert result.p_asymptotic is None
    assert result.p_permutation <= 0.01


def test_power_rises_with_the_shift_and_with_the_atoms():
    def power(m, shift):
        p = [
            two_sample_test(
                mean, normal(m, 2, key=2 * t), normal(m, 2, key=2 * t + 1) + shift, permutations=0
            ).p_asymptotic
            for t in range(30)
        ]
        return np.mean(np.array(p) < 0.05)

    assert power(20, 0.0) < power(20, 0.3) < power(20, 0.6) < power(60, 0.6)


def test_weighted_atoms_of_one_rule():
    """Size with random weights, and rescaling the weights of a set changes nothing."""
    trials, p = 150, []
    for t in range(trials):
        x, w = normal(30, 1, key=t), torch.rand(30, generator=stream(t), dtype=torch.float64) + 0.1
        result = two_sample_test(
            rough, x[:10], x[10:], weights=[w[:10], w[10:]], permutations=19, rng=t
        )
        p.append(result.p_permutation)
        assert result.weighted
    assert close(np.mean(np.array(p) <= 0.1 + 1e-9), 0.1, trials)
    scaled = two_sample_test(
        rough, x[:10], x[10:], weights=[7 * w[:10], w[10:]], permutations=19, rng=t
    )
    assert scaled.p_permutation == p[-1]
    even = two_sample_test(mean, x[:10], x[10:], weights=[[2.0] * 10, [1.0] * 20])
    plain = two_sample_test(mean, x[:10], x[10:])
    assert even.p_permutation == plain.p_permutation
    assert even.statistic == pytest.approx(plain.statistic, rel=1e-12)
    assert not even.weighted


def test_refusals():
    x = normal(10, 2)
    with pytest.raises(ValueError, match="compares two or more"):
        k_sample_test(mean, [x])
    with pytest.raises(ValueError, match="single atom"):
        two_sample_test(mean, x, x[:1])
    with pytest.raises(ValueError, match="single atom"):
        two_sample_test(mean, x, x, weights=[torch.ones(10), [1.0] + [0.0] * 9])
    with pytest.raises(ValueError, match="shape"):
        two_sample_test(mean, x, normal(10, 3))
    with pytest.raises(ValueError, match="order"):
        two_sample_test(lambda batch: batch.x[batch.offsets[:-1]], x, x + 1)
    with pytest.raises(ValueError, match="one finite vector a set"):
        two_sample_test(lambda batch: batch.x, x, x)
    with pytest.raises(ValueError, match="permutations = -1"):
        two_sample_test(mean, x, x, permutations=-1)


def test_the_result_as_text():
    result = two_sample_test(mean, [[0.0], [1.0], [2.0]], [[5.0], [6.0]], permutations=9)
    text = repr(result)
    assert "3 and 2 atoms" in text
    assert "statistic 20.25" in text
    assert "9 permutations" in text


def test_pairs_against_one_by_one():
    random = np.random.default_rng(0)
    z = random.standard_normal((30, 3))
    factor = random.standard_normal((30, 3, 3))
    cov = factor @ factor.transpose(0, 2, 1)
    pairs = np.stack(np.triu_indices(30, 1), 1)
    result = pairwise_tests(z, cov, pairs)
    draws = random.standard_normal((4000, 3))
    for i in (0, 100, 400):
        a, b = pairs[i]
        lam = np.linalg.eigvalsh(cov[a] + cov[b])
        simulated = np.mean(np.square(draws) @ lam >= result.statistic[i])
        assert close(simulated, result.p[i], 4000)
    assert (result.q >= result.p).all()
    swapped = pairwise_tests(z, cov, pairs[:, ::-1])
    np.testing.assert_allclose(swapped.p, result.p)


def test_pairs_in_closed_form_and_without_noise():
    z, cov = np.array([[0.0], [2.0], [0.0], [1.0]]), np.array([[[0.5]], [[0.5]], [[0.0]], [[0.0]]])
    p = pairwise_tests(z, cov, [[0, 1], [0, 2], [2, 3]]).p
    np.testing.assert_allclose(p, [chi2.sf(4, 1), 1, 0], atol=1e-12)


def test_pairs_refuse():
    z, cov = np.zeros((3, 2)), np.full((3, 2, 2), np.nan)
    cov[:2] = np.eye(2)
    assert pairwise_tests(z, cov, [[0, 1]]).p[0] == 1  # the set without covariance is in no pair
    with pytest.raises(ValueError, match="Set 2 has no covariance"):
        pairwise_tests(z, cov, [[0, 2]])
    with pytest.raises(ValueError, match="twice"):
        pairwise_tests(z, cov, [[1, 1]])
    with pytest.raises(ValueError, match="beyond"):
        pairwise_tests(z, cov, [[0, 3]])
    with pytest.raises(ValueError, match="integers"):
        pairwise_tests(z, cov, [[0.0, 1.0]])
    with pytest.raises(ValueError, match="cov"):
        pairwise_tests(z, cov[0], [[0, 1]])
