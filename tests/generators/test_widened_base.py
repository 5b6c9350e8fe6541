"""The covariance of a conditional Gaussian grows with the error of few atoms."""

import numpy as np
import pytest
import torch

import distembed as de
from distembed.batch import SetBatch
from distembed.generators import GENERATORS
from distembed.generators.base import BaseSettings, ConditionalGaussian
from distembed.model.network import Network
from distembed.protocols import WidenedGenerator
from distembed.registry import build
from distembed.rng import stream

FULL_UP_TO = BaseSettings().full_up_to


def predictor(d, latent=3):
    """A base whose location and root covariance are affine in z, and do not depend on s."""
    base = ConditionalGaussian(d, latent + 1, settings=BaseSettings(network=False, floor=1e-6))
    base.weight.normal_(0, 0.1, generator=stream("predictor", d))
    base.weight[:, -1] = 0
    return base


def conditions(sets, latent=3, key="conditions"):
    z = torch.rand(sets, latent + 1, generator=stream(key, sets))
    z[:, -1] = z[:, -1] * 0.8 + 0.1
    return z


def covariances(base, z):
    scale = base(z).scale.double()
    if scale.ndim == 2:
        return scale[:, :, None].square() * torch.eye(base.dim, dtype=torch.float64)
    return scale @ scale.mT


def positive(d):
    a = torch.randn(d, d, generator=stream("positive", d), dtype=torch.float64)
    return a @ a.mT / d if d <= FULL_UP_TO else 0.7 * torch.eye(d, dtype=torch.float64)


def exact_sets(base, z, share, error, m=80):
    """Sets whose second moments about l are those of a share and an error, to the last digit."""
    d, variance = base.dim, z[:, -1:, None].double().square()
    cov = covariances(base, z) * (1 + share * variance) + variance * error
    x = torch.randn(m, d, generator=stream("template", d), dtype=torch.float64)
    x = x - x.mean(0)
    x = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T @ x / m), x.T, upper=False).T
    location = base(z).location.double()
    return SetBatch.from_dense(location[:, None] + x @ torch.linalg.cholesky(cov).mT)


@pytest.mark.parametrize("d", [1, 3, FULL_UP_TO + 1])
def test_an_exact_error_is_recovered(d):
    base, z = predictor(d), conditions(60)
    batch = exact_sets(base, z, 0.4, positive(d))
    base.widen(batch, z)
    assert float(base.error_share) == pytest.approx(0.4, rel=1e-4)
    expected = positive(d) if d <= FULL_UP_TO else positive(d)[:1, :1]
    torch.testing.assert_close(base.error.double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("d", [3, FULL_UP_TO + 1])
def test_the_covariance_is_that_of_the_formula(d):
    base, z = predictor(d), conditions(20)
    plain = covariances(base, z)
    base.widen(exact_sets(base, z, 0.4, positive(d)), z)
    variance = z[:, -1:, None].double().square()
    widened = plain * (1 + 0.4 * variance) + variance * positive(d)
    torch.testing.assert_close(covariances(base, z), widened, rtol=1e-3, atol=1e-4)


def test_an_exact_embedding_is_not_widened():
    base, z = predictor(3), conditions(30)
    exact = z.clone()
    exact[:, -1] = 0
    before = base(exact)
    base.widen(exact_sets(base, z, 0.4, positive(3)), z)
    torch.testing.assert_close(base(exact).scale, before.scale)
    torch.testing.assert_close(base(z).location, predictor(3)(z).location)


def test_a_covariance_that_is_too_wide_is_left():
    base, z = predictor(3), conditions(30)
    before = base(z).scale
    base.widen(exact_sets(base, z, -0.5, -0.01 * torch.eye(3)), z)
    torch.testing.assert_close(base(z).scale, before)


def few_atoms(sets, rng, d=8):
    """Sets of 2 to 40 atoms on axes of their own: five of them span no volume."""
    data = []
    for m in rng.integers(2, 41, sets):
        axes = rng.normal(size=(d, d)) * np.geomspace(1, 0.1, d)
        data.append(rng.normal(size=d) + rng.normal(size=(m, d)) @ axes.T)
    return data


@pytest.mark.slow
def test_the_start_is_sound_on_few_atoms_and_training_keeps_it(monkeypatch):
    data = few_atoms(240, np.random.default_rng(0))
    settings = {"steps": 80, "warmup": 40, "every": 20, "patience": 0, "progress": False}
    model = de.GDE(latent=16).fit(data, threads=1, validation=0.2, **settings)
    start, *later = (record["validation"] for record in model.history)
    # nats a dimension; an exact standard normal has one half
    assert start < 1
    assert max(later) < start + 0.1
    # coordinates of random networks make the base of few atoms worse
    settings |= {"steps": 1}
    joined = de.GDE("joined", latent=16).fit(data, threads=1, validation=0.2, **settings)
    start = joined.history[0]["validation"]
    assert start < 1
    monkeypatch.setattr(ConditionalGaussian, "widen", lambda self, batch, z: None)
    plain = de.GDE("joined", latent=16).fit(data, threads=1, validation=0.2, **settings)
    assert plain.history[0]["validation"] > start + 0.5


def test_a_generator_that_sees_z_alone_is_not_widened():
    data = few_atoms(40, np.random.default_rng(1))
    settings = {"steps": 1, "progress": False, "threads": 1}
    for conditioning, widened in (("none", False), ("size", True)):
        model = de.GDE(latent=8, conditioning=conditioning).fit(data, **settings)
        assert isinstance(model.network, Network)
        assert bool(model.network.generator.base.gaussian.error.any()) == widened


def test_a_set_of_another_scale_does_not_decide_the_error():
    base, z = predictor(3), conditions(60)
    base.weight[3:, 0] = base._pack(torch.zeros(1, 3), torch.eye(3)[None])[0, 3:]
    z[-1, 0] = 100.0  # a root a hundred times as large
    share = torch.full((60, 1, 1), 0.4, dtype=torch.float64)
    share[-1] = 0.9
    base.widen(exact_sets(base, z, share, positive(3)), z)
    # its excess is 0.5 of a covariance of 1e4, which would be all of V
    torch.testing.assert_close(base.error.double(), positive(3), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", ["flow", "diffusion", "gan", "implicit", "vae", "explicit"])
def test_every_generator_with_a_base_widens_it(name):
    options = {"name": name, "width": 8, "depth": 1}
    model = build(GENERATORS, options, "generator", (3,), 5)
    assert isinstance(model, WidenedGenerator)
    z = conditions(40, latent=4)
    x = torch.randn(40, 30, 3, generator=stream("atoms")) * 3
    model.widen(SetBatch.from_dense(x), z)
    bases = [m for m in model.modules() if isinstance(m, ConditionalGaussian)]
    assert len(bases) == 1
    assert bases[0].error.any() or bases[0].error_share > 0
