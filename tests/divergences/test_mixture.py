"""The distance of Gaussian mixtures against what it contains and what it bounds."""

import ot
import pytest
import torch

from distembed.batch import SetBatch
from distembed.divergences.bures import bures_w2
from distembed.divergences.exact import ExactW2
from distembed.divergences.mixture import mixture_w2
from distembed.rng import stream

F64 = torch.float64


def mixture(k, d, *key):
    rng = stream("mixture", *key)
    factor = torch.randn(k, d, d, generator=rng, dtype=F64)
    weights = torch.rand(k, generator=rng, dtype=F64) + 0.1
    mean = 2 * torch.randn(k, d, generator=rng, dtype=F64)
    return weights / weights.sum(), mean, factor @ factor.mT / d


def test_is_pots():
    """Delon and Desolneux (2020), Proposition 4."""
    (w1, m1, c1), (w2, m2, c2) = mixture(3, 2, 0), mixture(5, 2, 1)
    # the costs of another code and another call of the solver
    cost = [
        [
            ot.gaussian.bures_wasserstein_distance(p, q, a, b).item() ** 2
            for q, b in zip(m2, c2, strict=True)
        ]
        for p, a in zip(m1, c1, strict=True)
    ]
    oracle = ot.emd2(w1.numpy(), w2.numpy(), torch.tensor(cost).double().numpy())
    found = mixture_w2(w1, m1, c1, w2, m2, c2)
    assert found.item() ** 2 == pytest.approx(oracle, rel=1e-6)


def test_of_single_gaussians_and_of_points():
    (w1, m1, c1), (w2, m2, c2) = mixture(1, 3, 2), mixture(1, 3, 3)
    torch.testing.assert_close(mixture_w2(w1, m1, c1, w2, m2, c2), bures_w2(m1, c1, m2, c2)[0])
    (w1, m1, c1), (w2, m2, c2) = mixture(4, 3, 4), mixture(6, 3, 5)
    points = ExactW2()(SetBatch.from_list([m1], [w1]), SetBatch.from_list([m2], [w2]))
    torch.testing.assert_close(mixture_w2(w1, m1, 0 * c1, w2, m2, 0 * c2), points[0])


def test_is_a_metric_of_mixtures():
    one, two, three = (mixture(k, 2, k) for k in (3, 4, 5))
    assert mixture_w2(*one, *one).item() < 1e-7
    torch.testing.assert_close(mixture_w2(*one, *two), mixture_w2(*two, *one))
    assert mixture_w2(*one, *three) <= mixture_w2(*one, *two) + mixture_w2(*two, *three)
    # a component that is split, in another order, and one of no weight
    w, mean, cov = one
    rows = torch.tensor([2, 0, 1, 0, 1])
    share = torch.tensor([1.0, 0.3, 1.0, 0.7, 0.0], dtype=F64) * 5
    split = (w[rows] * share, mean[rows], cov[rows])
    torch.testing.assert_close(mixture_w2(*split, *two), mixture_w2(*one, *two))


def test_bounds_w2():
    """Delon and Desolneux (2020), section 4.3: from above, and by the components from below."""
    one, two = mixture(3, 2, 6), mixture(3, 2, 7)
    rng = stream("draws")
    sets = []
    for w, mean, cov in (one, two):
        k = torch.multinomial(w, 1000, True, generator=rng)
        noise = torch.randn(1000, 2, generator=rng, dtype=F64)
        sets.append(mean[k] + (torch.linalg.cholesky(cov)[k] @ noise[..., None])[..., 0])
    w2 = ExactW2()(*(SetBatch.from_list([x]) for x in sets)).item()
    spread = sum(
        (2 * (w * c.diagonal(0, 1, 2).sum(1)).sum()).sqrt().item() for w, _, c in (one, two)
    )
    found = mixture_w2(*one, *two).item()
    # 0.2 is far above what 1,000 draws add to or take from a distance of this size
    assert w2 - 0.2 < found < w2 + spread + 0.2


def test_gradient():
    (w1, m1, c1), (w2, m2, c2) = mixture(2, 2, 8), mixture(3, 2, 9)

    def distance(m1, r1, m2):
        return mixture_w2(w1, m1, r1 @ r1.mT, w2, m2, c2)

    inputs = (m1, torch.linalg.cholesky(c1), m2)
    assert torch.autograd.gradcheck(distance, [t.clone().requires_grad_() for t in inputs])
    mean = m1.clone().requires_grad_()
    mixture_w2(w1, mean, c1, w1, m1, c1).backward()
    assert torch.isfinite(mean.grad).all()


def test_bad_input():
    w, mean, cov = mixture(3, 2, 10)
    with pytest.raises(ValueError, match="expected"):
        mixture_w2(w, mean, cov, w[:2], mean, cov)
    with pytest.raises(ValueError, match="same D"):
        mixture_w2(w, mean, cov, *mixture(3, 4, 11))
    with pytest.raises(ValueError, match="probabilities"):
        mixture_w2(w, mean, cov, -w, mean, cov)
