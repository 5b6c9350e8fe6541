"""What is fitted after training: on first use, from the stored table, and saved if it was used."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from model_fakes import FAST, SMALL

import distembed as de
from distembed.data.synthetic.gaussians import Gaussians
from distembed.geometry.attachment import Attachment, MeasuredPairs, TrainingTable
from distembed.geometry.distance import Calibration
from distembed.inference.population.density import Population
from distembed.inference.population.selection import PopulationSettings
from distembed.model import ATTACHMENTS
from distembed.model.attachments import Attachments
from distembed.model.calibrate import PairSettings
from distembed.model.storage import CONFIG
from distembed.registry import lookup
from distembed.sets.fingerprint import fingerprints
from distembed.training.steps import held_out_sets


def pairs(count=60):
    latent = np.linspace(1, 3, count)
    exact = MeasuredPairs.exact(latent, 4 * latent**2)
    return replace(exact, low=3.9 * latent**2, high=4.2 * latent**2)


def context(sets=40, held_out=0, seed=0, measured=None):
    z = np.random.default_rng(0).standard_normal((sets, 2)).astype(np.float32)
    z[:held_out] += 9  # where a fit to held-out sets alone lies
    hashes = tuple(map(str, range(sets)))
    measured = pairs() if measured is None else measured
    return TrainingTable(
        z, np.full(sets, 50.0), np.arange(sets) < held_out, hashes, np.eye(2), measured, seed
    )


@pytest.fixture(scope="module")
def sets():
    return Gaussians.prior(40, 2, 10, size=120, seed=3)


@pytest.fixture
def unused(sets):
    return de.GDE(**SMALL).fit(sets, **FAST)


@pytest.mark.parametrize("name", ATTACHMENTS)
def test_every_attachment_comes_back_from_its_state(name):
    attachments = Attachments(context())
    attachment = attachments.get(name)
    assert isinstance(attachment, Attachment)
    assert attachments.get(name) is attachment
    config, tensors = attachments.state()
    assert list(config) == [name]
    assert all(isinstance(t, torch.Tensor) for t in tensors.values())
    config = json.loads(json.dumps(config, allow_nan=False))
    again = Attachments.from_state(context(), config, tensors)
    config_again, tensors_again = again.state()
    assert config_again == config
    assert tensors_again.keys() == tensors.keys()
    assert all(tensors[key].equal(tensors_again[key]) for key in tensors)


@pytest.mark.parametrize("name", ATTACHMENTS)
def test_an_attachment_is_a_function_of_the_table(name):
    first, second = (lookup(ATTACHMENTS, name, "attachment").fit(context()) for _ in range(2))
    z, d = np.zeros((1, 2)), np.ones(1)
    if name == "population":
        assert first.log_density(z) == second.log_density(z)
        assert first.log_density(z) != Population.fit(context(seed=1)).log_density(z)
    elif name == "calibration":
        assert first(d) == second(d) == pytest.approx(2)
    else:
        one, other = (prior.posterior(z, np.eye(2)[None], d) for prior in (first, second))
        assert (one.mean == other.mean).all()
        assert 0 < one.variance == other.variance < 2


def test_an_attachment_that_is_not_known():
    with pytest.raises(ValueError, match="no attachment 'head'; there are: calibration"):
        Attachments(context()).get("head")


def test_what_the_table_cannot_give_is_refused_with_the_reason():
    attachments = Attachments(context(sets=8, measured=MeasuredPairs.none("No atoms.")))
    with pytest.raises(ValueError, match=r"^No atoms\.$"):
        attachments.get("calibration")
    with pytest.raises(ValueError, match="8 sets are too few"):
        attachments.get("population")
    assert attachments.state() == ({}, {})


@pytest.mark.parametrize("held_out", [30, 29])
def test_a_population_is_fitted_to_held_out_sets_if_they_are_enough(held_out):
    settings = PopulationSettings(fewest_held_out=30, components=1)
    population = Population.fit(context(120, held_out), settings)
    expected = context(120, held_out).z[: held_out if held_out == 30 else None].mean(0)
    np.testing.assert_allclose(population.centre, expected, rtol=1e-6)


def test_a_population_takes_a_sample_of_many_sets():
    population = Population.fit(context(200), PopulationSettings(sets=50, components=1))
    assert sum(map(len, population.scores)) == 50


def test_the_table_holds_all_sets_of_the_fit(unused, sets):
    table = unused._state.attachments.context
    np.testing.assert_allclose(table.z, unused.embed(sets, covariance=False).z, atol=1e-6)
    assert table.effective_sizes == pytest.approx(np.full(40, 120.0))
    assert np.flatnonzero(table.held_out).tolist() == held_out_sets(40, 0.1, 0).tolist()
    assert list(table.hashes) == fingerprints(sets, unused.fingerprints.salt)
    assert len(table.pairs) == PairSettings().pairs
    assert table.pairs.rows.max() < 40


def test_nothing_is_fitted_before_it_is_used(unused, sets, monkeypatch):
    names = []
    for member in (Calibration, Population):
        fit = member.fit
        monkeypatch.setattr(
            member, "fit", lambda table, f=fit, m=member: names.append(m.__name__) or f(table)
        )
    table = unused.embed(sets, covariance=False)
    unused.distances(table, calibrated=False)
    unused.sample(table, 2)
    assert names == []
    for _ in range(2):
        unused.distances(table)
    assert names == ["Calibration"]
    for _ in range(2):
        unused.embed(sets)
    assert names == ["Calibration", "Population"]


def test_a_loaded_model_fits_the_same(unused, sets, tmp_path):
    path = unused.save(tmp_path / "unused")
    assert "population" not in json.loads((path / CONFIG).read_text())["attachments"]
    again = de.load(path)
    one, other = unused.embed(sets), again.embed(sets)
    assert (one.p_unusual == other.p_unusual).all()
    assert (unused.distances(one) == again.distances(other)).all()
    used = again.save(tmp_path / "used")
    assert set(json.loads((used / CONFIG).read_text())["attachments"]) == set(ATTACHMENTS)
    assert (de.load(used).embed(sets).p_unusual == one.p_unusual).all()


def test_a_new_fit_forgets_the_old_attachments(unused, sets):
    before = unused.calibration
    unused.fit(Gaussians.prior(40, 2, 10, size=120, seed=4), **FAST)
    assert unused.calibration != before


def test_distances_without_a_calibration_state_the_reason():
    small = [np.random.default_rng(i).normal(i, 1, (10, 2)) for i in range(8)]
    model = de.GDE(**SMALL).fit(small, **FAST)
    with pytest.raises(ValueError, match=r"W2\. 0 training sets have 50 atoms .*calibrated=False"):
        model.distances(model.embed(small, covariance=False))
