"""On a GPU everything is what it is on a CPU, but for the order in which sums are taken."""

import copy

import numpy as np
import pytest
import torch

import distembed as de
from distembed.batch import SetBatch
from distembed.data.synthetic.gaussians import Gaussians
from distembed.encoders import ENCODERS
from distembed.generators import GENERATORS
from distembed.protocols import generator_traits
from distembed.registry import applicable, build
from distembed.rng import stream
from distembed.training.config import TrainConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

LATENT = 4
SETTINGS = TrainConfig(steps=30, every=15, batch=16, device="cuda")


def ragged(event_shape, seed=0):
    rng = np.random.default_rng(seed)
    atoms = [
        rng.normal(i / 3, 1 + i / 4, (m, *event_shape)) for i, m in enumerate((30, 7, 64, 11))
    ]
    return SetBatch.from_list(
        [a.astype(np.float32) for a in atoms], [rng.uniform(0.2, 2, len(a)) for a in atoms]
    )


@pytest.fixture(scope="module")
def fitted():
    return de.GDE(latent=LATENT).fit(
        Gaussians.prior(80, 2, 40, size=200, seed=1), SETTINGS, progress=False
    )


@pytest.fixture(scope="module")
def twin(fitted, tmp_path_factory):
    """The same model on the CPU."""
    return de.GDE.load(fitted.save(tmp_path_factory.mktemp("cuda") / "model"), device="cpu")


@pytest.mark.parametrize("event_shape", [(3,), (1, 8, 8)], ids=str)
@pytest.mark.parametrize("name", applicable(ENCODERS, "vectors"))
def test_encoders(name, event_shape):
    encoder = build(ENCODERS, name, "encoder", event_shape, LATENT)
    batch = ragged(event_shape)
    if hasattr(encoder, "prepare"):
        encoder.prepare(batch)
    here = encoder(batch)
    there = copy.deepcopy(encoder).cuda()(batch.to("cuda"))
    if there.requires_grad:
        there.square().sum().backward()
    # TF32 of convolutions keeps ten bits
    torch.testing.assert_close(there.cpu(), here, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("event_shape", [(3,), (1, 8, 8)], ids=str)
@pytest.mark.parametrize("name", applicable(GENERATORS, "vectors"))
def test_generators(name, event_shape):
    generator = build(GENERATORS, name, "generator", event_shape, LATENT).cuda()
    batch = ragged(event_shape).to("cuda")
    z = torch.randn(len(batch), LATENT, generator=stream("z")).cuda().requires_grad_()
    loss = generator.loss(batch, z, stream("noise", device="cuda"))
    assert loss.shape == (len(batch),)
    loss.sum().backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    n = generator_traits(generator).fixed_size or 6
    first, again = (generator.sample(z, n, stream("draw", device="cuda")) for _ in range(2))
    assert first.shape == (len(batch), n, *event_shape)
    assert first.isfinite().all()
    torch.testing.assert_close(first, again)


def test_a_model_fitted_on_a_gpu_is_the_same_on_a_cpu(fitted, twin):
    sets = Gaussians.prior(20, 2, 40, size=700, seed=9)
    there, here = fitted.embed(sets), twin.embed(sets)
    np.testing.assert_allclose(there.z, here.z, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(there.standard_errors, here.standard_errors, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(there.p_unusual, here.p_unusual, atol=0.03)
    np.testing.assert_allclose(fitted.distances(there), twin.distances(here), rtol=1e-3, atol=1e-3)


def test_samples_follow_the_same_distribution(fitted, twin):
    z = twin.embed(Gaussians.prior(3, 2, 40, size=200, seed=9)).z
    n = 20_000
    there, here = fitted.sample(z, n, 0), twin.sample(z, n, 0)
    assert there.dtype == here.dtype
    np.testing.assert_array_equal(there, fitted.sample(z, n, 0))
    # two means of n points differ by sqrt(2 / n) standard deviations; five of those
    gap = np.abs(there.mean(1) - here.mean(1)) / here.std(1)
    assert gap.max() < 5 * np.sqrt(2 / n)
    assert np.abs(np.log(there.std(1) / here.std(1))).max() < 5 / np.sqrt(n)


def test_a_run_on_a_gpu_can_be_repeated(fitted):
    again = de.GDE(latent=LATENT).fit(
        Gaussians.prior(80, 2, 40, size=200, seed=1), SETTINGS, progress=False
    )
    sets = Gaussians.prior(5, 2, 40, size=100, seed=9)
    np.testing.assert_allclose(
        again.embed(sets, covariance=False).z,
        fitted.embed(sets, covariance=False).z,
        rtol=1e-3,
        atol=1e-3,
    )


def test_bfloat16_trains():
    settings = SETTINGS.model_copy(update={"precision": "bfloat16"})
    model = de.GDE(latent=LATENT).fit(
        Gaussians.prior(80, 2, 40, size=200, seed=1), settings, progress=False
    )
    assert np.isfinite(model.history[-1]["validation"])
    assert np.isfinite(model.embed(ragged((2,))).z).all()
