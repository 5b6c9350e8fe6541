"""Densities of atoms: they integrate to one in the units of the data, and errors name the fix."""

import numpy as np
import pytest
import torch

import distembed as de
from distembed.data.transforms.volume import log_volume

QUICK = {"steps": 3, "progress": False}


def numbers(sets=30, d=1, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(i / 5, 1 + i / 9, (40 + i, d)) for i in range(sets)]


def explicit(sets, likelihood="gaussian", transform="auto"):
    generator = {"name": "explicit", "likelihood": likelihood}
    gde = de.GDE(generator=generator, latent=3, transform=transform)
    return gde.fit(sets, **QUICK)


@pytest.mark.parametrize("likelihood", ["gaussian", "mixture"])
def test_a_density_integrates_to_one_in_the_units_of_the_data(likelihood):
    model = explicit(numbers(), likelihood, ["arcsinh", "standardise"])
    x = np.linspace(-400, 400, 400_001)
    z = model.embed(numbers(3)).z[1]
    (nats,) = model.log_prob([x[:, None]], z)
    # the trapezoid rule on a step of 0.002 errs by less than float32 does
    assert np.trapezoid(np.exp(nats), x) == pytest.approx(1, abs=1e-4)


def test_two_dimensions_and_one_transform_after_another():
    model = explicit(numbers(d=2), transform=["arcsinh", "standardise"])
    sets = numbers(3, d=2)
    inside, ground = model.log_prob(sets), model.log_prob(sets, ground="model")
    deviation = model.atom_transform.transforms[1].deviation.double().numpy()
    for a, b, x in zip(inside, ground, sets, strict=True):
        volume = -0.5 * np.log1p(x**2).sum(1) - np.log(deviation).sum()
        np.testing.assert_allclose(a - b, volume, rtol=1e-5, atol=1e-5)


def test_probabilities_of_counts_add_up_to_one():
    rng = np.random.default_rng(0)
    sets = [rng.poisson(1 + i / 3, (50, 1)).astype(float) for i in range(30)]
    model = explicit(sets, "negative_binomial")
    (nats,) = model.log_prob([np.arange(3000.0)[:, None]], model.embed(sets[:1]))
    assert np.exp(nats).sum() == pytest.approx(1, abs=1e-4)


def test_sets_are_judged_in_order_and_each_by_its_own_embedding():
    sets = numbers(12)[::-1]  # the largest first: they are read by size
    model = explicit(sets)
    table = model.embed(sets)
    together = model.log_prob(sets, table)
    assert [len(a) for a in together] == [len(x) for x in sets]
    for i in (0, 7):
        (alone,) = model.log_prob(sets[i : i + 1], model.embed(sets[i : i + 1]))
        np.testing.assert_allclose(alone, together[i], rtol=1e-5, atol=1e-5)
    far = model.log_prob(sets, table.z[::-1])
    assert together[0].mean() > far[0].mean()
    for one, tiled in zip(
        model.log_prob(sets, table.z[0]),
        model.log_prob(sets, np.tile(table.z[0], (12, 1))),
        strict=True,
    ):
        np.testing.assert_array_equal(one, tiled)
    for own, left_out in zip(together, model.log_prob(sets), strict=True):
        np.testing.assert_array_equal(own, left_out)


def test_a_transform_that_loses_dimensions_has_a_density_inside_only():
    sets = numbers(d=4)
    model = explicit(sets, transform=[{"name": "pca", "components": 2}])
    with pytest.raises(ValueError, match="ground='model'"):
        model.log_prob(sets[:2])
    assert np.isfinite(model.log_prob(sets[:2], ground="model")[0]).all()


def test_a_total_count_is_flat_along_itself():
    sets = [np.abs(x) + 0.1 for x in numbers(d=3)]
    model = explicit(sets, transform=[{"name": "log1p", "scale": 1.0}])
    with pytest.raises(ValueError, match="loses dimensions"):
        model.log_prob(sets[:2])


def test_volume_is_none_where_rounding_alone_makes_some():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(5, 3)))
    flat = torch.from_numpy(rng.normal(size=(3, 2)) @ rng.normal(size=(2, 3)))
    assert torch.linalg.slogdet(flat).logabsdet.isfinite()  # or this shows nothing
    with pytest.raises(ValueError, match="loses dimensions"):
        log_volume(lambda v: v @ flat, x)
    thin = torch.tensor([1e-30, 1.0, 1e30], dtype=torch.float64)
    assert log_volume(lambda v: v * thin, x).abs().max() < 1e-9


def test_misuse_is_refused():
    sets = numbers(6)
    flow, model = de.GDE(latent=3).fit(sets, **QUICK), explicit(sets)
    with pytest.raises(TypeError, match="the generator Flow, which has no density"):
        flow.log_prob(sets)
    with pytest.raises(ValueError, match="2 embeddings for 6 sets"):
        model.log_prob(sets, model.embed(sets[:2]))
    shuffled = model.embed(sets).select([1, 0, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="another order"):
        model.log_prob(sets, shuffled)
    assert len(model.log_prob(sets, shuffled.z)) == 6
    with pytest.raises(ValueError, match="'input' .* or 'model'"):
        model.log_prob(sets, ground="data")
