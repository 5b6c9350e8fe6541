"""The flow of images: its scale of brightness, its coloured base, and what is its default."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.data.spaces import Images
from distembed.generators.brightness import Brightness, BrightnessSettings
from distembed.generators.image_base import ImageBaseSettings, ImageGaussian
from distembed.generators.image_flow import image_flow
from distembed.model.gde import GDE
from distembed.model.spec import Spec
from distembed.nn.film import FiLMNet
from distembed.nn.unet import UNet
from distembed.rng import stream
from distembed.sets.collection import Sets

D, L = 12, 3


def smooth_images(sets, m, key="images"):
    """Draw correlated pixels about a location of each set, `(sets, m, D)`, and the locations."""
    rng = stream(key)
    mixing = torch.randn(D, D, generator=stream("mixing")) / D**0.5
    location = torch.randn(sets, 1, L, generator=rng) @ torch.randn(L, D, generator=stream("l"))
    return location + torch.randn(sets, m, D, generator=rng) @ mixing.T, location


def prepared(components):
    x, location = smooth_images(200, 40)
    z = torch.linalg.lstsq(torch.randn(L, D, generator=stream("l")).T, location[:, 0].T).solution.T
    base = ImageGaussian(D, L + 1, ImageBaseSettings(components=components))
    z = torch.cat([z, torch.zeros(len(z), 1)], 1)
    base.prepare(SetBatch.from_list(list(x)), z)
    return base, z, x


@pytest.mark.parametrize("components", [3, D, 512])
def test_noise_has_the_covariance_of_residuals(components):
    base, z, x = prepared(components)
    u = base(z).whiten(SetBatch.from_list(list(x)))
    noise = base.noise(torch.randn(200_000, D, generator=stream("noise")))
    of_images, of_noise = torch.cov(u.T), torch.cov(noise.T)
    torch.testing.assert_close(of_noise.trace(), of_images.trace(), rtol=0.03, atol=0)
    # on the leading axes alone where there are fewer of them than pixels
    axes = base.axes[:, : min(components, D)]
    torch.testing.assert_close(
        axes.T @ of_noise @ axes, axes.T @ of_images @ axes, rtol=0.05, atol=0.05
    )


def test_likelihood_is_that_of_the_gaussian():
    base, z, x = prepared(D)
    batch = SetBatch.from_list(list(x[:3]))
    gaussian = base(z[:3])
    root = base.noise(torch.eye(D))
    u = gaussian.residuals(x[:3])
    normal = torch.distributions.MultivariateNormal(torch.zeros(D), root @ root.T)
    expected = -(normal.log_prob(u).mean(1) / D) - torch.log(torch.tensor(2 * torch.pi)) / 2
    expected = expected + gaussian.log_volume() - base.moments.unit.log()
    nats = base.negative_log_likelihood(batch, gaussian)
    torch.testing.assert_close(nats, expected, rtol=1e-3, atol=1e-3)


def test_residuals_and_images_are_inverse():
    base, z, x = prepared(4)
    base.brightness.fit(x.flatten(0, 1).exp())
    assert base.brightness.offset > 0
    bright = x[:5].exp()
    gaussian = base(z[:5])
    torch.testing.assert_close(
        gaussian.colour(gaussian.residuals(bright)), bright, rtol=1e-3, atol=1e-3
    )


def test_brightness_takes_a_logarithm_of_skewed_pixels_and_of_no_others():
    rng = stream("brightness")
    normal = torch.randn(2000, 6, generator=rng)
    skewed, ink = normal.exp(), torch.where(normal > 0, normal.exp(), 0)
    for pixels, logarithm in [(normal, False), (skewed, True), (ink, False), (0 * normal, False)]:
        brightness = Brightness()
        brightness.fit(pixels)
        assert bool(brightness.offset > 0) == logarithm
    plain = Brightness(BrightnessSettings(offsets=()))
    plain.fit(skewed)
    assert plain(skewed) is skewed


def test_brightness_goes_on_with_slope_one():
    brightness = Brightness()
    brightness.fit(torch.randn(2000, 6, generator=stream("slope")).exp())
    low, high = brightness.low, brightness.high
    y = torch.stack([low - 2, low - 1, high + 1, high + 2])
    g = brightness(y)
    torch.testing.assert_close(g.diff()[[0, 2]], torch.ones(2))
    torch.testing.assert_close(brightness.inverse(g), y)
    assert (brightness(torch.linspace(float(low) - 1, float(high) + 1, 99)).diff() > 0).all()


def test_widening_adds_to_the_level():
    base, z, x = prepared(D)
    few = z.clone()
    few[:, -1] = 1.0
    before = base(few).log_volume()
    shifted = few + torch.tensor([0.5, 0, 0, 0])
    base.widen(SetBatch.from_list(list(x)), shifted)
    assert (base(few).log_volume() > before).all()


@pytest.mark.parametrize(("side", "network"), [(8, FiLMNet), (16, UNet)])
def test_the_network_follows_the_number_of_pixels(side, network):
    assert isinstance(image_flow((1, side, side), L).field, network)
    with pytest.raises(ValueError, match="'auto' or 'plain'"):
        image_flow((1, side, side), L, brightness="log")


def images(side, sets=6):
    x = torch.rand(sets, 4, 1, side, side, generator=stream("sets"))
    return Sets.from_batch(SetBatch.from_list(list(x)), Images())


@pytest.mark.parametrize(("side", "generator"), [(8, "flow"), (16, "image_flow")])
def test_defaults_of_images_follow_the_number_of_pixels(side, generator):
    spec = Spec().resolved(images(side))
    assert spec.generator == generator
    assert (spec.encoder == "orthogonal_moments") == (side == 16)


def test_a_model_of_images_is_fitted_with_smaller_steps_and_says_so(caplog):
    caplog.set_level("INFO", "distembed")
    model = GDE(latent=4).fit(images(16), steps=2, batch=3, progress=False)
    assert (model.config.steps, model.config.batch, model.config.target) == (2, 3, 6)
    lines = [r.getMessage() for r in caplog.records if "are trained with" in r.getMessage()]
    assert len(lines) == 1
    assert "target = 6" in lines[0]
    assert "batch" not in lines[0]
    assert model.sample(model.embed(images(16)).z[0], 3).shape == (3, 1, 16, 16)
