"""Likelihoods of one atom: normalised, equal to scipy, and consistent with their draws."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn.functional import softplus

from distembed.batch import SetBatch
from distembed.generators.likelihoods import LIKELIHOODS
from distembed.generators.likelihoods.links import (
    CountLimits,
    inverse_softplus_of_log,
    log_softplus,
)
from distembed.registry import applicable, build
from distembed.rng import stream


def make(name, dim, **options):
    return build(
        LIKELIHOODS, {"name": name, **LIKELIHOODS[name].example, **options}, "likelihood", dim
    )


REAL = applicable(LIKELIHOODS, "vectors")
DISCRETE = [name for name in applicable(LIKELIHOODS, "counts") if name not in REAL]
NAMES = REAL + DISCRETE
COUNTS = [name for name in DISCRETE if make(name, 2).counts]


def outputs(likelihood, *rows, spread=0.6):
    shape = (*rows, likelihood.outputs)
    return spread * torch.randn(shape, dtype=torch.float64, generator=stream("h"))


def support(name, dim):
    """Enumerate the atoms of nonnegligible probability, `(A, D)`."""
    if name == "categorical":
        return torch.eye(dim, dtype=torch.float64)
    highest = 1 if name == "bernoulli" else 400 if dim == 1 else 90
    axis = torch.arange(highest + 1, dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("name", DISCRETE)
def test_probabilities_sum_to_one_and_have_the_mean(name, dim):
    if name == "categorical" and dim == 1:
        dim = 4
    likelihood = make(name, dim)
    x = support(name, dim)
    for h in outputs(likelihood, 5):
        p = likelihood.log_prob(x, h).exp()
        # counts beyond the enumeration have a probability below 1e-7 for means of about one
        assert float(p.sum()) == pytest.approx(1, abs=1e-6)
        torch.testing.assert_close(p @ x, likelihood.mean(h), rtol=1e-5, atol=1e-6)


def test_the_gaussian_integrates_to_one():
    likelihood = make("gaussian", 1)
    x = torch.linspace(-30, 30, 20_001, dtype=torch.float64)[:, None]
    for h in outputs(likelihood, 5):
        p = likelihood.log_prob(x, h).exp()
        assert float(torch.trapezoid(p, x[:, 0])) == pytest.approx(1, abs=1e-10)


def test_scipy_agrees():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.poisson(3.0, (50, 3))).double()
    numbers = x - 2.5

    def agree(value, expected):
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-10)

    p = make("poisson", 3)
    h = outputs(p, 50)
    agree(p.log_prob(x, h), stats.poisson.logpmf(x, softplus(h)).sum(1))

    g = make("gaussian", 3)
    h = outputs(g, 50)
    agree(g.log_prob(numbers, h), stats.norm.logpdf(numbers, h[:, :3], h[:, 3:].exp()).sum(1))

    def nbinom(x, mean, log_size):
        mean, size = softplus(mean).numpy(), log_size.exp().numpy()
        return stats.nbinom.logpmf(x, size, size / (size + mean))

    n = make("negative_binomial", 3)
    h = outputs(n, 50)
    agree(n.log_prob(x, h), nbinom(x, h[:, :3], h[:, 3:]).sum(1))

    z = make("zero_inflated_negative_binomial", 3)
    h = outputs(z, 50)
    extra = 1 / (1 + np.exp(-h[:, 6:].numpy()))
    mixed = extra * (x.numpy() == 0) + (1 - extra) * np.exp(nbinom(x, h[:, :3], h[:, 3:6]))
    agree(z.log_prob(x, h), np.log(mixed).sum(1))

    m = make("multinomial", 3)
    h = outputs(m, 50)
    total = x.sum(1).numpy()
    share = h[:, :3].softmax(1).numpy()
    shared = stats.multinomial.logpmf(x.numpy(), total, share)
    agree(m.log_prob(x, h), shared + nbinom(total, h[:, 3], h[:, 4]))


def test_torch_agrees_on_classes():
    b, c = make("bernoulli", 4), make("categorical", 4)
    h = outputs(b, 30)
    x = (torch.rand(30, 4, generator=stream("x")) < 0.5).double()
    expected = torch.distributions.Bernoulli(logits=h).log_prob(x).sum(1)
    torch.testing.assert_close(b.log_prob(x, h), expected)
    one_hot = torch.eye(4, dtype=torch.float64)[torch.arange(30) % 4]
    expected = torch.distributions.OneHotCategorical(logits=h).log_prob(one_hot)
    torch.testing.assert_close(c.log_prob(one_hot, h), expected)


@pytest.mark.parametrize("name", NAMES)
def test_samples_have_the_moments_of_the_density(name):
    likelihood, n = make(name, 2), 40_000
    h = outputs(likelihood, 1)
    x = likelihood.sample(h.expand(n, -1), stream("draw"))
    likelihood.check(x)
    assert x.dtype == h.dtype
    assert x.shape == (n, 2)
    if name == "gaussian":
        mean, second = h[0, :2], h[0, 2:].exp().square() + h[0, :2].square()
    else:
        atoms = support(name, 2)
        p = likelihood.log_prob(atoms, h[0]).exp()
        mean, second = p @ atoms, p @ atoms.square()
        cross = float(p @ atoms.prod(1))
        both = x.prod(1)
        assert abs(float(both.mean()) - cross) <= 5 * float(both.std()) / math.sqrt(n) + 1e-12
    for values, expected in ((x, mean), (x.square(), second)):
        errors = (values.mean(0) - expected).abs() / (values.std(0) / math.sqrt(n))
        assert errors.max() < 5
    torch.testing.assert_close(x, likelihood.sample(h.expand(n, -1), stream("draw")))


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_sample_has_its_mean(name):
    # with two categories the second takes the remainder; with five, fractions of the remainder
    likelihood, n = make(name, 5), 40_000
    h = outputs(likelihood, 1)
    x = likelihood.sample(h.expand(n, -1), stream("draw"))
    errors = (x.mean(0) - likelihood.mean(h)[0]).abs() / (x.std(0) / math.sqrt(n))
    assert errors.max() < 5


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_differences(name):
    likelihood = make(name, 3)
    h = outputs(likelihood, 4)
    x = likelihood.sample(h, stream("x"))
    assert torch.autograd.gradcheck(lambda h: likelihood.log_prob(x, h), h.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", COUNTS)
def test_extremes_are_finite(name, dtype):
    likelihood = make(name, 2)
    atoms = torch.tensor([[0, 0], [0, 100_000], [100_000, 100_000], [1, 0]], dtype=dtype)
    for level in (-1e4, -30.0, 0.0, 11.5, 1e4):
        h = torch.full((4, likelihood.outputs), level, dtype=dtype, requires_grad=True)
        nats = likelihood.log_prob(atoms, h)
        nats.sum().backward()
        assert nats.isfinite().all()
        assert nats.dtype == dtype
        assert h.grad.isfinite().all()
        assert likelihood.mean(h).isfinite().all()
        assert likelihood.sample(h.detach(), stream("draw")).isfinite().all()


@pytest.mark.parametrize("name", COUNTS)
def test_a_rate_of_zero_counts_nothing(name):
    likelihood = make(name, 2)
    h = torch.full((likelihood.outputs,), -1e4, dtype=torch.float64)
    if name == "multinomial":
        h[:2] = 0
    assert float(likelihood.log_prob(torch.zeros(2), h)) == pytest.approx(0, abs=1e-9)
    assert not likelihood.sample(h.expand(100, -1), stream("draw")).any()


def test_large_counts_keep_their_digits():
    # lgamma(1e5) is a million, whose last digit in float32 is 0.06
    nats = make("poisson", 1).log_prob(torch.tensor([1e5]), torch.tensor([1e5]))
    assert float(nats) == pytest.approx(float(stats.poisson.logpmf(1e5, 1e5)), rel=1e-6)


def test_the_link_and_its_inverse():
    log_mean = torch.linspace(-20, 15, 71, dtype=torch.float64)
    inverse = inverse_softplus_of_log(log_mean)
    torch.testing.assert_close(log_softplus(inverse, CountLimits()), log_mean, rtol=0, atol=1e-9)
    # linear for large means, logarithmic for small ones
    ends = torch.tensor([math.log(1e4), -20.0], dtype=torch.float64)
    torch.testing.assert_close(inverse_softplus_of_log(ends), ends.new_tensor([1e4, -20]))


@pytest.mark.parametrize("name", NAMES)
def test_the_estimate_fits_pooled_atoms(name):
    likelihood = make(name, 3)
    h = outputs(likelihood, 1)
    x = likelihood.sample(h.expand(20_000, -1), stream("x"))
    estimate = likelihood.estimate(SetBatch.from_dense(x.reshape(2, 10_000, 3)))
    assert estimate.shape == (likelihood.outputs,)
    nats = [float(-likelihood.log_prob(x, p).mean()) for p in (h[0], estimate)]
    # moments estimate a size to a few per cent, and separate zeros from small sizes badly
    assert nats[1] < nats[0] + (0.1 if "inflated" in name else 0.01)


@pytest.mark.parametrize("name", NAMES)
def test_the_estimate_is_finite_on_constant_atoms(name):
    likelihood = make(name, 3)
    x = torch.zeros(2, 4, 3)
    x[..., 0] = 1
    assert likelihood.estimate(SetBatch.from_dense(x)).isfinite().all()


def test_a_shared_deviation():
    likelihood = make("gaussian", 3, shared=True)
    h = outputs(likelihood, 5)
    x = torch.randn(5, 3, dtype=torch.float64, generator=stream("x"))
    expected = stats.norm.logpdf(x, h[:, :3], h[:, 3:].exp()).sum(1)
    np.testing.assert_allclose(likelihood.log_prob(x, h), expected)


@pytest.mark.parametrize("bad", [[1.0, -1.0], [0.5, 2.0]])
@pytest.mark.parametrize("name", COUNTS)
def test_atoms_that_are_no_counts_are_refused(name, bad):
    with pytest.raises(ValueError, match=r"(?s)met (-1|0\.5).*raw counts.*transform=\[\]"):
        make(name, 2).check(torch.tensor([[0.0, 3.0], bad]))


def test_atoms_that_are_no_classes_are_refused():
    with pytest.raises(ValueError, match=r"(?s)met 0\.25.*Threshold"):
        make("bernoulli", 2).check(torch.tensor([[0.0, 0.25]]))
    with pytest.raises(ValueError, match=r"(?s)atom \[1\.0, 1\.0\].*one_hot"):
        make("categorical", 2).check(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
    with pytest.raises(ValueError, match="two or more classes"):
        make("categorical", 1)
