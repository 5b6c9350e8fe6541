"""The Gaussian base of generators: algebra, likelihood, closed form, and independent training."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from distembed.batch import SetBatch
from distembed.generators import GENERATORS
from distembed.generators.base import BaseSettings, ConditionalGaussian, Gaussian
from distembed.registry import build
from distembed.rng import stream

FULL_UP_TO = BaseSettings().full_up_to
DIMS = [1, 3, FULL_UP_TO, FULL_UP_TO + 1]


def gaussian(d, b=3, dtype=torch.float64):
    rng = stream("gaussian", d)
    location = torch.randn(b, d, generator=rng, dtype=dtype)
    if d > FULL_UP_TO:
        return Gaussian(location, torch.rand(b, 1, generator=rng, dtype=dtype) + 0.5)
    a = torch.randn(b, d, d, generator=rng, dtype=dtype)
    return Gaussian(location, torch.linalg.cholesky(a @ a.mT / d + 0.3 * torch.eye(d)))


def covariance(scale, d):
    if scale.ndim == 2:
        return scale[:, :, None].square() * torch.eye(d, dtype=scale.dtype)
    return scale @ scale.mT


@pytest.mark.parametrize("d", DIMS)
def test_whiten_and_colour_are_inverse(d):
    g = gaussian(d)
    u = torch.randn(3, 7, d, generator=stream("u"), dtype=torch.float64)
    x = SetBatch.from_dense(g.colour(u))
    torch.testing.assert_close(g.whiten(x).view_as(u), u, rtol=0, atol=1e-10)
    ragged = SetBatch.from_list([x[b].x[: b + 2] for b in range(3)])
    back = g.whiten(ragged).split([2, 3, 4])
    for b, part in enumerate(back):
        torch.testing.assert_close(part, u[b, : b + 2], rtol=0, atol=1e-10)


@pytest.mark.parametrize("d", DIMS)
def test_log_volume_is_that_of_the_scale(d):
    g = gaussian(d)
    expected = torch.logdet(covariance(g.scale, d)) / 2 / d
    torch.testing.assert_close(g.log_volume(), expected)


@pytest.mark.parametrize("d", DIMS)
def test_likelihood_is_that_of_torch(d):
    g = gaussian(d)
    base = ConditionalGaussian(d, latent=2)
    base.unit.fill_(3.0)
    rng = stream("nll")
    x = torch.randn(3, 5, d, generator=rng, dtype=torch.float64)
    w = torch.rand(3, 5, generator=rng, dtype=torch.float64) + 0.1
    batch = SetBatch.from_dense(x, w)
    if d > FULL_UP_TO:
        of_atoms = Normal(g.location[:, None], g.scale[:, None]).log_prob(x).sum(2)
    else:
        of_atoms = MultivariateNormal(g.location[:, None], scale_tril=g.scale[:, None]).log_prob(x)
    log_prob = (w * of_atoms).sum(1) / w.sum(1)
    # in nats a dimension, without the constant, in units of the training deviation
    expected = -log_prob / d - math.log(2 * math.pi) / 2 - math.log(3)
    torch.testing.assert_close(base.negative_log_likelihood(batch, g), expected)


@pytest.mark.parametrize("d", DIMS)
def test_the_scale_never_falls_below_the_floor(d):
    base = ConditionalGaussian(d, latent=2)
    base.unit.fill_(10.0)
    with torch.no_grad():  # roots of every sign and size
        base.weight.normal_(0, 3, generator=stream("floor"))
        base.bias.normal_(0, 3, generator=stream("floor"))
    z = torch.randn(50, 2, generator=stream("z"))
    z[0] = 0
    cov = covariance(base(z).scale.detach().double(), d)
    # 2 % of the unit, up to the rounding of a float32 sum of squares
    rounding = 1e-7 * float(cov.diagonal(dim1=1, dim2=2).sum(1).max())
    assert torch.linalg.eigvalsh(cov).min() > 0.2**2 - rounding


def exact_sets(d, sets, latent, m=200, key="linear"):
    """Sets whose mean and root covariance are affine in z to the last digit."""
    rng = stream(key, d)
    template = torch.randn(m, d, generator=rng, dtype=torch.float64)
    template = template - template.mean(0)
    factor = torch.linalg.cholesky(template.T @ template / m)
    template = torch.linalg.solve_triangular(factor, template.T, upper=False).T
    maps = stream("maps", d)
    to_mean = torch.randn(latent, d, generator=maps, dtype=torch.float64)
    to_root = torch.randn(latent, d, d, generator=maps, dtype=torch.float64) / d
    if d > FULL_UP_TO:
        level = torch.randn(latent, generator=maps, dtype=torch.float64)
        to_root = level[:, None, None] * torch.eye(d)
    z = torch.rand(sets, latent, generator=rng, dtype=torch.float64)
    mean = z @ to_mean + 2
    root = torch.einsum("bl,lde->bde", z, to_root + to_root.mT) / 10 + torch.eye(d)
    x = mean[:, None] + template @ root
    # the covariance of m atoms that a population of covariance root^2 has on average
    return SetBatch.from_dense(x), z, mean, root @ root * m / (m - 1)


@pytest.mark.parametrize("d", [1, 3, FULL_UP_TO + 1])
def test_prepare_recovers_an_exact_linear_dependence(d):
    batch, z, _, _ = exact_sets(d, 60, 4)
    torch.manual_seed(0)
    base = ConditionalGaussian(d, latent=4, settings=BaseSettings(floor=1e-6))
    base.prepare(batch.to(dtype=torch.float32), z.float())
    _, new, mean, cov = exact_sets(d, 30, 4, key="unseen")
    g = base(new.float())
    # float32 throughout, and a network that starts at 1 % of the residual scale
    torch.testing.assert_close(g.location.double(), mean, rtol=0, atol=2e-5)
    torch.testing.assert_close(covariance(g.scale.double(), d), cov, rtol=0, atol=1e-4)


def test_prepare_measures_the_unit():
    # within: deviation 2; between: means of deviation 3, so the unit is sqrt(4 + 9)
    x = torch.tensor([-2.0, 2.0]).double()
    means = torch.tensor([-3.0, 3.0]).double()
    batch = SetBatch.from_dense((means[:, None] + x)[:, :, None].repeat(20, 1, 1))
    base = ConditionalGaussian(1, latent=1)
    base.prepare(batch, means.repeat(20)[:, None])
    assert float(base.unit) == pytest.approx(math.sqrt(13), rel=1e-6)


def test_prepare_ignores_an_uninformative_z():
    # 2000 sets of N(0, 1) atoms and an unrelated z: location 0 and scale 1 for every z
    rng = stream("nothing")
    batch = SetBatch.from_dense(torch.randn(2000, 20, 1, generator=rng))
    base = ConditionalGaussian(1, latent=2)
    base.prepare(batch, torch.randn(2000, 2, generator=rng))
    g = base(torch.randn(100, 2, generator=rng))
    # a slope of 2000 means of deviation 1 / sqrt(20) has standard error 0.005; z reaches 3
    assert g.location.abs().max() < 5 * 0.005 * 3 * math.sqrt(2)
    # a root covariance of 20 atoms is 1 - 1 / (4 * 20) on average: 1.2 % low
    assert np.abs(g.scale.detach().numpy() - 1).max() < 0.012 + 5 * 0.005 * 3


def test_small_sets_have_small_weights():
    # 50 exact sets of 400 atoms beside 50 contradicting sets of 2 atoms
    template = torch.linspace(-1, 1, 400).double()[:, None]
    large = [template + 2 * k / 50 for k in range(50)]
    small = [torch.tensor([[-1.0], [1.0]]).double() + 9 for _ in range(50)]
    z = torch.arange(50).double().repeat(2)[:, None] / 50
    base = ConditionalGaussian(1, latent=1)
    base.prepare(SetBatch.from_list(large + small), z)
    with torch.no_grad():
        for p in base.network.parameters():
            p.zero_()
    # the weighted mean of the two lines: 2 atoms count 2 / 10, and 400 count 400 / 408
    share = (2 / 10) / (2 / 10 + 400 / 408)
    at_half = float(base(torch.tensor([[0.49]])).location.detach())
    assert at_half == pytest.approx((1 - share) * 0.98 + share * 9, abs=0.01)


@pytest.mark.parametrize("d", [3, FULL_UP_TO + 1])
def test_without_a_network_the_base_is_the_regression_alone(d):
    batch, z, _, _ = exact_sets(d, 60, 4)
    batch, z = batch.to(dtype=torch.float32), z.float()
    torch.manual_seed(0)
    plain = ConditionalGaussian(d, latent=4, settings=BaseSettings(network=False))
    base = ConditionalGaussian(d, latent=4)
    for model in (plain, base):
        model.prepare(batch, z)
    assert not list(plain.parameters())
    torch.nn.init.zeros_(base.network.last.weight)
    for one, other in zip(vars(plain(z)).values(), vars(base(z)).values(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_generator_without_a_network_in_its_base():
    options = {"name": "flow", "width": 16, "depth": 1}
    model = build(GENERATORS, options, "generator", (2,), 3)
    assert not list(model.base.parameters())
    assert list(model.field.parameters())
    with_network = build(GENERATORS, options | {"base_network": True}, "generator", (2,), 3)
    assert list(with_network.base.parameters())


@pytest.mark.parametrize("name", ["flow", "implicit", "gan", "vae"])
def test_a_generator_does_not_change_the_training_of_its_base(name):
    # residuals are detached: the base has the gradient of its own likelihood
    torch.manual_seed(0)
    options = {"name": name, "width": 16, "depth": 1}
    if name == "flow":
        options["base_network"] = True
    model = build(GENERATORS, options, "generator", (2,), 3)
    batch = SetBatch.from_dense(torch.randn(4, 9, 2, generator=stream("x")) * 2 + 1)
    z = torch.randn(4, 3, generator=stream("z"))
    gradients = []
    for loss in (
        model.loss(batch, z, stream("loss")),
        model.base.negative_log_likelihood(batch, model.base(z)),
    ):
        model.zero_grad()
        loss.sum().backward()
        gradients.append([p.grad.clone() for p in model.base.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)
    assert any(g.any() for g in gradients[0])
