"""The sampling noise of training sets is the mean of their covariances, at one atom."""

import numpy as np
from model_fakes import FAST, SMALL

import distembed as de
from distembed.model.noise import NoiseSettings, atom_noise
from distembed.sets.collection import Sets


def fitted(sets):
    return de.GDE(**SMALL).fit(sets, **FAST)


def arrays(sizes, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(m, 2)).astype(np.float32) for m in sizes]


def noise(model, collection, **settings):
    return atom_noise(
        model._state.engine(model.inference), collection, 0, NoiseSettings(**settings)
    )


def test_of_few_small_sets_it_is_the_mean_of_all_covariances():
    sets: Sets = de.read(arrays(np.arange(10, 40)))
    model = fitted(sets)
    table = model.embed(sets)
    expected = (table.cov * table.effective_sizes[:, None, None]).mean(0)
    np.testing.assert_allclose(
        model._state.attachments.context.noise, expected, rtol=1e-3, atol=1e-5
    )
    some = noise(model, sets, sets=3)
    assert not np.allclose(some, expected, rtol=1e-3)


def test_sets_of_one_atom_have_none():
    model = fitted(de.read(arrays([20] * 12)))
    single = de.read(arrays([1] * 5), min_size=1)
    assert np.isnan(noise(model, single)).all()
    mixed = de.read(arrays([1, 1, 30]), min_size=1)
    large = mixed.select([2])
    np.testing.assert_allclose(noise(model, mixed), noise(model, large), rtol=1e-6)
