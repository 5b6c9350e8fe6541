"""A model whose last coordinate is a remainder uses it in every distance."""

import numpy as np
import pytest
import torch
from model_fakes import FAST

import distembed as de
from distembed.batch import SetBatch
from distembed.divergences.exact import pairwise_w2
from distembed.geometry.remainder import add_remainders
from distembed.rng import stream

D, ATOMS = 60, 64


def wide(count, seed):
    """Sets in many dimensions; each has a centre, and varies along four directions of its own."""
    rng = stream("wide", seed)
    axes = torch.linalg.qr(torch.randn(count, D, 4, generator=rng))[0]
    width = 1 + 3 * torch.rand(count, 1, 1, generator=rng)
    x = width * torch.randn(count, ATOMS, 4, generator=rng) @ axes.mT
    return [*(x + 0.2 * torch.randn(count, 1, D, generator=rng)).numpy()]


@pytest.fixture(scope="module")
def fitted():
    generator = {"name": "flow", "width": 8, "depth": 1}
    model = de.GDE(encoder="orthogonal_moments", generator=generator, latent=8)
    return model.fit(wide(80, 0), **FAST | {"metric_steps": 0})


@pytest.fixture(scope="module")
def others():
    return wide(24, 1)


def squared(z):
    """The formula, of all pairs of rows."""
    x = ((z[:, None] - z) ** 2).sum(2)
    return add_remainders(x, z[:, None, -1], z[:, -1])


def test_distances_add_the_remainders(fitted, others):
    table = fitted.embed(others)
    z = table.z.astype(float)
    own = fitted.distances(table, calibrated=False, denoise="none")
    np.testing.assert_allclose(own**2, squared(z), rtol=1e-5, atol=1e-5)
    unbiased = fitted.distances(table, calibrated=False, denoise="unbiased")
    assert (unbiased <= own + 1e-6).all()
    assert not np.allclose(own**2, ((z[:, None] - z) ** 2).sum(2), rtol=0.1)
    relation = fitted.calibration
    calibrated = fitted.distances(table, denoise="none")
    np.testing.assert_allclose(calibrated, relation(own), rtol=1e-6)


@pytest.mark.parametrize("denoise", ["none", "unbiased"])
def test_a_set_is_at_no_distance_from_itself(fitted, others, denoise):
    table = fitted.embed(others)
    for other in (None, table):
        own = fitted.distances(table, other, calibrated=False, denoise=denoise)
        assert not own.diagonal().any()
        assert (own[~np.eye(len(own), dtype=bool)] > 0).all()


def test_the_calibration_is_of_distances_with_remainders(fitted, others):
    i, j = np.triu_indices(len(others), 1)
    batch = fitted.network.to_ground(SetBatch.from_list(others))
    w2 = pairwise_w2(batch, torch.from_numpy(np.stack([i, j], 1))).numpy()
    table = fitted.embed(others)
    assert fitted.calibration.pairs > 100
    assert np.median(np.abs(fitted.distances(table)[i, j] / w2 - 1)) < 0.1
    pairs = fitted._fitted.attachments.context.pairs
    z = fitted._fitted.attachments.context.z[pairs.rows].astype(float)
    plain = ((z[:, 0] - z[:, 1]) ** 2).sum(1)
    assert np.median(pairs.latent_squared / plain) > 1.5


def test_intervals_are_around_the_unbiased_distance(fitted, others):
    table = fitted.embed(others)
    i, j = np.triu_indices(len(others), 1)
    for calibrated in (True, False):
        interval = fitted.distance_intervals(table, calibrated=calibrated)
        own = fitted.distances(table, calibrated=calibrated, denoise="unbiased")[i, j]
        assert ((interval.low <= own) & (own <= interval.high)).mean() > 0.9


def test_candidates_of_neighbours_are_nearest_with_remainders(fitted, others):
    latent = np.sqrt(squared(fitted.embed(others, covariance=False).z.astype(float)))
    np.fill_diagonal(latent, np.inf)
    first = fitted.exact_top_k(others, k=4, candidates=4).index
    assert (np.sort(first) == np.sort(np.argsort(latent, axis=1)[:, :4])).all()


def test_a_loaded_model_has_the_same_distances(fitted, others, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = de.GDE.load(tmp_path / "model")
    table = fitted.embed(others)
    np.testing.assert_array_equal(loaded.distances(table), fitted.distances(table))
