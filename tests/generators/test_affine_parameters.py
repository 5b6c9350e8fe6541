"""The start of likelihoods: what is linear in an embedding stays linear, and nothing is missed."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.generators.affine import AffineParameters
from distembed.generators.likelihoods import LIKELIHOODS
from distembed.generators.likelihoods.counts import NegativeBinomial, Poisson
from distembed.registry import build
from distembed.rng import stream


def constant_sets(mean, atoms=4):
    """Sets whose atoms are all one whole number, so that a mean has no noise."""
    return SetBatch.from_dense(mean.round()[:, None, None].expand(-1, atoms, 1).contiguous())


def fitted(mean, z, likelihood=None):
    model = AffineParameters(likelihood or Poisson(1), z.shape[1])
    model.prepare(constant_sets(mean), z)
    return model


def test_a_mean_that_is_linear_in_z_is_exact():
    """Not so under the plain softplus: its inverse bends by 0.1 of a count at a mean of two."""
    mean = torch.arange(1.0, 41.0)
    z = torch.stack([(mean - 20) / 10, torch.sin(mean)], 1)
    model = fitted(mean, z)
    own = Poisson(1).mean(model(z))[:, 0]
    # one count of half an atom is added in an estimate of 4 atoms: 0.5 / 4
    assert (own - mean - 0.125).abs().max() < 0.02
    assert model.scale < 0.1 * mean.mean()
    assert model.error < 0.05


def test_a_mean_that_is_exponential_in_z_takes_a_wide_link():
    z = torch.linspace(-1, 1, 60)[:, None]
    wide = fitted(100 * torch.exp(3 * z[:, 0]), z)
    linear = fitted(100 + 90 * z[:, 0], z)
    assert wide.scale > 10 * linear.scale


def test_the_scale_follows_the_unit_of_the_counts():
    z = torch.linspace(-1, 1, 50)[:, None]
    one, many = (fitted(factor * (30 + 20 * z[:, 0]).round(), z) for factor in (1, 100))
    # up to the half count that is added to an estimate
    torch.testing.assert_close(many.scale, 100 * one.scale, rtol=0.02, atol=0)


def test_predictions_of_absent_counts_are_positive():
    """A line that is negative where sets have no counts."""
    z = torch.linspace(-1, 1, 50)[:, None]
    model = fitted((40 * z[:, 0]).clamp_min(0), z)
    far = torch.tensor([[-100.0], [100.0]])
    mean = Poisson(1).mean(model(far))
    assert bool((mean > 0).all() and mean.isfinite().all())
    assert mean[0] < 0.01 < mean[1]


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_without_links_it_is_affine(name):
    """Also before it is prepared: a sum of embeddings is a sum of outputs."""
    likelihood = build(LIKELIHOODS, name, "likelihood", 3)
    model = AffineParameters(likelihood, 4)
    with torch.no_grad():
        model.weight.copy_(torch.randn(model.weight.shape, generator=stream("w")))
        model.bias.copy_(torch.randn(model.bias.shape, generator=stream("b")))
    z = torch.randn(5, 4, generator=stream("z"))
    # the scale is one: the link and its inverse cancel
    torch.testing.assert_close(model(z), z @ model.weight.T + model.bias, rtol=1e-5, atol=1e-5)
    model.scale.fill_(0.5)
    affine = z @ model.weight.T + model.bias
    changed = ((model(z) - affine).abs() > 1e-4).any(0)
    expected = torch.zeros(likelihood.outputs, dtype=torch.bool)
    expected[likelihood.means] = True
    assert changed.tolist() == expected.tolist()


def test_the_error_is_that_of_parameters_at_left_out_sets():
    """By refits without each set, at the scale that was chosen."""
    rng = stream("noise")
    z = torch.randn(30, 1, generator=rng)
    mean = (50 + 10 * z[:, 0] + 2 * torch.randn(30, generator=rng)).round()
    likelihood = NegativeBinomial(1)
    whole = fitted(mean, z, likelihood)
    estimates = torch.stack(
        [likelihood.estimate(constant_sets(mean[b : b + 1])) for b in range(30)]
    )
    gaps = []
    for b in range(30):
        rest = torch.arange(30) != b
        model = AffineParameters(likelihood, 1, scales=(float(whole.scale[0]) / mean.mean(),))
        model.prepare(constant_sets(mean[rest]), z[rest])
        gaps.append(model(z[b : b + 1])[0] - estimates[b])
    expected = torch.stack(gaps).square().mean(0).sqrt()
    # refits choose penalties and the unit of the scale anew
    torch.testing.assert_close(whole.error, expected.float(), rtol=0.02, atol=1e-3)
