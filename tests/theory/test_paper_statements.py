"""Statements of the GDE paper, checked by exact sums over all samples of a small distribution.

A distribution P on three points has (m + 1)(m + 2) / 2 different empirical distributions of m
atoms, whose multinomial probabilities are exact, so expectations over samples have no noise.
`docs/paper.md` lists the statements.
"""

from collections import Counter
from fractions import Fraction
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distembed.batch import SetBatch
from distembed.divergences.exact import ExactW2
from distembed.encoders import ENCODERS
from distembed.generators.explicit import Explicit
from distembed.inference.influence import influence
from distembed.registry import build
from distembed.rng import stream

POINTS = torch.tensor([[-1.0, 0.5], [0.3, -0.8], [1.2, 0.9]], dtype=torch.float64)
P = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)

SMOOTH = {
    "mean": {"name": "moments", "kind": "mean"},
    "mean_cov": {"name": "moments", "kind": "mean_cov"},
    "kernel": {"name": "kernel"},
    "deepsets": {"name": "deepsets", "width": 16},
    "logmeanexp": {"name": "deepsets", "width": 16, "pooling": "logmeanexp"},
    "resnet_gnn": {"name": "resnet_gnn", "width": 16},
    "attention": {"name": "attention", "width": 16, "heads": 2},
}


def samples(m):
    """Return all empirical distributions of m atoms of P, and their probabilities."""
    counts = [(a, b, m - a - b) for a in range(m + 1) for b in range(m + 1 - a)]
    ways = torch.tensor(
        [float(comb(m, a) * comb(m - a, b)) for a, b, _ in counts], dtype=torch.float64
    )
    k = torch.tensor(counts, dtype=torch.float64)
    batch = SetBatch(POINTS.repeat(len(k), 1), (k / m).flatten(), 3 * torch.arange(len(k) + 1))
    return batch, ways * (P**k).prod(1)


def law():
    return SetBatch(POINTS, P, torch.tensor([0, 3]))


def smooth_encoder(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = build(ENCODERS, SMOOTH[name], "encoder", (2,), 4).double().eval()
    if hasattr(encoder, "prepare"):
        encoder.prepare(SetBatch.from_list([POINTS + k for k in range(8)]).to(dtype=torch.double))
    return encoder


def proportions(atoms):
    counts = Counter(atoms)
    return {x: Fraction(n, len(atoms)) for x, n in counts.items()}


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=6),
    st.lists(st.integers(0, 2), min_size=1, max_size=6),
)
def test_w2_separates_exactly_the_empirical_distributions(a, b):
    """Theorem 1: invariance to order and proportional duplication leaves P_m, and all of it."""
    x, y = (SetBatch.from_list([torch.tensor(s).double()[:, None]]) for s in (a, b))
    distance = ExactW2()(x, y).item()
    assert (distance < 1e-7) == (proportions(a) == proportions(b))


def test_probabilities_of_samples_sum_to_one():
    for m in (1, 4, 48):
        torch.testing.assert_close(samples(m)[1].sum().item(), 1.0, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", SMOOTH)
@torch.no_grad()
def test_m_times_the_squared_error_of_z_tends_to_the_trace_of_the_influences(name):
    """Theorem 2 and proposition 4: the covariance of z is that of the influences over m."""
    encoder = smooth_encoder(name)
    limit = encoder(law())
    psi = influence(encoder, law())[0]
    trace = (P[:, None] * psi.square()).sum().item()

    def scaled_error(m):
        batch, probability = samples(m)
        return m * float(probability @ (encoder(batch) - limit).square().sum(1))

    far, near = (abs(scaled_error(m) - trace) for m in (24, 48))
    assert near < 0.1 * trace
    # the remainder is of order 1 / m, so that twice the atoms halve it
    assert near < 0.6 * far + 1e-10 * trace


@pytest.mark.parametrize("name", ["mean", "deepsets"])
@torch.no_grad()
def test_the_expected_loss_exceeds_its_limit_by_a_multiple_of_one_over_m(name):
    """Theorem 2: E loss(P, G(z(P_m))) - loss(P, G(z(P))) = O(1 / m) where the loss is flat.

    The loss is that of a Gaussian generator, tilted and bent so that z(P) is a minimiser.
    """
    encoder = smooth_encoder(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Explicit((2,), 4, "gaussian", width=8).eval()
    limit = encoder(law())

    def plain(z):
        sets = len(z)
        whole = SetBatch(POINTS.repeat(sets, 1), P.repeat(sets), 3 * torch.arange(sets + 1))
        return generator.loss(whole.to(dtype=torch.float32), z.float(), stream(0)).double()

    with torch.enable_grad():
        z = limit.clone().requires_grad_()
        slope = torch.autograd.grad(plain(z).sum(), z)[0][0]

    def loss(z):
        return plain(z) - (z - limit) @ slope + (z - limit).square().sum(1)

    def gap(m):
        batch, probability = samples(m)
        return float(probability @ (loss(encoder(batch)) - loss(limit)))

    assert gap(40) > 0
    assert abs(gap(80) / gap(40) - 0.5) < 0.03


@torch.no_grad()
def test_scoring_the_atoms_that_made_z_is_optimistic():
    """The loss of N(mean, I) is tr C (1 - 1/m) / 2 on its own atoms, (1 + 1/m) / 2 on others."""
    mean = P @ POINTS
    trace = float(P @ (POINTS - mean).square().sum(1))
    for m in (2, 5, 20):
        batch, probability = samples(m)
        z = batch.mean(batch.x)
        own = batch.mean((batch.x - batch.expand(z)).square().sum(1, keepdim=True))[:, 0] / 2
        others = (POINTS - z[:, None]).square().sum(2) @ P / 2
        np.testing.assert_allclose(float(probability @ own), trace * (1 - 1 / m) / 2, rtol=1e-10)
        np.testing.assert_allclose(
            float(probability @ others), trace * (1 + 1 / m) / 2, rtol=1e-10
        )


@pytest.mark.parametrize(("kind", "rank"), [("mean", 2), ("mean_cov", 5)])
def test_z_is_sufficient_for_gaussians_where_its_derivative_has_full_rank(kind, rank):
    """Theorem 3: predictive sufficiency for a family of d parameters needs a smooth embedding."""
    e = torch.randn(64, 2, generator=stream(0), dtype=torch.float64)
    e = e - e.mean(0)
    e = e @ torch.linalg.inv(torch.linalg.cholesky(e.mT @ e / len(e))).mT
    encoder = build(ENCODERS, {"name": "moments", "kind": kind}, "encoder", (2,), 5).double()
    encoder.prepare(SetBatch.from_list([e + k for k in range(8)]))

    def embed(theta):
        factor = torch.stack([theta[2:4], torch.stack([theta[3] * 0, theta[4]])]).mT
        return encoder(SetBatch.from_list([theta[:2] + e @ factor.mT]))[0]

    theta = torch.tensor([0.4, -0.2, 1.3, 0.5, 0.8], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(embed, theta)
    assert torch.linalg.matrix_rank(jacobian, rtol=1e-6).item() == rank
