"""Generators with a density: exact, normalised, and what they draw is what they score."""

import math
import sys

import pytest
import torch
from generator_fakes import draws_of, embeddings

from distembed.batch import SetBatch
from distembed.generators.explicit import RESIDUALS, Explicit
from distembed.generators.likelihoods import LIKELIHOODS
from distembed.nn.precision import reduced_to
from distembed.registry import build
from distembed.rng import stream
from distembed.testing import check_generator

LATENT = 3
COUNTS = [name for name, member in LIKELIHOODS.items() if member.atoms == ("counts",)]
WHOLE = [name for name in COUNTS if build(LIKELIHOODS, name, "likelihood", 2).counts]


def make(dim, likelihood, moved=True, **options):
    """Return an explicit generator whose weights are moved from their start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Explicit((dim,), LATENT, likelihood, width=16, **options)
    if moved:
        with torch.no_grad():
            for k, parameter in enumerate(model.parameters()):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=stream("move", k)))
    return model


def normal_z(b=2):
    return embeddings(b, LATENT)


@pytest.mark.parametrize(
    ("likelihood", "event_shape"),
    [
        ("mixture", (1,)),
        ("mixture", (1, 8, 8)),
        ("flow", (1,)),
        ("flow", (5,)),
        ("flow", (40,)),
    ],
    ids=str,
)
def test_laws_of_residual_densities(likelihood, event_shape):
    if likelihood == "flow":
        pytest.importorskip("zuko")
    check_generator(Explicit(event_shape, LATENT, likelihood, 16), event_shape, LATENT)


@pytest.mark.parametrize("likelihood", COUNTS)
def test_laws_on_integer_atoms(likelihood):
    model = Explicit((4,), LATENT, likelihood, 16)
    check_generator(model, (4,), LATENT, atoms=draws_of(likelihood, 4))


@pytest.mark.parametrize("likelihood", RESIDUALS)
@pytest.mark.parametrize("dim", [1, 2])
def test_densities_integrate_to_one(likelihood, dim):
    if likelihood == "flow":
        pytest.importorskip("zuko")
    model, z = make(dim, likelihood), normal_z(1)
    points = 8001 if dim == 1 else 401
    axis = torch.linspace(-12, 12, points)
    x = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
    with torch.no_grad():
        p = model.log_prob(SetBatch.from_dense(x[None]), z).double().exp()
    cell = (24 / (points - 1)) ** dim
    # splines have kinks, where the sum of a grid converges slowly
    assert float(p.sum() * cell) == pytest.approx(1, abs=2e-3 if likelihood == "flow" else 1e-4)


@pytest.mark.parametrize("likelihood", RESIDUALS)
def test_samples_have_the_moments_of_the_density(likelihood):
    if likelihood == "flow":
        pytest.importorskip("zuko")
    model, z, n = make(2, likelihood), normal_z(1), 40_000
    axis = torch.linspace(-12, 12, 401)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        p = model.log_prob(SetBatch.from_dense(grid[None]), z).double().exp()
    p = p / p.sum()
    x = model.sample(z, n, stream("draw"))[0].double()

    def powers(x):
        return torch.stack([x[:, 0], x[:, 1], x[:, 0] ** 2, x[:, 1] ** 2, x.prod(1)], 1).double()

    values, expected = powers(x), p @ powers(grid)
    errors = (values.mean(0) - expected).abs() / (values.std(0) / math.sqrt(n))
    assert errors.max() < 5


@pytest.mark.parametrize("dim", [3, 40])
def test_the_gaussian_is_that_of_torch(dim):
    model, z = make(dim, "gaussian"), normal_z(2)
    batch = SetBatch.from_dense(torch.randn(2, 5, dim, generator=stream("x")))
    with torch.no_grad():
        g = model.density.base(z)
        factor = g.scale if g.scale.ndim == 3 else torch.diag_embed(g.scale.expand(-1, dim))
        normal = torch.distributions.MultivariateNormal(
            g.location[:, None], scale_tril=factor[:, None]
        )
        expected = normal.log_prob(batch.x.view(2, 5, dim)).flatten()
        torch.testing.assert_close(model.log_prob(batch, z), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dim", [3, 40])
def test_the_mixture_is_that_of_torch(dim):
    model, z = make(dim, "mixture", components=4), normal_z(2)
    u = torch.randn(2, 5, dim, generator=stream("x"))
    with torch.no_grad():
        log_weight, mean, factor = model.density.residual._components(z)
        factor = factor if factor.ndim == 4 else torch.diag_embed(factor)
        parts = torch.distributions.MultivariateNormal(
            mean[:, None], precision_matrix=(factor.mT @ factor)[:, None]
        )
        shares = torch.distributions.Categorical(logits=log_weight[:, None])
        mixture = torch.distributions.MixtureSameFamily(shares, parts)
        nats = model.density.residual.log_prob(SetBatch.from_dense(u), u.flatten(0, 1), z)
    torch.testing.assert_close(nats, mixture.log_prob(u).flatten(), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dim", [1, 3, 6, 40])
@pytest.mark.parametrize("components", [1, 5])
def test_a_mixture_starts_with_unit_moments(dim, components):
    model = make(dim, "mixture", moved=False, components=components)
    start = model.density.residual.start
    z = torch.zeros(1, LATENT)
    with torch.no_grad():
        model.density.residual.network[-1].weight.zero_()
        log_weight, mean, factor = model.density.residual._components(z)
    p, mean = log_weight[0].exp(), mean[0]
    full = factor.ndim == 4
    inverse = torch.linalg.inv(factor[0]) if full else torch.diag_embed(1 / factor[0])
    cov = (p[:, None, None] * (inverse @ inverse.mT + mean[:, :, None] * mean[:, None])).sum(0)
    assert start.isfinite().all()
    torch.testing.assert_close(p @ mean, torch.zeros(dim), atol=1e-5, rtol=0)
    cov = cov if full else cov.diagonal()
    torch.testing.assert_close(cov, torch.eye(dim) if full else torch.ones(dim), atol=1e-4, rtol=0)


def test_a_flow_is_inverted_on_the_noise_of_the_caller():
    pytest.importorskip("zuko")
    model, z = make(3, "flow"), normal_z(2)
    x = model.sample(z, 50, stream("draw"))
    with torch.no_grad():
        batch = SetBatch.from_dense(x)
        u = model.density.base(z).whiten(batch)
        noise, _ = model.density.residual.flow(batch.expand(z)).transform.call_and_ladj(u)
    expected = torch.randn(2, 50, 3, generator=stream("draw")).flatten(0, 1)
    torch.testing.assert_close(noise, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("likelihood", ["gaussian", "mixture", "poisson"])
def test_the_loss_is_the_cross_entropy(likelihood):
    model, z = make(4, likelihood), normal_z(2)
    x = draws_of("poisson", 4)(7, stream("x")).float()
    w = torch.rand(7, generator=stream("w"))
    batch = SetBatch.from_list([x[:3], x[3:]], [w[:3], w[3:]])
    nats = -model.log_prob(batch, z) / 4
    expected = torch.stack([(nats * batch.w)[:3].sum(), (nats * batch.w)[3:].sum()])
    torch.testing.assert_close(model.loss(batch, z, stream("loss")), expected)


def test_heads_start_from_the_estimates_of_single_sets():
    before = torch.rand(200, 1, generator=stream("rate")) * 2
    rate = torch.nn.functional.softplus(before)
    x = torch.poisson(rate[:, :, None].expand(-1, 400, 1), generator=stream("x"))
    z = torch.cat([(before - 1) * math.sqrt(3), torch.zeros(200, 2)], 1)
    model = make(1, "poisson", moved=False)
    model.prepare(SetBatch.from_dense(x), z)
    h = model.density.parameters_of(z).detach()
    # a mean of 400 counts of about one: an error of 0.05 a set, of a line through 200 far less
    assert (h - before).abs().max() < 0.05


def test_reduced_precision_keeps_large_rates():
    model, z = make(1, "poisson", moved=False), normal_z(3)
    batch = SetBatch.from_dense(torch.full((3, 5, 1), 1e5))
    model.prepare(batch, z)
    with reduced_to(torch.bfloat16), torch.no_grad():
        h = model.density.parameters_of(z)
        assert model.loss(batch, z, stream("loss")).dtype == torch.float32
    # the network is near zero at the start; in bfloat16 the sum would be off by hundreds
    assert (h - 1e5).abs().max() < 1


@pytest.mark.parametrize("likelihood", WHOLE)
def test_atoms_that_are_no_counts_are_refused(likelihood):
    model = make(2, likelihood)
    batch = SetBatch.from_list([[[0.5, 1.0], [1.0, 2.0]]])
    for refused in (
        lambda: model.prepare(batch, normal_z(1)),
        lambda: model.log_prob(batch, normal_z(1)),
    ):
        with pytest.raises(ValueError, match=r"(?s)met 0\.5.*raw counts"):
            refused()


def test_invalid_options_are_refused():
    with pytest.raises(ValueError, match="gaussian, mixture, flow, poisson, negative_binomial"):
        Explicit((2,), LATENT, "gamma")
    with pytest.raises(ValueError, match="at least one component"):
        Explicit((2,), LATENT, "mixture", components=0)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(ImportError, match=r"pip install 'distembed\[flows\]'"):
        Explicit((2,), LATENT, "flow")
    Explicit((2,), LATENT, "mixture")
