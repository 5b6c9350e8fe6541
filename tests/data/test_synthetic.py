"""Known distributions: their draws have their moments, and set s is the same in any process."""

import pickle

import numpy as np
import pytest
import torch

from distembed.data.synthetic.counts import Multinomials, Poissons
from distembed.data.synthetic.gaussians import Gaussians, Mixtures, whitened
from distembed.protocols import Collection
from distembed.rng import stream
from distembed.testing import check_collection

M = 20_000


def mixture_set(seed=0, s=2, k=3, d=2):
    rng = torch.Generator().manual_seed(seed)
    root = torch.randn(s, k, d, d, generator=rng).double()
    cov = root @ root.mT + 0.1 * torch.eye(d)
    weights = torch.rand(s, k, generator=rng) + 0.1
    return Mixtures(weights, torch.randn(s, k, d, generator=rng) * 3, cov, size=50)


def every():
    return [
        Gaussians.prior(3, d=2, df=10, size=50),
        mixture_set(),
        Multinomials([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]], total=20, size=50),
        Poissons([[0.5, 3.0], [0.0, 10.0]], size=50),
    ]


def truth(sets):
    """Mean (S, D) and covariance (S, D, D) from the parameters."""
    if isinstance(sets, Gaussians):
        return sets.mean, sets.cov
    if isinstance(sets, Mixtures):
        return sets.moments()
    if isinstance(sets, Poissons):
        return sets.rate, torch.diag_embed(sets.rate)
    p, n = sets.p, sets.total
    return n * p, n * (torch.diag_embed(p) - p[:, :, None] * p[:, None, :])


@pytest.mark.parametrize("sets", every(), ids=lambda s: type(s).__name__)
def test_draws_have_the_moments_of_the_distribution(sets):
    batch = sets.batch(range(len(sets)), M, stream(0, "moments"))
    x = batch.x.double().reshape(len(sets), M, -1)
    mean, cov = truth(sets)
    error = (cov.diagonal(dim1=1, dim2=2) / M).sqrt()
    assert ((x.mean(1) - mean).abs() <= 5 * error + 1e-9).all()
    gap = x - mean.unsqueeze(1)
    product = gap[..., :, None] * gap[..., None, :]
    # the standard error of a covariance, from the fourth moments of the draw itself
    error = (product.var(1) / M).sqrt()
    assert ((product.mean(1) - cov).abs() <= 5 * error + 1e-9).all()


@pytest.mark.parametrize("sets", every(), ids=lambda s: type(s).__name__)
def test_own_atoms_are_the_same_in_any_order_and_process(sets):
    assert isinstance(sets, Collection)
    check_collection(sets)
    again = pickle.loads(pickle.dumps(sets))
    both, one = sets.batch([0, 1]), again.batch([1, 0])
    assert torch.equal(both.x, torch.cat([one[1].x, one[0].x]))
    assert both.sizes.tolist() == [50, 50] == sets.sizes[:2].tolist()
    assert both.event_shape == sets.event_shape
    assert both.x.dtype == sets.dtype == torch.float32
    pieces = list(sets.chunks(1, 20))
    assert torch.equal(torch.cat([p.x for p in pieces]), both[1].x)
    assert torch.cat([p.w for p in pieces]).allclose(torch.full((50,), 1 / 50))
    assert not torch.equal(both[0].x, both[1].x)


@pytest.mark.parametrize("sets", every(), ids=lambda s: type(s).__name__)
def test_fresh_atoms_follow_the_generator(sets):
    a, b = sets.batch([1, 0], 70, stream(4)), sets.batch([1, 0], 70, stream(4))
    assert torch.equal(a.x, b.x)
    assert a.equal == 70
    assert not torch.equal(a.x, sets.batch([1, 0], 70, stream(5)).x)
    assert sets.batch([0], rng=stream(0)).sizes.tolist() == [50]


def test_sets_of_equal_parameters_have_other_atoms_and_seeds_too():
    parameters = [[0.0], [0.0]], [[[1.0]], [[1.0]]]
    x = Gaussians(*parameters, size=5).batch([0, 1]).x
    assert not torch.equal(x[:5], x[5:])
    assert not torch.equal(x, Gaussians(*parameters, size=5, seed=1).batch([0, 1]).x)


def test_multinomial_counts_sum_to_the_total():
    x = every()[2].batch([0, 1], 300, stream(0)).x
    assert (x.sum(1) == 20).all()
    assert (x[300:] == torch.tensor([0.0, 20.0, 0.0])).all()


def test_components_have_their_weights_and_covariances():
    """Far apart, so that the component of an atom is seen."""
    cov = torch.eye(1).expand(1, 2, 1, 1) * torch.tensor([1.0, 9.0]).reshape(1, 2, 1, 1)
    sets = Mixtures([[3, 1]], [[[-500.0], [500.0]]], cov)
    x = sets.batch([0], M, stream(1)).x.double()
    right = x > 0
    assert abs(float(right.double().mean()) - 0.25) < 5 * (0.25 * 0.75 / M) ** 0.5
    assert abs(float(x[right].var()) / 9 - 1) < 5 * (2 / (M / 4)) ** 0.5
    assert abs(float(x[~right].var()) - 1) < 5 * (2 / (M * 3 / 4)) ** 0.5


@pytest.mark.parametrize("factor", ["symmetric", "cholesky"])
def test_whitened_mixtures_have_mean_zero_and_covariance_one(factor):
    mean, cov = whitened(mixture_set(s=5, d=3), factor).moments()
    assert mean.abs().max() < 1e-12
    assert (cov - torch.eye(3)).abs().max() < 1e-12


def test_the_factor_of_whitening_is_the_one_asked_for():
    sets = mixture_set(s=5, d=3)
    mean, cov = sets.moments()
    root = torch.linalg.cholesky(cov)
    gap = (sets.mean - mean.unsqueeze(1)).mT
    wanted = torch.linalg.solve_triangular(root, gap, upper=False).mT
    torch.testing.assert_close(whitened(sets, "cholesky").mean, wanted)
    # the symmetric root is what takes moved means back by a symmetric matrix
    moved = whitened(sets).mean.mT
    values, vectors = torch.linalg.eigh(cov)
    torch.testing.assert_close(vectors * values.sqrt().unsqueeze(1) @ vectors.mT @ moved, gap)
    with pytest.raises(ValueError, match="factor is 'qr'"):
        whitened(sets, "qr")


def test_the_prior_is_the_papers():
    sets = Gaussians.prior(4000, d=5, df=40, scale=0.1, low=1.0, high=3.0)
    assert float(sets.mean.min()) >= 1
    assert float(sets.mean.max()) <= 3
    diagonal = sets.cov.diagonal(dim1=1, dim2=2)
    error = diagonal.std() / 4000**0.5
    assert ((diagonal.mean(0) - 10 / 34).abs() < 5 * error).all()
    assert torch.equal(sets.cov, Gaussians.prior(4000, 5, 40, 0.1, 1.0, 3.0).cov)


def test_w2_in_one_dimension_is_that_of_means_and_deviations():
    sets = Gaussians([[0.0], [3.0], [3.0]], [[[1.0]], [[4.0]], [[9.0]]])
    assert np.allclose(sets.w2([0, 1, 2], [1, 2, 2]), [10**0.5, 1.0, 0.0], atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussians([[0.0]], [[[-1.0]]]), "not positive definite"),
        (lambda: Gaussians([[0.0]], [[1.0]]), "needs 3 axes"),
        (lambda: Gaussians([[0.0, 0.0]], [[[1.0]]]), "cov needs"),
        (lambda: Gaussians([[np.nan]], [[[1.0]]]), "NaN"),
        (lambda: Gaussians.prior(2, d=5, df=4), "df = 4"),
        (lambda: Mixtures([[0.0]], [[[0.0]]], [[[[1.0]]]]), "sum to zero"),
        (lambda: Mixtures([[1.0, 1.0]], [[[0.0]]], [[[[1.0]]]]), "shapes"),
        (lambda: Multinomials([[1.0, -1.0]], 3), ">= 0"),
        (lambda: Multinomials([[1.0]], 0), "at least 1"),
        (lambda: Poissons([[-1.0]]), "negative"),
        (lambda: every()[0].batch([0], 5), "there is no rng"),
        (lambda: every()[0].batch([0], 0, stream(0)), "at least 1"),
    ],
)
def test_errors_say_what_is_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()
